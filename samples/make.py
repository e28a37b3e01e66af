"""Make the two sample recordings from a Debian package and a seeded noise generator.

apt-get download asterisk-core-sounds-en-g722
dpkg-deb -x asterisk-core-sounds-en-g722_*.deb unpacked
pip install -c constraints.txt '.[media]'
python samples/make.py unpacked samples
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

PROMPT = "usr/share/asterisk/sounds/en_US_f_Allison/demo-congrats.g722"
PROMPT_RATE = 16000
SPEECH_S = (0.0, 6.9)  # the first two sentences; a pause follows
LEAD_S, TAIL_S = 0.5, 0.3
SAMPLE_RATE = 48000
SPEECH_DBFS = -26.0
SNR_DB = 8.0
SEED = 20261124

Wave = NDArray[np.float64]


def read_prompt(package: Path) -> Wave:
    """Decode the prompt: the chosen seconds ``[T]`` at 48 kHz."""
    with av.open(str(package / PROMPT), format="g722") as container:
        pcm = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
    start, end = (round(s * PROMPT_RATE) for s in SPEECH_S)
    return soxr.resample(pcm[start:end] / 32768.0, PROMPT_RATE, SAMPLE_RATE, quality="VHQ")


def shaped(rng: np.random.Generator, n: int, corner_hz: float, slope_db: float) -> Wave:
    """Gaussian noise of unit power, flat to a corner, falling by `slope_db` per octave above it."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE) / corner_hz, 1.0))
    x = np.fft.irfft(spectrum * 10 ** (-slope_db * octaves / 20), n)
    return x / np.std(x)


def room_noise(rng: np.random.Generator, n: int) -> Wave:
    """A computer fan with its blade line, mains hum, the hiss of a preamplifier and a few keys."""
    t = np.arange(n) / SAMPLE_RATE
    fan = shaped(rng, n, 150.0, 6.0) * (1 + 0.15 * np.sin(2 * np.pi * 0.7 * t))
    blades = 0.15 * np.sin(2 * np.pi * 217.0 * t + 0.4 * np.sin(2 * np.pi * 0.3 * t))
    hum = sum(0.3 / k * np.sin(2 * np.pi * 50.0 * k * t + rng.uniform(0, 2 * np.pi)) for k in (1, 2, 3, 5, 7))
    hiss = 0.12 * shaped(rng, n, 24000.0, 0.0)
    keys = np.zeros(n)
    length = round(0.03 * SAMPLE_RATE)
    decay = np.exp(-np.arange(length) / (0.004 * SAMPLE_RATE))
    for start in rng.integers(0, n - length, 9):
        keys[start : start + length] += rng.uniform(0.5, 1.5) * shaped(rng, length, 3000.0, 9.0) * decay
    return fan + blades + hum + hiss + keys


def main(package: Path, out: Path) -> None:
    """Write both files and print their SHA-256."""
    speech = read_prompt(package)
    # RMS over the whole prompt, pauses and all: they are short.
    speech *= 10 ** (SPEECH_DBFS / 20) / np.sqrt(np.mean(speech**2))
    clean = np.pad(speech, (round(LEAD_S * SAMPLE_RATE), round(TAIL_S * SAMPLE_RATE)))
    noise = room_noise(np.random.default_rng(SEED), clean.size)
    noise *= 10 ** ((SPEECH_DBFS - SNR_DB) / 20) / np.sqrt(np.mean(noise**2))
    for name, x in (("interview_clean.flac", clean), ("interview_noisy.flac", clean + noise)):
        soundfile.write(out / name, x, SAMPLE_RATE, subtype="PCM_16")
        print(hashlib.sha256((out / name).read_bytes()).hexdigest(), name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
