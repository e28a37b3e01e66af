"""Cut the pauses out of recordings that are not perfectly clean: the tone of true rooms and microphones.

    python collect_pauses.py manifest.jsonl pauses
    audiodiff prepare ... --library pauses/noises.json

Reads the manifest of the speech corpus and takes training speakers of the cleanliness classes B, C, b and c.
A pause is a stretch whose level stays within a few decibels of the recording's floor, far below its speech,
and above digital silence. The pauses of one speaker are joined with cross-fades, brought to a common level
and written as SPEAKER.flac, mono, 48 kHz, 16 bit; noises.json is the list for `audiodiff prepare --library`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE = 48000
CLASSES = ("B", "C", "b", "c")
FRAME_S, TRIM_S, FADE_S = 0.02, 0.04, 0.02
SHORTEST_S, LEAST_S, LONGEST_S = 0.2, 3.0, 45.0
ABOVE_FLOOR_DB, BELOW_SPEECH_DB, QUIETEST_DB, LEVEL_DB = 4.0, 25.0, -75.0, -26.0

Audio = NDArray[np.float32]


def frame_levels(audio: Audio, size: int) -> NDArray[np.float64]:
    """Level of each whole frame without what lies below 70 Hz or so, dBFS."""
    frames = np.diff(audio, prepend=audio[:1])[: audio.size // size * size].reshape(-1, size)
    return 10 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-20)


def pauses(audio: Audio, rate: int) -> Iterator[Audio]:
    """The pauses of a recording [T], without their edges."""
    size = round(FRAME_S * rate)
    levels = frame_levels(audio, size)
    if levels.size < 10:
        return
    floor, speech = np.percentile(levels, (5, 95))
    power = 10 * np.log10(np.mean(np.square(audio[: levels.size * size].reshape(-1, size)), axis=1) + 1e-20)
    quiet = (levels < floor + ABOVE_FLOOR_DB) & (levels < speech - BELOW_SPEECH_DB) & (power > QUIETEST_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(int)))
    trim = round(TRIM_S * rate)
    for start, stop in edges.reshape(-1, 2) * size:
        piece = audio[start + trim : stop - trim]
        if piece.size >= SHORTEST_S * rate:
            yield piece


def joined(pieces: list[Audio]) -> Audio:
    """Pieces one after the other, each faded into the next at equal power."""
    n = round(FADE_S * RATE)
    fade = np.sin(np.linspace(0, np.pi / 2, n, dtype=np.float32))
    total = pieces[0].copy()
    for piece in pieces[1:]:
        middle = total[-n:] * fade[::-1] + piece[:n] * fade
        total = np.concatenate([total[:-n], middle, piece[n:]])
    return total


def collect(rows: list[dict[str, Any]]) -> Audio | None:
    """The pauses of one speaker at one level, or None if there is too little of them."""
    pieces: list[Audio] = []
    for row in rows:
        if sum(piece.size for piece in pieces) >= LONGEST_S * RATE:
            break
        try:
            audio, rate = soundfile.read(row["path"], dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            continue
        for piece in pauses(audio.mean(axis=1), rate):
            piece = soxr.resample(piece - piece.mean(), rate, RATE, quality="VHQ")
            rms = float(np.sqrt(np.mean(np.square(piece, dtype=np.float64))))
            pieces.append((piece * (10 ** (LEVEL_DB / 20) / rms)).astype(np.float32))
    if sum(piece.size for piece in pieces) < LEAST_S * RATE:
        return None
    return np.clip(joined(pieces)[: round(LONGEST_S * RATE)], -0.98, 0.98)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", type=Path, help="the corpus, JSON lines")
    parser.add_argument("out", type=Path, help="folder for the recordings and their list")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    speakers: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in args.manifest.read_text(encoding="utf-8").strip().split("\n"):
        row = json.loads(line)
        if row["split"] == "train" and row["class"] in CLASSES:
            speakers[row["source"], row["speaker"]].append(row)
    entries = []
    for (source, speaker), rows in sorted(speakers.items()):
        audio = collect(sorted(rows, key=lambda row: row["floor_db"], reverse=True))
        if audio is None:
            continue
        file = args.out / f"{re.sub(r'[^A-Za-z0-9]+', '-', f'{source}--{speaker}').lower()}.flac"
        soundfile.write(file, audio, RATE, subtype="PCM_16")
        entries.append(
            {
                "file": file.name,
                "seconds": round(audio.size / RATE, 2),
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                "kind": "noise",
                "split": "train",
                "class": "room",
                "licence": rows[0]["licence"],
                "author": f"{source}, {speaker}",
                "source": source,
                "bandwidth_hz": max(row["bandwidth_hz"] for row in rows),
            }
        )
    (args.out / "noises.json").write_text(json.dumps(entries, indent=0, ensure_ascii=False), encoding="utf-8")
    print(f"{len(entries)} speakers, {sum(entry['seconds'] for entry in entries) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
