"""``audiodiff info``: what recordings hold, whether they are whole, and how they were made."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audiodiff.cli._common import each, say
from audiodiff.cli._progress import Bar, progress_bar
from audiodiff.errors import AudiodiffError, AudioFileError
from audiodiff.extras import install_hint

if TYPE_CHECKING:
    from audiodiff.batch.sidecar import Sidecar
    from audiodiff.io.levels import Levels

_MARK = "processed with audiodiff "

Facts = dict[str, Any]


def info(
    files: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Recordings, or folders of recordings.")
    ],
    json_lines: Annotated[bool, typer.Option("--json", help="Print one JSON object per recording.")] = False,
) -> None:
    """Describe recordings: format, length, levels, tags, origin.

    Prints format, true length, peak and RMS in dBFS (0 is full scale), loudness in LUFS, tags, cover, and how
    audiodiff made the file if it did. Of a folder, a table with one line per recording and the totals. Every
    file is read to its end, so files that are cut short are noticed. Recordings that changed since audiodiff
    wrote them are reported too.

    Examples: audiodiff info talk.wav; audiodiff info shows; audiodiff info --json clean/*.flac
    """
    with progress_bar("reading", shown=True) as bar:
        each(files, lambda path: (_show_folder if path.is_dir() else _show)(path, json_lines, bar))


def _show(path: Path, as_json: bool, bar: Bar) -> None:
    facts = look(path, lambda done, total: bar(done, total, path.name))
    _warn(facts)
    typer.echo(_json(facts) if as_json else "\n".join(_lines(path, facts)))


def _show_folder(folder: Path, as_json: bool, bar: Bar) -> None:
    from audiodiff.io.folders import audio_files, counted
    from audiodiff.io.formats import display_path

    paths, passed = audio_files(folder)
    others = f"passed over {counted(passed)}" if passed else ""
    if not paths:
        why = f" ({others})" if others else ""
        raise AudioFileError(f"{display_path(folder)}: holds no audio files{why}; name another", code="empty")
    found: list[Facts] = []
    for place, path in enumerate(paths):

        def heard(done: float, total: float, place: int = place, name: str = path.name) -> None:
            bar(place + (min(1.0, done / total) if total else 0.0), len(paths), name)

        try:
            found.append(look(path, heard))
        except AudiodiffError as error:
            say(f"audiodiff: {error}")
            continue
        _warn(found[-1])
        if as_json:
            typer.echo(_json(found[-1]))
    if found and not as_json:
        typer.echo("\n".join([display_path(folder), *_table(folder, found), *_totals(found)]))
    if others:
        say(f"{display_path(folder)}: {others}")
    if failed := len(paths) - len(found):
        line = f"{failed} of {len(paths)} files could not be read; each is named above"
        raise AudioFileError(f"{display_path(folder)}: {line}")


def _json(facts: Facts) -> str:
    return json.dumps({"v": 1, **facts})


def _warn(facts: Facts) -> None:
    for warning in facts["warnings"]:
        say(f"audiodiff: warning: {warning}")


def look(path: Path, heard: Callable[[float, float], None] | None = None) -> Facts:
    """Read a recording to its end.

    Args:
        heard: Told the seconds read so far and those announced.
    """
    from audiodiff.batch.sidecar import read_sidecar
    from audiodiff.io.av_library import is_media
    from audiodiff.io.av_tracks import mean_bit_rate, shows_film
    from audiodiff.io.levels import measure
    from audiodiff.io.tags import read_tags

    levels = measure(path, heard)
    header, tags, sidecar = levels.info, read_tags(path), read_sidecar(path)
    bit_rate = mean_bit_rate(path, levels.seconds) if header.lossy else None
    return {
        "file": os.fspath(path),
        "container": header.container,
        "subtype": header.subtype,
        "bit_rate": None if bit_rate is None else round(bit_rate),
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "samples": levels.n_samples,
        "seconds": round(levels.seconds, 6),
        **_loud(levels),
        "tags": dict(tags.text),
        "pictures": len(tags.pictures),
        "film": is_media(path) and shows_film(path),
        "chapters": len(tags.chapters),
        "made_by": next((text for text in tags.text.values() if _MARK in text), None),
        "sidecar": sidecar.model_dump(mode="json") if sidecar is not None else None,
        "as_written": _as_written(path, sidecar),
        "warnings": [str(levels.truncated)] if levels.truncated is not None else [],
    }


def _loud(levels: Levels) -> Facts:
    """Levels as numbers; None for what silence does not have, and what needs PyAV."""
    from audiodiff.io.levels import decibels

    loudness = levels.loudness
    found = {
        "peak_db": decibels(levels.peak),
        "rms_db": decibels(levels.rms),
        "lufs": loudness.lufs if loudness else None,
        "true_peak_db": decibels(loudness.true_peak) if loudness else None,
    }
    rounded = {name: None if value is None else round(value, 2) for name, value in found.items()}
    return {"peak": round(levels.peak, 6), **rounded}


def _as_written(path: Path, sidecar: Sidecar | None) -> bool | None:
    from audiodiff.io.byte_edit import sha256_of

    if sidecar is None or sidecar.output.sha256 is None:
        return None
    return sha256_of(path) == sidecar.output.sha256


def _lines(path: Path, facts: Facts) -> list[str]:
    from audiodiff.io.formats import display_path

    rows = [
        ("format", _format(facts)),
        ("length", f"{facts['seconds']:.3f} s, {facts['samples']} samples"),
        ("rate", f"{facts['sample_rate']} Hz"),
        ("channels", str(facts["channels"])),
        ("peak", _db(facts["peak_db"], "dBFS")),
        ("RMS", _db(facts["rms_db"], "dBFS")),
        ("loudness", _loudness(facts)),
    ]
    rows += [(name, _plain(text)) for name, text in facts["tags"].items() if text != facts["made_by"]]
    rows += [(name, str(facts[name])) for name in ("pictures", "chapters") if facts[name]]
    if facts["film"]:
        rows.append(("film", "has a track of moving pictures"))
    if facts["made_by"]:
        rows.append(("made by", _plain(facts["made_by"])))
    if facts["sidecar"]:
        rows += _origin(facts["sidecar"], facts["as_written"])
    return [display_path(path), *(f"  {name:<10} {text}" for name, text in rows)]


def _format(facts: Facts) -> str:
    rate = facts["bit_rate"]
    return f"{facts['container']}, {facts['subtype']}" + (f", {rate / 1000:.0f} kbit/s" if rate else "")


def _db(level: float | None, unit: str) -> str:
    return "digital silence" if level is None else f"{level:.1f} {unit}"


def _loudness(facts: Facts) -> str:
    from audiodiff.io import av_library

    if not av_library.available():
        return f"is measured by PyAV; {install_hint('media')}"
    lufs = "none (silent, or shorter than 0.4 s)" if facts["lufs"] is None else f"{facts['lufs']:.1f} LUFS"
    peak = facts["true_peak_db"]
    return lufs if peak is None else f"{lufs}, true peak {peak:.1f} dBTP"


_COLUMNS = ("file", "format", "kbit/s", "Hz", "channels", "length", "peak dBFS", "RMS dBFS", "LUFS")


def _table(folder: Path, found: Sequence[Facts]) -> list[str]:
    """The recordings of a folder, one a line, below the names of the columns."""
    from audiodiff.io.formats import display_path

    rows: list[tuple[str, ...]] = [_COLUMNS]
    for facts in found:
        name = _plain(display_path(Path(facts["file"]).relative_to(folder)))
        levels = (facts[key] for key in ("peak_db", "rms_db", "lufs"))
        rows.append(
            (
                name,
                f"{facts['container']} {facts['subtype']}",
                f"{facts['bit_rate'] / 1000:.0f}" if facts["bit_rate"] else "-",
                str(facts["sample_rate"]),
                str(facts["channels"]),
                _clock(facts["seconds"]),
                *("-" if level is None else f"{level:.1f}" for level in levels),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return [
        "  " + "  ".join(f"{cell:{'<' if n < 2 else '>'}{widths[n]}}" for n, cell in enumerate(row))
        for row in rows
    ]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _totals(found: Sequence[Facts]) -> list[str]:
    """Files, hours, rates and formats of a folder."""

    def each_of(values: Sequence[str]) -> str:
        return ", ".join(f"{value} ({n})" for value, n in Counter(values).most_common())

    hours = sum(facts["seconds"] for facts in found) / 3600
    return [
        f"  {len(found)} {'file' if len(found) == 1 else 'files'}, {hours:.3f} h",
        f"  rates: {each_of([str(facts['sample_rate']) + ' Hz' for facts in found])}",
        f"  formats: {each_of([facts['container'] + ' ' + facts['subtype'] for facts in found])}",
    ]


def _origin(sidecar: dict[str, Any], as_written: bool | None) -> list[tuple[str, str]]:
    """What a sidecar tells, as rows."""
    model, source = sidecar["model"], sidecar["input"]
    hashed = f", SHA-256 {model['sha256']}" if model["sha256"] else ""
    options = ", ".join(f"{name} {value}" for name, value in sidecar["options"].items() if value is not None)
    state = {None: "unknown", True: "as it was written", False: "changed since it was written"}[as_written]
    return [
        ("origin", f"audiodiff {sidecar['version']}, {sidecar['task']}, from {source['name']}"),
        ("model", f"{model['name']}{hashed}, {model['licence']}"),
        ("seed", str(sidecar["seed"])),
        ("options", options),
        ("content", state),
        *(("warned", warning) for warning in sidecar["warnings"]),
    ]


def _plain(text: str) -> str:
    """A tag as one line of a terminal can show it."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
