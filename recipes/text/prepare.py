"""Recordings with their texts to timed phones and mels.

    python recipes/text/prepare.py dataset-voice-kathleen/data runs/text/data
    python recipes/text/prepare.py --smoke runs/smoke/data

A folder holds NAME.wav (or .flac) and NAME.txt; takes PROMPT_TAKE of one prompt are told apart by what
follows the last underscore, and the first one is used. Prompts of held_out.txt are marked: nothing is learnt
from them, and their recordings are kept as wav files. ``--smoke`` speaks sentences with espeak-ng instead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from acoustic import phone_pitch, pitch
from align import align
from espeak import PAUSE, Spoken, speak, with_optional_pauses
from numpy.typing import NDArray
from scipy.fft import dct

from audiodiff.signal.mel import PRESETS, mel
from audiodiff.signal.mel_inversion import length
from audiodiff.signal.resample import resample

HERE = Path(__file__).parent
SPEC = PRESETS["bigvgan-24k"]
CEPSTRA = 13

Recording = tuple[str, str, NDArray[np.float32]]
"""Name of the prompt, its text, samples at the rate of SPEC."""

SMOKE_TEXTS = (
    "The boat leaves the harbour at seven.",
    "Seven old men sat under a tree.",
    "She reads a letter from the north.",
    "A short road leads to the town.",
    "Bring the blue lamp and the map.",
    "Nobody heard the door open, and the dog slept.",
    "The map shows a road under the harbour.",
    "An old letter was under the lamp.",
    "The dog sat at the blue door.",
    "Bread and butter are on the table.",
    "Men from the town heard the boat.",
    "The letter from the harbour reads well.",
)
SMOKE_HELD_OUT = {"smoke05", "smoke10"}
SMOKE_VOICE = "en-us+f3"


def recordings(folder: Path) -> Iterator[Recording]:
    """The first take of every prompt in a folder."""
    takes: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".wav", ".flac"}):
        takes.setdefault(path.stem.rsplit("_", 1)[0], path)
    for prompt, path in takes.items():
        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
        samples = resample(np.ascontiguousarray(x.T[:1]), rate, SPEC.sample_rate)[0]
        yield prompt, path.with_suffix(".txt").read_text(encoding="utf-8").strip(), samples


def smoke_recordings() -> Iterator[Recording]:
    """Sentences that espeak-ng speaks."""
    for i, text in enumerate(SMOKE_TEXTS):
        spoken = speak(text, SMOKE_VOICE)
        yield f"smoke{i:02d}", text, resample(spoken.samples[None], spoken.sample_rate, SPEC.sample_rate)[0]


def cepstra(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Features [N, 2 CEPSTRA] of a mel [M, N]: cepstrum less its mean, and its slope over five frames."""
    c = dct(values.astype(np.float64), axis=0, norm="ortho")[:CEPSTRA].T
    c = c - c.mean(0)
    padded = np.pad(c, ((2, 2), (0, 0)), mode="edge")
    slope = (padded[3:-1] - padded[1:-3] + 2 * (padded[4:] - padded[:-4])) / 10
    return np.concatenate([c, 2 * slope], 1)


def aligned(
    spoken: list[Spoken], mels: list[NDArray[np.float32]], symbols: list[str]
) -> list[NDArray[np.int64]]:
    """Frames of every phone of every recording; pauses may have 0."""
    units = [np.array([symbols.index(s) for s in each.symbols]) for each in spoken]
    return align([cepstra(v) for v in mels], units, [each.seconds for each in spoken], symbols.index(PAUSE))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="recordings and texts")
    parser.add_argument("out", type=Path)
    parser.add_argument("--voice", default="en-us", help="voice of espeak-ng that reads the texts")
    parser.add_argument("--smoke", action="store_true", help="make recordings with espeak-ng")
    args = parser.parse_args()
    if args.smoke == (args.folder is not None):
        parser.error("give either a folder of recordings or --smoke")
    torch.set_num_threads(1)
    held_out = set((HERE / "held_out.txt").read_text(encoding="utf-8").split()) | SMOKE_HELD_OUT
    names, spoken, mels, pitches = [], [], [], []
    (args.out / "held_out").mkdir(parents=True, exist_ok=True)
    for name, text, samples in smoke_recordings() if args.smoke else recordings(args.folder):
        values = mel(torch.from_numpy(samples), SPEC).numpy()
        names.append(name)
        spoken.append(with_optional_pauses(speak(text, args.voice)))
        mels.append(values)
        pitches.append(pitch(samples, SPEC.sample_rate, SPEC.hop, values.shape[1]))
        if name in held_out:
            wave = samples[: length(SPEC, values.shape[1])]
            soundfile.write(args.out / "held_out" / f"{name}.wav", wave, SPEC.sample_rate, subtype="PCM_16")
    if not names:
        parser.error(f"no .wav or .flac files in {args.folder}")
    symbols = sorted({s for each in spoken for s in each.symbols})
    for name, each, values, f0, frames in zip(
        names, spoken, mels, pitches, aligned(spoken, mels, symbols), strict=True
    ):
        log_f0 = phone_pitch(f0, frames)
        kept = frames > 0
        np.savez(
            args.out / f"{name}.npz",
            mel=values.astype(np.float16),
            ids=np.array([symbols.index(s) for s in each.symbols])[kept],
            cues=np.stack([np.log(each.seconds), each.first], 1).astype(np.float32)[kept],
            frames=frames[kept],
            log_f0=log_f0[kept],
        )
    facts = {"symbols": symbols, "mel_spec": SPEC.as_dict(), "held_out": sorted(held_out & set(names))}
    (args.out / "data.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    seconds = sum(v.shape[1] for v in mels) * SPEC.hop / SPEC.sample_rate
    print(f"{args.out}: {len(names)} recordings, {seconds / 60:.1f} min, {len(symbols)} phones")


if __name__ == "__main__":
    main()
