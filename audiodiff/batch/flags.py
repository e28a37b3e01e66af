"""What about a whole recording wants somebody's ears: names, thresholds, and what a job can tell by itself.

A place to review is a moment; a flag concerns all of a recording. The flags here need no more than levels and
lengths that are known after any job; those that need spectra are in `report.flags`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from audiodiff.io.formats import display_path

FlagCode: TypeAlias = Literal[
    "nearly_silent", "half_missing", "level_fell", "much_removed", "too_noisy", "clipped_input", "music"
]

NEARLY_SILENT_DB = 35.0
"""An output whose active level lies so far below the input's came out nearly silent. Speech that was 26 dB
under rumble and survived does not trip it; speech that went with the rumble does."""
MISSING_SHARE = 0.5
"""An output that is shorter than this share of what was asked for has lost half."""
CLIPPED_RUNS = 3
"""An input with so many runs at full scale is clipped; one or two may be the peak after normalising."""


NAMES: dict[FlagCode, str] = {
    "nearly_silent": "nearly silent",
    "half_missing": "half missing",
    "level_fell": "speech level fell",
    "much_removed": "much removed",
    "too_noisy": "too noisy to judge",
    "clipped_input": "clipped input",
    "music": "music?",
}
"""Short names, the gravest first."""


@dataclass(frozen=True)
class Flag:
    """Something about a whole recording that somebody should check by ear.

    Attributes:
        code: Stable name, as in JSON.
        text: One line without the recording's name: what it is, a colon, how much of it.
    """

    code: FlagCode
    text: str

    def line(self, path: Path) -> str:
        """The flag as a warning about a file."""
        return f"{display_path(path)}: {self.text}"


def nearly_silent(before_db: float | None, after_db: float | None) -> Flag | None:
    """Whether an output is nearly silent and its input was not; active levels in dBFS, None for silence."""
    if before_db is None or (after_db is not None and after_db >= before_db - NEARLY_SILENT_DB):
        return None
    left = "nothing" if after_db is None else f"{after_db:.0f} dBFS"
    return Flag("nearly_silent", f"came out nearly silent: from {before_db:.0f} dBFS, {left} is left")


def half_missing(seconds: float, expected_s: float) -> Flag | None:
    """Whether an output of so many seconds has lost half of what it should hold (0 if that is not known)."""
    if seconds >= MISSING_SHARE * expected_s:
        return None
    return Flag("half_missing", f"more than half is missing: {seconds:.1f} s of {expected_s:.1f} s")


def clipped_input(runs: int) -> Flag | None:
    """Whether an input was recorded too loud, by its runs at full scale (see `ClipMeter`)."""
    if runs < CLIPPED_RUNS:
        return None
    return Flag("clipped_input", f"the input is clipped: it stays at full scale {runs} times")
