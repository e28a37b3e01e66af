"""Audio diffusion models that clean speech recordings and make speech from mels, on a laptop.

    import audiodiff
    denoiser = audiodiff.Denoiser("podcast")
    clean = denoiser.denoise(noisy, sample_rate)   # (T,) or (T, C), as soundfile gives it
    speech = audiodiff.Vocoder().vocode(mel, "hifigan")    # [80, N] to (T,) at 22050 Hz

Importing this package is cheap: numpy and ONNX Runtime are loaded when a `Denoiser` is first asked for, torch
with a `Vocoder`, a loaded model, or a denoiser that runs on a GPU or whose model has no graphs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from audiodiff.errors import (
    AudiodiffError,
    AudioFileError,
    ConfigError,
    DataError,
    MelError,
    ModelError,
    ShapeError,
)

if TYPE_CHECKING:
    from audiodiff.inference.denoiser import Denoiser
    from audiodiff.inference.live import LiveDenoiser
    from audiodiff.inference.vocoder import Vocoder
    from audiodiff.model.folder import load_model

__version__ = "0.1.0"

__all__ = [
    "AudioFileError",
    "AudiodiffError",
    "ConfigError",
    "DataError",
    "Denoiser",
    "LiveDenoiser",
    "MelError",
    "ModelError",
    "ShapeError",
    "Vocoder",
    "__version__",
    "load_model",
]

_LAZY = {
    "Denoiser": "audiodiff.inference.denoiser",
    "LiveDenoiser": "audiodiff.inference.live",
    "Vocoder": "audiodiff.inference.vocoder",
    "load_model": "audiodiff.model.folder",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'audiodiff' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
