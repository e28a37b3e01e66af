"""The report: one HTML file in which a run's recordings are heard, seen and reviewed."""

from __future__ import annotations

from audiodiff.report.page import TEMPLATES, Reviewed, fragment, write
from audiodiff.report.report_data import Disagreement, Place, ReportEntry, ReportRun
from audiodiff.report.uncertainty import disagree

__all__ = [
    "TEMPLATES",
    "Disagreement",
    "Place",
    "ReportEntry",
    "ReportRun",
    "Reviewed",
    "disagree",
    "fragment",
    "write",
]
