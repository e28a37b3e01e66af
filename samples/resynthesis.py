"""Draw what vocoders make of a recording's mel, clean and blurred: a picture each, the recording on top.

    pip install -c constraints.txt '.[eval]'
    python samples/resynthesis.py samples/interview_clean.flac pictures --model inversion --model voice

Writes pictures/clean_mel.png and pictures/blurred_mel.png (a mean over 3 x 3 cells of the log mel, as of a
text-to-mel model). The panels have one time axis and one colour scale, as in `spectrograms.py`. Printed: the
level of every panel where the recording is quietest, in which a buzz would sound.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from spectrograms import draw, read_mono

from audiodiff import Vocoder
from audiodiff.data.make_pairs import How, degraded_mel
from audiodiff.data.pairs import Degradation
from audiodiff.errors import AudiodiffError
from audiodiff.signal.mel_presets import get_convention
from audiodiff.signal.resample import resample

MELS = {"clean": Degradation(), "blurred": Degradation(blur_bands=3, blur_frames=3)}
QUIET = 0.1
"""Share of the time that counts as pauses."""

WINDOW_S = 0.032

Samples = NDArray[np.float32]


def quiet_db(waves: list[Samples], sample_rate: int) -> list[float]:
    """Mean level of each waveform in the quietest windows of the first.

    Args:
        waves: Samples [T], all of one length.
        sample_rate: Hz.

    Returns:
        dBFS, -120 at least.
    """
    size = round(WINDOW_S * sample_rate)
    powers = [np.square(wave[: wave.size // size * size].reshape(-1, size)).mean(axis=1) for wave in waves]
    pauses = powers[0] <= np.quantile(powers[0], QUIET)
    return [float(10 * np.log10(max(power[pauses].mean(), 1e-12))) for power in powers]


def part(wave: Samples, sample_rate: int, seconds: list[float] | None) -> Samples:
    """The part to draw, faded at its ends, where a cut would be seen as a click; all of it for None."""
    if seconds is None:
        return wave
    first, last = (round(second * sample_rate) for second in seconds)
    cut = wave[first:last].copy()
    rise = np.clip(np.arange(cut.size) / (WINDOW_S * sample_rate), 0, 1)
    cut *= rise * rise[::-1]
    return cut


def panels(source: Path, mel: str, degradation: Degradation, vocoders: list[Vocoder]) -> dict[str, Samples]:
    """The recording at the rate of the mel, and what each vocoder makes of it.

    Args:
        source: Recording; its channels are averaged.
        mel: Preset of the convention.
        degradation: What is done to its mel.
        vocoders: Who speaks.

    Returns:
        Samples [T] by title, all of one length.

    Raises:
        AudiodiffError: The recording is unusable, or a vocoder takes other mels.
    """
    spec = get_convention(mel)
    waves, rate = read_mono([source])
    values = degraded_mel(waves[0], rate, How(mel, degradation, 0, 0))
    truth = resample(waves[0][np.newaxis], rate, spec.sample_rate)[0]
    found = {f"recording: {source.name}": truth}
    for vocoder in vocoders:
        count = f"{vocoder.steps} {'step' if vocoder.model else 'iteration'}{'s' * (vocoder.steps > 1)}"
        path = Path(vocoder.name).absolute()
        name = path.parent.name if path.name == "model" else path.name
        found[f"{name}, {count}"] = vocoder.vocode(values, spec).numpy()
    n = min(wave.size for wave in found.values())
    return {title: wave[:n] for title, wave in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="a clean recording")
    parser.add_argument("out", type=Path, help="folder for the pictures; made if it is missing")
    parser.add_argument("--model", action="append", help="inversion, model or folder; repeatable")
    parser.add_argument("--mel", default="bigvgan-24k", help="preset of the convention")
    parser.add_argument(
        "--seconds",
        type=float,
        nargs=2,
        metavar=("FROM", "TO"),
        help="draw this part alone, to see harmonics",
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        rate = get_convention(args.mel).sample_rate
        vocoders = [Vocoder(name) for name in args.model or ["inversion"]]
        args.out.mkdir(parents=True, exist_ok=True)
        for name, degradation in MELS.items():
            found = panels(args.source, args.mel, degradation, vocoders)
            levels = quiet_db(list(found.values()), rate)
            path = args.out / f"{name}_mel.png"
            draw(list(found), [part(wave, rate, args.seconds) for wave in found.values()], rate, path)
            print(path)
            for title, level in zip(found, levels, strict=True):
                print(f"  {title}: {level:.1f} dBFS in the quietest tenth")
    except AudiodiffError as error:
        raise SystemExit(f"resynthesis: {error}") from None


if __name__ == "__main__":
    main()
