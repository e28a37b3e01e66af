"""Chunks with halo on an absolute frame grid, and the push/flush engine over them."""

from audiodiff.stream.engine import Engine, Samples, Work
from audiodiff.stream.plan import Chunk, Plan

__all__ = ["Chunk", "Engine", "Plan", "Samples", "Work"]
