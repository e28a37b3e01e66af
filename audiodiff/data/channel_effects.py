"""The way from the air to the file: filters, level, overload, codecs.

Linear steps take [..., T] so that speech, target and noise can pass them together; steps that destroy
take [T].
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.signal
import soundfile
from numpy.typing import NDArray

from audiodiff.data.synthetic_noise import slow
from audiodiff.io.formats import RATES
from audiodiff.signal.resample import resample
from audiodiff.signal.types import Audio

Sections = NDArray[np.float64]


@dataclass(frozen=True)
class Codec:
    """A lossy format and how hard it presses.

    Attributes:
        container: As soundfile names it.
        subtype: As soundfile names it.
        compression: 0 (best) to 1 (smallest).
        keeps_hz: Up to here the result can be trusted; the encoder may drop what is above.
    """

    container: str
    subtype: str
    compression: float
    keeps_hz: int


# keeps_hz: measured on white noise at 48 kHz, the band within 3 dB (tests/data/test_channel.py).
CODECS = (
    Codec("MP3", "MPEG_LAYER_III", 0.95, 6_000),
    Codec("MP3", "MPEG_LAYER_III", 0.85, 11_000),
    Codec("OGG", "VORBIS", 0.95, 15_500),
    Codec("OGG", "OPUS", 0.8, 20_000),
)


def codecs_at(sample_rate: int) -> tuple[Codec, ...]:
    """Those of `CODECS` that know a rate in Hz."""
    return tuple(codec for codec in CODECS if sample_rate in RATES.get(codec.subtype, (sample_rate,)))


def peaking(centre_hz: float, gain_db: float, q: float, sample_rate: int) -> Sections:
    """One bell filter: `gain_db` at the centre, nothing far away.

    Args:
        centre_hz: Centre, below Nyquist.
        gain_db: Gain there, dB.
        q: Centre over width.
        sample_rate: Hz.

    Returns:
        Second-order section [1, 6] (R. Bristow-Johnson, Audio EQ Cookbook, "peakingEQ").
    """
    amplitude = 10 ** (gain_db / 40)
    angle = 2 * math.pi * centre_hz / sample_rate
    alpha = math.sin(angle) / (2 * q)
    b = np.array([1 + alpha * amplitude, -2 * math.cos(angle), 1 - alpha * amplitude])
    a = np.array([1 + alpha / amplitude, -2 * math.cos(angle), 1 - alpha / amplitude])
    section: Sections = np.concatenate([b, a])[np.newaxis] / a[0]
    return section


def random_equaliser(rng: np.random.Generator, sample_rate: int, largest_db: float) -> Sections:
    """Two to four bells, log-uniform between 80 Hz and 0.4 of the rate: another microphone or voice.

    Args:
        rng: Source of randomness.
        sample_rate: Hz.
        largest_db: Bound of each bell's gain, either sign.

    Returns:
        Sections [2 to 4, 6].
    """
    bells = [
        peaking(
            float(np.exp(rng.uniform(np.log(80), np.log(0.4 * sample_rate)))),
            float(rng.uniform(-largest_db, largest_db)),
            float(rng.uniform(0.5, 2)),
            sample_rate,
        )
        for _ in range(int(rng.integers(2, 5)))
    ]
    return np.concatenate(bells)


def tilted(x: Audio, fall_db: float, sample_rate: int) -> Audio:
    """Make a noise darker: a straight fall on a logarithmic frequency axis.

    Args:
        x: Samples [T].
        fall_db: Decibels an octave from 100 Hz on, where 1 kHz keeps its level; below 100 Hz the gain is
            that of 100 Hz.
        sample_rate: Hz.

    Returns:
        Samples [T]; zero phase, and the ends meet as on a ring.
    """
    n_fft = scipy.fft.next_fast_len(x.size, real=True)
    freqs = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    octaves = np.log2(np.maximum(freqs, 100.0) / 1000.0)
    gain = (10 ** (-fall_db * octaves / 20)).astype(np.float32)
    return np.asarray(scipy.fft.irfft(scipy.fft.rfft(x, n_fft) * gain, n_fft)[: x.size], dtype=np.float32)


def high_pass_sections(cutoff_hz: float, sample_rate: int) -> Sections:
    """Low-cut switch of a microphone: second-order Butterworth, -3 dB at the cut-off."""
    return np.asarray(scipy.signal.butter(2, cutoff_hz, "highpass", fs=sample_rate, output="sos"))


def filtered(x: Audio, sections: Sections) -> Audio:
    """Run second-order sections over [..., T], from rest."""
    return np.asarray(scipy.signal.sosfilt(sections, x, axis=-1), dtype=np.float32)


def band_limit(x: Audio, cutoff_hz: float, sample_rate: int) -> Audio:
    """What a lower sample rate leaves: zero phase, nothing above the cut-off.

    Args:
        x: Samples [..., T].
        cutoff_hz: Level up to 0.92 of it, then a half cosine to nothing at it.
        sample_rate: Hz.

    Returns:
        Samples [..., T].
    """
    n_fft = scipy.fft.next_fast_len(x.shape[-1], real=True)
    spectrum = scipy.fft.rfft(x, n_fft)
    freqs = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    part = np.clip((freqs - 0.92 * cutoff_hz) / (0.08 * cutoff_hz), 0, 1)
    spectrum *= (0.5 + 0.5 * np.cos(np.pi * part)).astype(np.float32)
    return np.asarray(scipy.fft.irfft(spectrum, n_fft)[..., : x.shape[-1]], dtype=np.float32)


def gain_drift(n: int, rng: np.random.Generator, sample_rate: int, range_db: float) -> Audio:
    """Gains [n] of someone who moves about: a slow curve within +-range_db."""
    curve = slow(n, rng, sample_rate, period_s=1.0)
    gains: Audio = np.exp(curve * np.float32(range_db * math.log(10) / 20))
    return gains


def overload(x: Audio, over_db: float) -> Audio:
    """Clip: the peak is `over_db` above what the converter holds.

    Args:
        x: Samples [T].
        over_db: Peak over ceiling, dB, >= 0.

    Returns:
        Samples [T], the peak lowered by `over_db`.
    """
    ceiling = float(np.max(np.abs(x))) * 10 ** (-over_db / 20)
    return np.clip(x, -ceiling, ceiling)


def mu_law(x: Audio) -> Audio:
    """Eight-bit telephone quantisation (G.711's mu-law curve, continuous form) relative to the peak.

    Args:
        x: Samples [T].

    Returns:
        Samples [T].
    """
    peak = float(np.max(np.abs(x)))
    if peak == 0:
        return x
    mu = 255.0
    bent = np.sign(x) * np.log1p(mu * np.abs(x) / peak) / math.log1p(mu)
    stepped = np.round(bent * 127) / 127
    return (peak * np.sign(stepped) * np.expm1(np.abs(stepped) * math.log1p(mu)) / mu).astype(np.float32)


def coded(x: Audio, codec: Codec, sample_rate: int) -> Audio:
    """Encode and decode.

    Args:
        x: Samples [T]; scaled to -6 dBFS for the encoder and back, so no clipping is added.
        codec: Which and how hard.
        sample_rate: Hz, one that the format knows.

    Returns:
        Samples [T], aligned with the input.
    """
    peak = float(np.max(np.abs(x)))
    if peak == 0:
        return x
    file = io.BytesIO()
    soundfile.write(
        file,
        x * np.float32(0.5 / peak),
        sample_rate,
        format=codec.container,
        subtype=codec.subtype,
        compression_level=codec.compression,
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.pad(decoded[: x.size], (0, max(0, x.size - decoded.size))) * np.float32(2 * peak)


def speed(x: Audio, factor: float, sample_rate: int) -> Audio:
    """Play faster or slower, pitch and all.

    Args:
        x: Samples [T].
        factor: Above 1 is faster: f Hz becomes factor * f.
        sample_rate: Hz.

    Returns:
        Samples [ceil(T / factor)], to the nearest rate in whole Hz.
    """
    return np.asarray(resample(x[np.newaxis], round(sample_rate * factor), sample_rate)[0])
