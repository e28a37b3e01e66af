"""What the package computes today, in numbers and texts that a change of structure must leave as they are.

    python -m tests.golden.record     # after a change on purpose: numbers.json, refusals.txt, help/*.txt

A signal is kept as its level in 32 blocks and 64 of its samples: the promise between machines is 1e-4, so a
hash would only hold on one. Nothing here knows how the package is built inside; it uses what users use.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from audiodiff import Denoiser, Vocoder, cli, load_model
from audiodiff.inference.arguments import Quality
from tests.builders import wave_model
from tests.golden import refusals

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
SAMPLE = ROOT / "samples" / "interview_noisy.flac"
TINY = ROOT / "recipes" / "tiny"
COMMANDS = (
    (), ("convert",), ("denoise",), ("doctor",), ("evaluate",), ("export",), ("info",), ("live",), ("mel",),
    ("mel", "convert"), ("mel", "compute"), ("mel", "inspect"), ("mix",), ("models",), ("models", "info"),
    ("models", "inspect"), ("models", "list"), ("models", "verify"), ("pairs",), ("prepare",), ("recipes",),
    ("recipes", "copy"), ("recipes", "list"), ("recipes", "show"), ("schedule",), ("train",), ("tune",),
    ("ui",), ("vocode",),
)  # fmt: skip

Audio = npt.NDArray[np.floating[Any]]
Numbers = dict[str, list[float]]


def fingerprint(x: Audio) -> list[float]:
    """Length, root mean squares of 32 blocks, and 64 samples spread over the signal (T,)."""
    blocks = [float(np.sqrt(np.mean(np.square(part, dtype=np.float64)))) for part in np.array_split(x, 32)]
    places = np.linspace(0, x.size - 1, 64).astype(int)
    return [float(x.size), *blocks, *(float(x[place]) for place in places)]


def sample() -> tuple[Audio, int]:
    """Three seconds of the sample recording."""
    audio, rate = soundfile.read(SAMPLE, dtype="float32", frames=3 * soundfile.info(SAMPLE).samplerate)
    return audio, rate


def denoised() -> Numbers:
    """The sample by every preset of the shipped denoiser."""
    audio, rate = sample()
    model = load_model("podcast")
    qualities: tuple[Quality, ...] = ("fast", "balanced", "best")
    return {q: fingerprint(Denoiser(model, quality=q, threads=1).denoise(audio, rate)) for q in qualities}


def vocoded() -> Numbers:
    """The sample's own mel by the shipped vocoder, by plain inversion, and by an untrained DiffWave."""
    audio, rate = sample()
    found: Numbers = {}
    diffwave = wave_model((0.1, 0.2, 0.4), (0.1,) * 6)
    for name, model in (("voice", "voice"), ("inversion", "inversion"), ("diffwave", diffwave)):
        vocoder = Vocoder(model, threads=1)
        found[name] = fingerprint(np.concatenate(list(vocoder.resynthesise([audio[np.newaxis]], rate))))
    return found


def tiny_training(folder: Path, *changes: str) -> list[dict[str, Any]]:
    """Make the data of the tiny recipe in an empty folder and train by it, with changes; the log."""
    with contextlib.chdir(folder):  # the recipe's store is relative to the working folder
        data = Path("runs/tiny-data")
        runpy.run_path(str(TINY / "make_data.py"))["main"](data)
        words = ["--corpus", str(data / "speech.jsonl"), "--library", str(data / "noise.json")]
        words += ["--sample-rate", "16000", "--rooms", "0"]
        assert cli.run(["prepare", str(data / "store"), *words]) == 0
        train = [str(TINY / "recipe.toml"), "run.log_every=1", *changes]
        assert cli.run(["train", *train, "-o", "runs/tiny"]) == 0
        lines = Path("runs/tiny/log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def losses(entries: list[dict[str, Any]]) -> Numbers:
    """The first six losses of a log; the warm-up is longer, so they are those of any number of steps."""
    return {"losses": [entry["loss"] for entry in entries if entry["kind"] == "step"][:6]}


def help_of(words: tuple[str, ...], capture: Callable[[], str]) -> str:
    """What a command prints with --help, 100 columns wide."""
    assert cli.run([*words, "--help"]) == 0
    return capture()


def help_file(words: tuple[str, ...]) -> Path:
    """Where the help of a command is kept."""
    return FOLDER / "help" / f"{'-'.join(('audiodiff', *words))}.txt"


def main() -> None:
    """Write everything anew."""
    import io
    import tempfile

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        log = tiny_training(Path(scratch), "optim.steps=6", "run.validate_minutes=0")
        numbers = {"denoised": denoised(), "vocoded": vocoded(), "tiny": losses(log)}
    with tempfile.TemporaryDirectory() as scratch:
        refusals.TABLE.write_text(refusals.table(Path(scratch)), encoding="utf-8")
    (FOLDER / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    os.environ["COLUMNS"] = "100"
    (FOLDER / "help").mkdir(exist_ok=True)
    for words in COMMANDS:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            help_of(words, text.getvalue)
        help_file(words).write_text(text.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    main()
