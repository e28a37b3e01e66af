"""Triangular mel filters, by numpy alone."""

from __future__ import annotations

import numpy as np

from audiodiff.arrays import Doubles
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_scale import hz_to_mel, mel_to_hz


def mel_filters(spec: MelSpec) -> Doubles:
    """Triangular mel filters, whose corners lie evenly on the mel scale.

    Returns:
        float64 [M, F].
    """
    low, high = (float(hz_to_mel(hz, spec.scale)) for hz in (spec.f_min, spec.f_max))
    corners = mel_to_hz(np.linspace(low, high, spec.n_mels + 2), spec.scale)
    hz = np.arange(spec.n_bins) * (spec.bank_rate / spec.n_fft)
    left, peak, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (hz - left) / (peak - left)
    falling = (right - hz) / (right - peak)
    filters: Doubles = np.minimum(rising, falling).clip(min=0)
    return filters * (2 / (right - left)) if spec.norm == "slaney" else filters
