"""Numbers and names as a reader sees them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from audiodiff.io.formats import display_path
from audiodiff.report.report_data import Kind, Place
from audiodiff.report.spectra import SILENCE_DB
from audiodiff.signal.mel_scale import hz_to_mel

KINDS: dict[Kind, str] = {"added": "New sound", "changed": "Changed sound", "disagreement": "Uncertain"}

_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MOST_TICKS = 6
_CLOSEST_TICKS = 0.11
_TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000, 32000, 64000)


def distinct(paths: Sequence[Path]) -> list[str]:
    """The names of files, with as many of their folders as it takes to tell files of one name apart."""
    alike: dict[str, list[Path]] = {}
    for path in dict.fromkeys(paths):
        alike.setdefault(path.name, []).append(path)
    shown: dict[Path, str] = {}
    for group in alike.values():
        depth = 1
        while depth < max(len(path.parts) for path in group):
            if len({path.parts[-depth:] for path in group}) == len(group):
                break
            depth += 1
        shown |= {path: printable(display_path(Path(*path.parts[-depth:]))) for path in group}
    return [shown[path] for path in paths]


def printable(text: str) -> str:
    """Text without characters that move, hide or break other text: each becomes its escape."""
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    joiners = "\u200c\u200d"  # letters of some scripts and emoji need them
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in hidden and c not in joiners else c
        for c in text
    )


def clock(seconds: float, tenths: bool = False) -> str:
    """1:02:03, 2:03, or with tenths 2:03.4."""
    units = round(seconds * 10) if tenths else round(seconds) * 10
    minutes, rest = divmod(units, 600)
    hours, minutes = divmod(minutes, 60)
    end = f"{rest // 10:02d}" + (f".{rest % 10}" if tenths else "")
    return f"{hours}:{minutes:02d}:{end}" if hours else f"{minutes}:{end}"


def level(value: float | None) -> str:
    """A level in dB with a true minus sign; silence has none."""
    if value is None or value <= SILENCE_DB:
        return "silent"
    return signless(value)


def signless(value: float) -> str:
    """One decimal, a minus sign where it belongs."""
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", "−")


def signed(value: float) -> str:
    """One decimal with its sign."""
    text = signless(value)
    return text if text.startswith("−") or text == "0.0" else f"+{text}"


def typeset(line: str) -> str:
    """A line of a terminal with true minus signs."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", line)


def what(place: Place) -> str:
    """What there is to hear at a place, in one line."""
    amount = f"{place.amount_db:.0f} dB"
    lines: dict[Kind, str] = {
        "added": f"After has up to {amount} more than before here. Is something there that nobody said?",
        "changed": f"What stood out from the noise changed by {amount}. Are the words still the same?",
        "disagreement": f"Samples of the model differ by {amount}. Other noise would give other sound.",
    }
    return lines[place.kind]


def time_ticks(start_s: float, stop_s: float) -> list[tuple[float, str]]:
    """Round times of a stretch: place (0 to 1) and label."""
    length = max(stop_s - start_s, 1e-9)
    step = next((s for s in _STEPS_S if length / s <= _MOST_TICKS), _STEPS_S[-1])
    ticks = []
    number = -(-start_s // step)
    while number * step <= stop_s:
        at = number * step
        label = clock(at, tenths=step < 1)
        ticks.append(((at - start_s) / length, label))
        number += 1
    return ticks


def frequency_ticks(sample_rate: int) -> list[tuple[float, str]]:
    """Round frequencies of a mel axis: height from the top (0 to 1) and label."""
    top = float(hz_to_mel(sample_rate / 2))
    ticks: list[tuple[float, str]] = []
    for hz in _TICKS_HZ:
        height = 1 - float(hz_to_mel(hz)) / top
        free = not ticks or ticks[-1][0] - height > _CLOSEST_TICKS
        if 0.06 < height < 0.94 and free:
            ticks.append((height, f"{hz / 1000:g}"))
    return ticks
