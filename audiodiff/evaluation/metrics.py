"""Which metrics there are, what they are called, and which way is better: said here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A column of every table.

    Attributes:
        name: Key in scores and JSON.
        label: What people read, with the unit.
        lower_is_better: Whether a smaller number is the better one.
        decimals: Digits behind the point in tables.
    """

    name: str
    label: str
    lower_is_better: bool = False
    decimals: int = 3

    @property
    def direction(self) -> str:
        """``lower`` or ``higher``: what is better."""
        return "lower" if self.lower_is_better else "higher"

    def gain(self, difference: float) -> float:
        """A difference of two scores, turned so that more than 0 is an improvement."""
        return -difference if self.lower_is_better else difference


OF_PAIRS = (
    Metric("pesq_wb", "PESQ-WB"),
    Metric("pesq_nb", "PESQ-NB"),
    Metric("estoi", "ESTOI"),
    Metric("si_sdr_db", "SI-SDR dB"),
    Metric("lsd_db", "LSD dB", lower_is_better=True),
    Metric("csig", "CSIG"),
    Metric("cbak", "CBAK"),
    Metric("covl", "COVL"),
)
"""Of one estimate against its reference; every file has them."""

OF_DNSMOS = (
    Metric("dnsmos_sig", "DNSMOS SIG"),
    Metric("dnsmos_bak", "DNSMOS BAK"),
    Metric("dnsmos_ovrl", "DNSMOS OVRL"),
)
"""Of one estimate alone, where the user gives the network for it."""

DISTILL_MOS = Metric("distill_mos", "Distill-MOS")
"""The same, where its package is installed and asked for."""

OF_SETS = (
    Metric("frechet", "Frechet", lower_is_better=True),
    Metric("kernel", "Kernel", lower_is_better=True, decimals=4),
)
"""Of all estimates against all references: the distances of their distributions."""

OF_TEXTS = (
    Metric("wer", "WER %", lower_is_better=True, decimals=2),
    Metric("cer", "CER %", lower_is_better=True, decimals=2),
)
"""Of what a recogniser wrote down against what was said."""

METRICS = tuple(metric.name for metric in OF_PAIRS)
"""Names of `OF_PAIRS`."""

BY_NAME = {metric.name: metric for metric in (*OF_PAIRS, *OF_DNSMOS, DISTILL_MOS, *OF_SETS, *OF_TEXTS)}
