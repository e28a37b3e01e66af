"""Score a cleaned sample against the clean voice, beside the noisy recording it was made from.

    audiodiff denoise samples/interview_noisy.flac -o cleaned.flac && python samples/score.py cleaned.flac

Prints two lines, noisy and cleaned: SI-SDR, and with the extra [eval] PESQ-WB and ESTOI.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audiodiff.errors import AudiodiffError, AudioFileError
from audiodiff.evaluation.score import Score, Unscored
from audiodiff.evaluation.waveform import si_sdr
from audiodiff.io.formats import display_path
from audiodiff.io.reader import read

HERE = Path(__file__).resolve().parent
CLEAN, NOISY = HERE / "interview_clean.flac", HERE / "interview_noisy.flac"

Wave = NDArray[np.float32]


def read_like(path: Path, sample_rate: int, n_samples: int) -> Wave:
    """Samples [T] of a file that must have the reference's rate and length.

    Args:
        path: The file; its channels are averaged.
        sample_rate: Rate of the reference, Hz.
        n_samples: Length of the reference.

    Returns:
        Samples [n_samples].

    Raises:
        AudioFileError: Not readable, or of another rate or length.
    """
    samples, rate = read(path)
    if (rate, samples.shape[1]) != (sample_rate, n_samples):
        raise AudioFileError(
            f"{display_path(path)}: {samples.shape[1]} samples at {rate} Hz, the clean voice has "
            f"{n_samples} at "
            f"{sample_rate} Hz; give the result for {NOISY.name}"
        )
    mono: Wave = samples.mean(axis=0)
    return mono


def scores(clean: Wave, other: Wave, sample_rate: int) -> dict[str, str]:
    """The scores of one recording by name, as text; without the extra ``eval`` only SI-SDR."""
    found = {"SI-SDR": _text(si_sdr(clean, other), "{:.1f} dB")}
    if importlib.util.find_spec("pesq"):
        from audiodiff.evaluation.pesq import Pesq

        with Pesq() as pesq:
            found["PESQ-WB"] = _text(pesq.score(clean, other, sample_rate), "{:.2f}")
    if importlib.util.find_spec("pystoi"):
        from audiodiff.evaluation.intelligibility import stoi

        found["ESTOI"] = _text(stoi(clean, other, sample_rate), "{:.2f}")
    return found


def _text(score: Score, form: str) -> str:
    return f"none ({score.text})" if isinstance(score, Unscored) else form.format(score)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cleaned", type=Path, help="what audiodiff denoise made of the noisy sample")
    cleaned = parser.parse_args().cleaned
    try:
        reference, sample_rate = read(CLEAN)
        clean: Wave = reference[0]
        # Both are read before anything is printed.
        waves = [read_like(path, sample_rate, clean.size) for path in (NOISY, cleaned)]
    except AudiodiffError as error:
        raise SystemExit(f"score: {error}") from None
    for label, wave in zip(("noisy", "cleaned"), waves, strict=True):
        found = scores(clean, wave, sample_rate)
        print(f"{label:8} " + "   ".join(f"{name} {text}" for name, text in found.items()))


if __name__ == "__main__":
    main()
