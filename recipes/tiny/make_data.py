"""Makes the data of the tiny recipe: voices that nobody has, and noises, as wav files with their lists.

    python recipes/tiny/make_data.py runs/tiny-data

Each voice is a pulse train with a gliding pitch through a few resonances, in syllables with pauses between.
Everything follows from one seed. The voices stand in for full-band (A) and narrow-band (a) speech by turns,
because a validation looks at both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
from numpy.typing import NDArray

RATE = 16000
TRAIN_VOICES, DEV_VOICES = 12, 4
VOICE_S, NOISE_S = 20.0, 15.0
LICENCE = "CC0-1.0"


def syllable(rng: np.random.Generator, pitch_hz: float, seconds: float) -> NDArray[np.float64]:
    """A voiced sound: a gliding pulse train through three resonances, with soft ends."""
    n = round(seconds * RATE)
    glide = pitch_hz * (1 + 0.15 * rng.uniform(-1, 1) * np.linspace(-1, 1, n))
    phase = np.cumsum(glide) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.003 * rng.standard_normal(n)
    sound = scipy.signal.lfilter([1.0], [1.0, -0.9], pulses)
    for centre_hz in (rng.uniform(300, 800), rng.uniform(900, 2200), rng.uniform(2400, 3400)):
        radius = np.exp(-np.pi * rng.uniform(60, 120) / RATE)
        angle = 2 * np.pi * centre_hz / RATE
        sound = scipy.signal.lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], sound)
    shaped: NDArray[np.float64] = sound * np.hanning(n) ** 0.5
    return shaped / np.sqrt(np.mean(shaped**2))


def voice(rng: np.random.Generator) -> NDArray[np.float32]:
    """One voice for `VOICE_S`: syllables at about one pitch, with pauses."""
    total = np.zeros(round(VOICE_S * RATE))
    pitch_hz, start = rng.uniform(90, 260), 0
    while start < total.size:
        sound = syllable(rng, pitch_hz, rng.uniform(0.12, 0.35))[: total.size - start]
        total[start : start + sound.size] = 0.05 * rng.uniform(0.5, 1.0) * sound
        pause_s = rng.uniform(0.3, 0.8) if rng.random() < 0.2 else rng.uniform(0.01, 0.08)
        start += sound.size + round(pause_s * RATE)
    return total.astype(np.float32)


def noise(rng: np.random.Generator) -> NDArray[np.float32]:
    """Coloured noise that swells slowly."""
    tilt = rng.uniform(-0.9, 0.9)
    sound = scipy.signal.lfilter([1.0], [1.0, tilt], rng.standard_normal(round(NOISE_S * RATE)))
    time = np.arange(sound.size) / RATE
    swell = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * time)
    scaled: NDArray[np.float64] = 0.05 * sound * swell / np.std(sound)
    return scaled.astype(np.float32)


def main(folder: Path) -> None:
    """Write voices, noises and their lists."""
    folder.mkdir(parents=True, exist_ok=True)
    speech, library = [], []
    for number in range(TRAIN_VOICES + DEV_VOICES):
        rng = np.random.default_rng([0, number])
        split = "train" if number < TRAIN_VOICES else "dev"
        shared = {"bandwidth_hz": RATE // 2, "licence": LICENCE, "split": split}
        name = f"voice{number:02d}.wav"
        soundfile.write(folder / name, voice(rng), RATE)
        speech.append(
            {
                "path": name,
                "source": "tiny",
                "language": "",
                "speaker": f"{number}",
                "seconds": VOICE_S,
                "class": "Aa"[number % 2],
                **shared,
            }
        )
        if number % 4 == 0:
            name = f"noise{number:02d}.wav"
            soundfile.write(folder / name, noise(rng), RATE)
            library.append({"file": name, "kind": "noise", "seconds": NOISE_S, **shared})
    lines = "".join(json.dumps(row) + "\n" for row in speech)
    (folder / "speech.jsonl").write_text(lines, encoding="utf-8")
    (folder / "noise.json").write_text(json.dumps(library, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
