"""How far every mel preset lies from the original formula: writes benchmarks/mel.md.

Run ``python benchmarks/mel_presets.py``. The references are written down from what each system's own feature
code computes, with librosa's or PyTorch's transform and librosa's or torchaudio's filter formula in float64;
none of them looks at `MelSpec`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Literal

import librosa
import numpy as np
import numpy.typing as npt
import torch

from audiodiff.signal.mel import PRESETS, mel

Array = npt.NDArray[np.float64]
Reference = Callable[[Array], Array]


def clip(sample_rate: int, seconds: float = 0.7) -> Array:
    """A voice-like clip: harmonics under a moving envelope, a noise floor of 16 bits, digital silence."""
    return _clip(sample_rate, seconds).copy()


@cache
def _clip(sample_rate: int, seconds: float) -> Array:
    random = np.random.default_rng(7)
    t = np.arange(int(seconds * sample_rate) + 13) / sample_rate
    x = np.zeros_like(t)
    for k in range(1, int(0.45 * sample_rate / 140)):
        x += np.sin(2 * np.pi * k * (140 * t + 8 * np.sin(5 * t)) + random.uniform(0, 6)) / k**1.2
    x *= 0.1 * np.sin(np.pi * t / t[-1]) ** 2
    x += 3e-5 * random.standard_normal(len(t))
    x[len(t) // 2 : len(t) // 2 + sample_rate // 6] = 0
    return x


def _slaney(sr: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> Array:
    bank: Array = librosa.filters.mel(
        sr=sr, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max, dtype=np.float64
    )
    return bank


def _htk(sr: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> Array:
    """The bank of torchaudio's melscale_fbanks(norm=None, mel_scale="htk"), transposed."""
    freqs = np.linspace(0, sr // 2, n_fft // 2 + 1)
    low, high = (2595.0 * np.log10(1.0 + f / 700.0) for f in (f_min, f_max))
    points = 700.0 * (10.0 ** (np.linspace(low, high, n_mels + 2) / 2595.0) - 1.0)
    steps = np.diff(points)
    slopes = points[None, :] - freqs[:, None]
    down = -slopes[:, :-2] / steps[:-1]
    up = slopes[:, 2:] / steps[1:]
    return np.maximum(0.0, np.minimum(down, up)).T


def _librosa(
    x: Array, n_fft: int, hop: int, win: int, pad_mode: Literal["reflect", "constant"] = "reflect"
) -> Array:
    z = librosa.stft(x, n_fft=n_fft, hop_length=hop, win_length=win, pad_mode=pad_mode)
    magnitude: Array = np.abs(z)
    return magnitude


def _torch(x: Array, n_fft: int, hop: int, win: int) -> Array:
    window = torch.hann_window(win, dtype=torch.float64)
    z = torch.stft(
        torch.from_numpy(x), n_fft, hop, win, window, center=True, pad_mode="reflect", return_complex=True
    )
    return z.abs().numpy()


def hifigan(x: Array, sr: int, n_fft: int, hop: int, n_mels: int, f_max: float, eps: float = 1e-9) -> Array:
    padded = np.pad(x, (n_fft - hop) // 2, mode="reflect")
    z = librosa.stft(padded, n_fft=n_fft, hop_length=hop, center=False)
    spectrum: Array = np.sqrt(z.real**2 + z.imag**2 + eps)
    return np.log(np.maximum(_slaney(sr, n_fft, n_mels, 0, f_max) @ spectrum, 1e-5))


def matcha(x: Array) -> Array:
    return (hifigan(x, 22050, 1024, 256, 80, 8000) + 5.536622) / 2.116101


def nemo(x: Array) -> Array:
    padded = torch.from_numpy(np.pad(x, (1024 - 256) // 2, mode="reflect"))
    window = torch.hann_window(1024, periodic=False, dtype=torch.float64)
    z = torch.stft(padded, 1024, 256, 1024, window, center=False, return_complex=True)
    magnitude: Array = z.abs().numpy()
    return np.log(np.maximum(_slaney(22050, 1024, 80, 0, 8000) @ magnitude, 1e-5))


def tacotron2(x: Array, sr: int, n_mels: int, f_max: float) -> Array:
    return np.log(np.maximum(_slaney(sr, 1024, n_mels, 0, f_max) @ _librosa(x, 1024, 256, 1024), 1e-5))


def vocos(x: Array, floor: float, power: int = 1) -> Array:
    return np.log(np.maximum(_htk(24000, 1024, 100, 0, 12000) @ _torch(x, 1024, 256, 1024) ** power, floor))


def vocos_same(x: Array) -> Array:
    padded = torch.from_numpy(np.pad(x, (1024 - 256) // 2, mode="reflect"))
    window = torch.hann_window(1024, dtype=torch.float64)
    z = torch.stft(padded, 1024, 256, 1024, window, center=False, return_complex=True)
    magnitude: Array = z.abs().numpy()
    return np.log(np.maximum(_htk(24000, 1024, 100, 0, 12000) @ magnitude, 1e-7))


def rfwave(x: Array) -> Array:
    return np.log10(np.maximum(_htk(24000, 1024, 100, 0, 12000) @ _torch(x, 1024, 256, 1024), 1e-7))


def lmnt(x: Array, sr: int, n_fft: int, hop: int, win: int, n_mels: int) -> Array:
    window = torch.hann_window(win, dtype=torch.float64)
    spectrum = _torch(x, n_fft, hop, win) / float(window.square().sum().sqrt())
    decibel = 20 * np.log10(np.maximum(_htk(sr, n_fft, n_mels, 20.0, sr / 2) @ spectrum, 1e-5)) - 20
    return np.clip((decibel + 100) / 100, 0.0, 1.0)


def styletts2(x: Array) -> Array:
    bank = _htk(16000, 2048, 80, 0, 8000)
    return (np.log(1e-5 + bank @ _torch(x, 2048, 300, 1200) ** 2) + 4) / 4


def espnet(x: Array, sr: int, n_fft: int, hop: int, win: int) -> Array:
    amplitude = np.sqrt(np.maximum(_librosa(x, n_fft, hop, win) ** 2, 1e-10))
    return np.log10(np.maximum(_slaney(sr, n_fft, 80, 80, 7600) @ amplitude, 1e-10))


def wavegan(x: Array, sr: int, n_fft: int, hop: int, win: int) -> Array:
    return np.log10(np.maximum(_slaney(sr, n_fft, 80, 80, 7600) @ _librosa(x, n_fft, hop, win), 1e-10))


def fastdiff(x: Array) -> Array:
    magnitude = _librosa(x, 1024, 256, 1024, pad_mode="constant")
    return np.log10(np.maximum(_slaney(22050, 1024, 80, 80, 7600) @ magnitude, 1e-6))


def coqui(x: Array) -> Array:
    mels = _slaney(22050, 1024, 80, 0, 11025) @ _librosa(x, 1024, 256, 1024)
    decibel = 20 * np.log10(np.maximum(1e-5, mels)) - 20
    unit = (decibel - -100) / 100
    return np.clip(2 * 4 * unit - 4, -4, 4)


_HIFIGAN = partial(hifigan, sr=22050, n_fft=1024, hop=256, n_mels=80, f_max=8000)
_BIGVGAN = partial(hifigan, sr=24000, n_fft=1024, hop=256, n_mels=100, f_max=12000)
_TACOTRON2 = partial(tacotron2, sr=22050, n_mels=80, f_max=8000)

REFERENCES: dict[str, tuple[str, Reference]] = {
    "hifigan": ("librosa", _HIFIGAN),
    "tacotron2": ("librosa", _TACOTRON2),
    "vocos": ("torch.stft, HTK formula", partial(vocos, floor=1e-7)),
    "bigvgan-24k": ("librosa", _BIGVGAN),
    "diffwave": (
        "torch.stft, HTK formula",
        partial(lmnt, sr=22050, n_fft=1024, hop=256, win=1024, n_mels=80),
    ),
    "bigvgan-22k": ("librosa", _HIFIGAN),
    "bigvgan-22k-full": ("librosa", partial(_HIFIGAN, f_max=11025)),
    "bigvgan-44k": ("librosa", partial(_HIFIGAN, sr=44100, n_mels=128, f_max=22050)),
    "bigvgan-44k-512x": (
        "librosa",
        partial(hifigan, sr=44100, n_fft=2048, hop=512, n_mels=128, f_max=22050),
    ),
    "fregrad": ("librosa", _HIFIGAN),
    "priorgrad": ("librosa", _HIFIGAN),
    "apnet2": ("librosa", partial(_HIFIGAN, eps=0.0)),
    "matcha-ljspeech": ("librosa", matcha),
    "nemo-hifigan": ("torch.stft, librosa's bank", nemo),
    "speechbrain-22k": ("librosa", _TACOTRON2),
    "speechbrain-16k": ("librosa", partial(_TACOTRON2, sr=16000)),
    "vocos-same": ("torch.stft, HTK formula", vocos_same),
    "f5-vocos": ("torch.stft, HTK formula", partial(vocos, floor=1e-5)),
    "f5-bigvgan": ("librosa", _BIGVGAN),
    "rfwave": ("torch.stft, HTK formula", rfwave),
    "wavefm": ("torch.stft, HTK formula", partial(vocos, floor=1e-5, power=2)),
    "wavegrad": (
        "torch.stft, HTK formula",
        partial(lmnt, sr=22050, n_fft=2048, hop=300, win=1200, n_mels=128),
    ),
    "wavegrad-24k": (
        "torch.stft, HTK formula",
        partial(lmnt, sr=24000, n_fft=2048, hop=300, win=1200, n_mels=128),
    ),
    "styletts2": ("torch.stft, HTK formula", styletts2),
    "espnet-16k": ("librosa", partial(espnet, sr=16000, n_fft=1024, hop=256, win=1024)),
    "espnet-22k": ("librosa", partial(espnet, sr=22050, n_fft=1024, hop=256, win=1024)),
    "espnet-24k": ("librosa", partial(espnet, sr=24000, n_fft=2048, hop=300, win=1200)),
    "parallel-wavegan-22k": ("librosa", partial(wavegan, sr=22050, n_fft=1024, hop=256, win=1024)),
    "parallel-wavegan-24k": ("librosa", partial(wavegan, sr=24000, n_fft=2048, hop=300, win=1200)),
    "speecht5": ("librosa", partial(wavegan, sr=16000, n_fft=1024, hop=256, win=1024)),
    "coqui": ("librosa", coqui),
    "fastdiff": ("librosa", fastdiff),
    "bridgevoc-22k": ("librosa", _TACOTRON2),
    "bridgevoc-24k": ("librosa", partial(tacotron2, sr=24000, n_mels=100, f_max=12000)),
}
"""Reference of every preset: what it is made of, and the function."""


def deviation(name: str, dtype: torch.dtype) -> float:
    """Largest difference of a preset from its reference on `clip`, in the convention's own numbers."""
    spec = PRESETS[name]
    x = clip(spec.sample_rate)
    ours = mel(torch.from_numpy(x).to(dtype), spec).double().numpy()
    theirs = REFERENCES[name][1](x)
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max())


def main() -> None:
    rows = [
        "# Mel presets against their original formulas",
        "",
        "Largest difference over all cells, in the convention's own numbers (ln, log10 or scaled), on a",
        "synthetic voice of 0.7 s with a 16-bit noise floor and digital silence. The reference is in",
        "float64: the float64 column shows that the formulas agree, the float32 column what a user gets.",
        "",
        "| preset | fingerprint | reference | float64 | float32 |",
        "|---|---|---|---|---|",
    ]
    for name, spec in PRESETS.items():
        double, single = deviation(name, torch.float64), deviation(name, torch.float32)
        rows.append(f"| {name} | {spec.fingerprint} | {REFERENCES[name][0]} | {double:.1e} | {single:.1e} |")
    Path(__file__).with_name("mel.md").write_text("\n".join(rows) + "\n")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
