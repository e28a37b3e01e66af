"""The mel conventions of published vocoders and text-to-speech systems, by name.

Each is what the system's own feature code computes; where it hands on numbers that were normalised by the
statistics of a training set (ESPnet, Parallel WaveGAN), the preset stands for the numbers before that.
Names that mean the same convention hold equal values.
"""

from __future__ import annotations

import difflib
from dataclasses import replace

from audiodiff.errors import MelError
from audiodiff.signal.mel_convention import MelSpec

_TACOTRON2 = MelSpec(sample_rate=22050, n_fft=1024, hop=256, win=1024, f_min=0, f_max=8000, n_mels=80)
_HIFIGAN = replace(_TACOTRON2, framing="edge", epsilon=1e-9)
_BIGVGAN_24K = replace(_HIFIGAN, sample_rate=24000, f_max=12000, n_mels=100)
_BIGVGAN_44K = replace(_HIFIGAN, sample_rate=44100, f_max=22050, n_mels=128)
_VOCOS = MelSpec(
    sample_rate=24000,
    n_fft=1024,
    hop=256,
    win=1024,
    f_min=0,
    f_max=12000,
    n_mels=100,
    scale="htk",
    norm="none",
    floor=1e-7,
)
_DIFFWAVE = MelSpec(
    sample_rate=22050,
    n_fft=1024,
    hop=256,
    win=1024,
    f_min=20,
    f_max=11025,
    n_mels=80,
    scale="htk",
    norm="none",
    normalized=True,
    log="db",
    mean=-80,  # 20 dB below, then 100 dB onto [0, 1]: (L - 20 + 100) / 100
    std=100,
    low=0,
    high=1,
)
_WAVEGAN = replace(_TACOTRON2, f_min=80, f_max=7600, log="log10", floor=1e-10)
_WAVEGAN_24K = replace(_WAVEGAN, sample_rate=24000, n_fft=2048, hop=300, win=1200)
_STYLETTS2 = MelSpec(
    sample_rate=24000,
    filter_rate=16000,  # its transform is made without a rate, so the library's default lays out the bands
    n_fft=2048,
    hop=300,
    win=1200,
    f_min=0,
    f_max=8000,
    n_mels=80,
    scale="htk",
    norm="none",
    power=2,
    floor_rule="add",
    mean=-4,
    std=4,
)
# Symmetric scaling to [-4, 4] with 20 dB of reference and 100 dB of range: 8 (L - 20 + 100) / 100 - 4.
_COQUI = replace(_TACOTRON2, f_max=11025, log="db", mean=-30, std=12.5, low=-4, high=4)

PRESETS: dict[str, MelSpec] = {
    "hifigan": _HIFIGAN,
    "tacotron2": _TACOTRON2,
    "vocos": _VOCOS,
    "bigvgan-24k": _BIGVGAN_24K,
    "diffwave": _DIFFWAVE,
    "bigvgan-22k": _HIFIGAN,
    "bigvgan-22k-full": replace(_HIFIGAN, f_max=11025),
    "bigvgan-44k": _BIGVGAN_44K,
    "bigvgan-44k-512x": replace(_BIGVGAN_44K, n_fft=2048, hop=512, win=2048),
    "fregrad": _HIFIGAN,
    "priorgrad": _HIFIGAN,
    "apnet2": replace(_HIFIGAN, epsilon=0),
    "matcha-ljspeech": replace(_HIFIGAN, mean=-5.536622, std=2.116101),
    "nemo-hifigan": replace(_HIFIGAN, epsilon=0, window="hann_symmetric"),
    "speechbrain-22k": _TACOTRON2,
    "speechbrain-16k": replace(_TACOTRON2, sample_rate=16000),
    "vocos-same": replace(_VOCOS, framing="edge"),
    "f5-vocos": replace(_VOCOS, floor=1e-5),
    "f5-bigvgan": _BIGVGAN_24K,
    "rfwave": replace(_VOCOS, log="log10"),
    "wavefm": replace(_VOCOS, power=2, floor=1e-5),
    "wavegrad": replace(_DIFFWAVE, n_fft=2048, hop=300, win=1200, n_mels=128),
    "wavegrad-24k": replace(
        _DIFFWAVE, sample_rate=24000, n_fft=2048, hop=300, win=1200, n_mels=128, f_max=12000
    ),
    "styletts2": _STYLETTS2,
    "espnet-22k": replace(_WAVEGAN, power_floor=1e-10),
    "espnet-24k": replace(_WAVEGAN_24K, power_floor=1e-10),
    "espnet-16k": replace(_WAVEGAN, sample_rate=16000, power_floor=1e-10),
    "parallel-wavegan-22k": _WAVEGAN,
    "parallel-wavegan-24k": _WAVEGAN_24K,
    "speecht5": replace(_WAVEGAN, sample_rate=16000),
    "coqui": _COQUI,
    # The vocoder's own feature code: zeros outside the recording, another floor, no cut.
    "fastdiff": replace(_WAVEGAN, padding="zeros", floor=1e-6),
    "bridgevoc-22k": _TACOTRON2,
    "bridgevoc-24k": replace(_TACOTRON2, sample_rate=24000, f_max=12000, n_mels=100),
}
"""Conventions by name, the most used first."""


def get_convention(name: str) -> MelSpec:
    """The convention of a name.

    Args:
        name: A key of `PRESETS`.

    Raises:
        MelError: No such name; the message has the nearest one.
    """
    if name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0)
    raise MelError(
        f"no mel convention is called {name!r}, did you mean {near[0]!r}? known: {', '.join(PRESETS)}"
    )


def names_of(spec: MelSpec) -> list[str]:
    """All names of a convention, the most used first; empty if it has none."""
    return [name for name, known in PRESETS.items() if known.fingerprint == spec.fingerprint]
