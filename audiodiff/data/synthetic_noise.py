"""Generated noises, each of unit power (mean square 1) unless it is silent; `mixing` sets their level.

Recordings are thin where podcasts need them most: fans, mains hum, fridges, keyboards. These stand in.
All are functions of (length, generator, physical parameters) and never of time or global state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from audiodiff.signal.types import Audio

Curve = Sequence[float] | NDArray[np.float64]

# Below this frequency a power law would put all its power where nobody hears it.
LOWEST_HZ = 20.0
# Long-term average speech spectrum, third-octave bands in Hz and their levels in dB, both sexes and 12
# languages (Byrne et al., J. Acoust. Soc. Am. 96, 1994, table II, combined).
SPEECH_BANDS = (
    (63, 38.6), (80, 43.5), (100, 54.4), (125, 57.7), (160, 56.8), (200, 60.2), (250, 60.3), (315, 59.0),
    (400, 62.1), (500, 62.1), (630, 60.5), (800, 56.8), (1000, 53.7), (1250, 53.0), (1600, 52.0),
    (2000, 48.7), (2500, 48.1), (3150, 46.8), (4000, 45.6), (5000, 44.5), (6300, 44.3), (8000, 43.7),
    (10000, 43.4), (12500, 41.3), (16000, 40.7),
)  # fmt: skip
# A third octave is 2^(1/6) - 2^(-1/6) of its centre wide.
THIRD_OCTAVE = 0.2316


def unit_power(x: Audio) -> Audio:
    """Scale to mean square 1; silence stays silence."""
    power = float(np.dot(x, x)) / max(1, x.size)
    return x / np.float32(np.sqrt(power)) if power > 0 else x


def shaped(n: int, rng: np.random.Generator, sample_rate: int, freqs_hz: Curve, density_db: Curve) -> Audio:
    """Gaussian noise of a given power spectral density.

    Args:
        n: Samples.
        rng: Source of randomness.
        sample_rate: Hz.
        freqs_hz: Increasing frequencies > 0 at which the density is given.
        density_db: Power density there in dB, on any reference; straight lines between on a logarithmic
            frequency axis, constant outside.

    Returns:
        Samples [n] of unit power.
    """
    n_fft = scipy.fft.next_fast_len(n, real=True)
    bins_hz = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    octaves = np.log2(np.maximum(bins_hz, sample_rate / n_fft))
    amplitude: NDArray[np.float64] = 10 ** (np.interp(octaves, np.log2(freqs_hz), density_db) / 20)
    amplitude[0] = 0.0
    pairs = rng.standard_normal((n_fft // 2 + 1, 2), dtype=np.float32)
    spectrum = pairs.view(np.complex64)[:, 0] * amplitude.astype(np.float32)
    return unit_power(scipy.fft.irfft(spectrum, n_fft)[:n])


def coloured(n: int, rng: np.random.Generator, sample_rate: int, exponent: float) -> Audio:
    """Noise whose power density falls as 1/f^exponent: 0 white, 1 pink, 2 brown; level below 20 Hz.

    Args:
        n: Samples.
        rng: Source of randomness.
        sample_rate: Hz.
        exponent: Of the power density; negative values give bluish hiss.

    Returns:
        Samples [n] of unit power.
    """
    # 3.01 dB an octave for each unit of the exponent.
    octaves = float(np.log2(sample_rate / 2 / LOWEST_HZ))
    fall_db = -10 * np.log10(2) * exponent * octaves
    return shaped(n, rng, sample_rate, (LOWEST_HZ, sample_rate / 2), (0.0, fall_db))


def speech_shaped(n: int, rng: np.random.Generator, sample_rate: int) -> Audio:
    """Stationary noise with the long-term spectrum of speech (Byrne et al. 1994).

    Args:
        n: Samples.
        rng: Source of randomness.
        sample_rate: Hz.

    Returns:
        Samples [n] of unit power.
    """
    centres, levels = np.array(SPEECH_BANDS).T
    return shaped(n, rng, sample_rate, centres, levels - 10 * np.log10(THIRD_OCTAVE * centres))


def room_tone(n: int, rng: np.random.Generator, sample_rate: int, fall_db: float) -> Audio:
    """What a quiet room sounds like: noise that falls with frequency (Hoth 1941), drifting slowly.

    Args:
        n: Samples.
        rng: Source of randomness: it also draws a wide bend of the spectrum, and the drift of up to 3 dB.
        sample_rate: Hz.
        fall_db: Decibels an octave above 100 Hz; Hoth's rooms fall by about 5.

    Returns:
        Samples [n] of unit power.
    """
    octaves = np.arange(0.0, np.log2(sample_rate / 2 / 100.0) + 1e-9)
    bend_db = np.cumsum(rng.uniform(-2, 2, octaves.size))
    tone = shaped(n, rng, sample_rate, 100.0 * 2**octaves, bend_db - fall_db * octaves)
    drift = np.float32(3 * np.log(10) / 20) * slow(n, rng, sample_rate, period_s=3.0)
    return unit_power(tone * np.exp(drift))


def hum(
    n: int, rng: np.random.Generator, sample_rate: int, mains_hz: float, n_harmonics: int, slope_db: float
) -> Audio:
    """Mains hum: the mains frequency and its harmonics, with random phases and levels.

    Args:
        n: Samples.
        rng: Source of randomness.
        sample_rate: Hz.
        mains_hz: 50 or 60; the true frequency lies within 0.1 Hz of it, as grids keep it.
        n_harmonics: How many lines, the mains itself included; those above Nyquist are left out.
        slope_db: How much weaker each octave is on average, dB.

    Returns:
        Samples [n] of unit power.
    """
    base_hz = mains_hz + rng.uniform(-0.1, 0.1)
    lines = np.arange(1, n_harmonics + 1)
    lines = lines[lines * base_hz < sample_rate / 2]
    level_db = -slope_db * np.log2(lines.astype(np.float64)) + rng.uniform(-6, 6, lines.size)
    phases = rng.uniform(0, 2 * np.pi, lines.size)
    return _lines(base_hz / sample_rate * np.arange(n, dtype=np.float64), level_db, phases)


def _lines(turns: NDArray[np.float64], level_db: NDArray[np.float64], phases: NDArray[np.float64]) -> Audio:
    """Sum of the harmonics 1, 2, ... of a fundamental whose phase is `turns` (in cycles) [n].

    With z = exp(i phase) the sum is the real part of a polynomial in z, which Horner's rule gives in one
    complex product a line; a sine a line costs ten times as much.
    """
    angle = (2 * np.pi * np.mod(turns, 1.0)).astype(np.float32)
    z = np.empty(turns.size, dtype=np.complex64)
    z.real, z.imag = np.cos(angle), np.sin(angle)
    weights = (10 ** (level_db / 20) * np.exp(1j * phases)).astype(np.complex64)
    total = np.zeros(turns.size, dtype=np.complex64)
    for weight in weights[::-1]:
        total += weight
        total *= z
    return unit_power(np.ascontiguousarray(total.real))


def fan(
    n: int, rng: np.random.Generator, sample_rate: int, blade_hz: float, line_db: float, corner_hz: float
) -> Audio:
    """Fan or air conditioning: rushing air, the lines of the blades, a slowly drifting speed and strength.

    Args:
        n: Samples.
        rng: Source of randomness.
        sample_rate: Hz.
        blade_hz: Blade passing frequency (revolutions a second times blades); drifts by up to 2 %.
        line_db: Power of all lines together against the rushing, dB.
        corner_hz: Up to here the rushing is level, above it falls by 6 to 12 dB an octave.

    Returns:
        Samples [n] of unit power.
    """
    nyquist = sample_rate / 2
    fall_db = -rng.uniform(6, 12) * float(np.log2(nyquist / corner_hz))
    air = shaped(n, rng, sample_rate, (LOWEST_HZ, corner_hz, nyquist), (rng.uniform(-6, 0), 0.0, fall_db))
    air *= 1 + np.float32(0.15) * slow(n, rng, sample_rate, period_s=1.5)
    speed_hz = blade_hz * (1 + 0.02 * slow(n, rng, sample_rate, period_s=2.0).astype(np.float64))
    turns = np.cumsum(speed_hz) / sample_rate
    lines = np.arange(1, 7)
    lines = lines[lines * blade_hz * 1.02 < nyquist]
    level_db = -6.0 * (lines - 1) + rng.uniform(-4, 4, lines.size)
    blades = _lines(turns, level_db, rng.uniform(0, 2 * np.pi, lines.size))
    return unit_power(air + np.float32(10 ** (line_db / 20)) * blades)


def slow(n: int, rng: np.random.Generator, sample_rate: int, period_s: float) -> Audio:
    """A slow random curve between -1 and 1: straight lines between uniform draws.

    Args:
        n: Samples.
        rng: Source of randomness.
        sample_rate: Hz.
        period_s: Time between draws.

    Returns:
        Samples [n].
    """
    step = max(1, round(period_s * sample_rate))
    knots = rng.uniform(-1, 1, 3 + n // step)
    offset = rng.uniform(0, step)
    curve: NDArray[np.float64] = np.interp(np.arange(n) + offset, np.arange(knots.size) * step, knots)
    return curve.astype(np.float32)


def _event_times(n: int, rng: np.random.Generator, sample_rate: int, rate_hz: float) -> NDArray[np.int64]:
    """Poisson arrivals; at least one, so that the noise is never silent."""
    count = max(1, int(rng.poisson(rate_hz * n / sample_rate)))
    return np.sort(rng.integers(0, n, count))


def _burst(n: int, rng: np.random.Generator, sample_rate: int, decay_s: float, centre_hz: float) -> Audio:
    """Decaying noise around a frequency: a strike on something that rings a little."""
    time = np.arange(n, dtype=np.float32) / np.float32(sample_rate)
    tone = np.cos(np.float32(2 * np.pi * centre_hz) * time + np.float32(rng.uniform(0, 6.28)))
    body = rng.standard_normal(n, dtype=np.float32) * np.float32(0.7) + tone
    burst: Audio = body * np.exp(-time / np.float32(decay_s))
    return burst


def clicks(n: int, rng: np.random.Generator, sample_rate: int, rate_hz: float) -> Audio:
    """Clicks and pops: each decays within 0.1 to 2 ms, levels spread over 20 dB.

    Args:
        n: Samples.
        rng: Source of randomness.
        sample_rate: Hz.
        rate_hz: Clicks a second on average; there is always one at least.

    Returns:
        Samples [n] of unit power.
    """
    total = np.zeros(n, dtype=np.float32)
    for time in _event_times(n, rng, sample_rate, rate_hz):
        decay_s = float(np.exp(rng.uniform(np.log(1e-4), np.log(2e-3))))
        length = min(n - time, max(1, round(6 * decay_s * sample_rate)))
        burst = _burst(length, rng, sample_rate, decay_s, rng.uniform(500, min(12000, 0.45 * sample_rate)))
        total[time : time + length] += burst * np.float32(10 ** (rng.uniform(-20, 0) / 20))
    return unit_power(total)


def key_bursts(n: int, rng: np.random.Generator, sample_rate: int, rate_hz: float) -> Audio:
    """Typing: each key strikes its bottom, and comes up 60 to 130 ms later, weaker and brighter.

    Args:
        n: Samples.
        rng: Source of randomness.
        sample_rate: Hz.
        rate_hz: Keys a second on average; there is always one at least.

    Returns:
        Samples [n] of unit power.
    """
    total = np.zeros(n, dtype=np.float32)
    keyboard_hz = rng.uniform(1200, 4000)
    for time in _event_times(n, rng, sample_rate, rate_hz):
        release = time + round(rng.uniform(0.06, 0.13) * sample_rate)
        for start, level_db, shift in ((time, rng.uniform(-8, 0), 1.0), (release, rng.uniform(-16, -6), 1.5)):
            decay_s = rng.uniform(0.003, 0.015)
            length = min(n - start, round(6 * decay_s * sample_rate))
            if length > 0:
                centre_hz = min(keyboard_hz * shift * rng.uniform(0.8, 1.25), 0.45 * sample_rate)
                burst = _burst(length, rng, sample_rate, decay_s, centre_hz)
                total[start : start + length] += burst * np.float32(10 ** (level_db / 20))
    return unit_power(total)


def babble(voices: Sequence[Audio], rng: np.random.Generator) -> Audio:
    """Several people talking at once.

    Args:
        voices: Samples [n] of each talker, all of one length, of about one level.
        rng: Source of randomness: each is nearer or farther by up to 5 dB and starts somewhere else.

    Returns:
        Samples [n] of unit power.
    """
    total = np.zeros(voices[0].size, dtype=np.float32)
    for voice in voices:
        gain = np.float32(10 ** (rng.uniform(-5, 5) / 20))
        total += gain * np.roll(voice, int(rng.integers(voice.size)))
    return unit_power(total)
