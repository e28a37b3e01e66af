"""Rooms: simulated impulse responses, and speech in a room with its dry-enough target.

Rooms are simulated once, when a store is packed, by the image-source method (Allen & Berkley 1979, as in
pyroomacoustics) with octave-band absorption: walls swallow more at high frequencies, so the tail darkens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from audiodiff.signal.types import Audio

EARLY_S = 0.05
RT60_RANGE_S = (0.12, 0.6)
ROOM_SMALLEST_M, ROOM_LARGEST_M = (2.2, 2.2, 2.2), (6.0, 5.0, 3.2)
DISTANCE_RANGE_M = (0.2, 2.0)
WALL_MARGIN_M = 0.3
SPEED_OF_SOUND_M_S = 343.0
# Absorption of each octave band relative to the mean, the trend of plaster, wood and furniture.
BANDS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)
BAND_ABSORPTION = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
# Above this order images arrive below -60 dB in rooms of this size, and cost grows with the cube.
LARGEST_ORDER = 60


@dataclass(frozen=True)
class Room:
    """An impulse response.

    Attributes:
        response: Samples [T].
        direct: Index of the direct sound.
        rt60_s: Reverberation time it was designed for.
        distance_m: Source to microphone.
    """

    response: Audio
    direct: int
    rt60_s: float
    distance_m: float


def simulate_rooms(n: int, sample_rate: int, seed: int) -> Iterator[Room]:
    """Simulate small rooms with a speaker at podcast distances; room i depends on (seed, i) alone.

    Args:
        n: How many.
        sample_rate: Hz.
        seed: Any non-negative integer.

    Yields:
        Rooms with RT60 in `RT60_RANGE_S` and distance in `DISTANCE_RANGE_M`.
    """
    for position in range(n):
        yield _simulate(np.random.default_rng([seed, position]), sample_rate)


def _simulate(rng: np.random.Generator, sample_rate: int) -> Room:
    import pyroomacoustics as pra  # the `train` extra: only whoever packs a store needs it

    while True:
        size = rng.uniform(ROOM_SMALLEST_M, ROOM_LARGEST_M)
        rt60 = float(rng.uniform(*RT60_RANGE_S))
        # Sabine's formula; a short time in a large room would need walls that swallow more than everything.
        absorption = 0.161 * float(np.prod(size)) / (rt60 * _surface(size))
        if absorption * max(BAND_ABSORPTION) < 0.98:
            break
    microphone, source, distance = _positions(rng, size)
    material = pra.Material(
        {
            "description": "walls",
            "coeffs": [absorption * factor for factor in BAND_ABSORPTION],
            "center_freqs": list(BANDS_HZ),
        }
    )
    order = min(LARGEST_ORDER, int(np.ceil(SPEED_OF_SOUND_M_S * rt60 / float(np.min(size)))))
    room = pra.ShoeBox(size, fs=sample_rate, materials=material, max_order=order, air_absorption=True)
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    response = np.asarray(room.rir[0][0], dtype=np.float32)
    arrival = round(distance / SPEED_OF_SOUND_M_S * sample_rate) + pra.constants.get("frac_delay_length") // 2
    lowest = max(0, arrival - 8)
    direct = lowest + int(np.argmax(np.abs(response[lowest : arrival + 9])))
    response = response[: direct + round(rt60 * sample_rate)]
    return Room(response=response / np.max(np.abs(response)), direct=direct, rt60_s=rt60, distance_m=distance)


def _surface(size: NDArray[np.float64]) -> float:
    width, depth, height = size
    return float(2 * (width * depth + width * height + depth * height))


def _positions(
    rng: np.random.Generator, size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Microphone anywhere, source in any direction at a log-uniform distance, both away from the walls."""
    lowest, highest = np.full(3, WALL_MARGIN_M), size - WALL_MARGIN_M
    while True:
        microphone = rng.uniform(lowest, highest)
        direction = rng.standard_normal(3)
        distance = float(np.exp(rng.uniform(*np.log(DISTANCE_RANGE_M))))
        source = microphone + direction / np.linalg.norm(direction) * distance
        if np.all(source >= lowest) and np.all(source <= highest):
            return microphone, source, distance


def in_room(x: Audio, response: Audio, direct: int, sample_rate: int) -> tuple[Audio, Audio]:
    """Put a dry signal into a room, on the time axis of its direct sound.

    Args:
        x: Dry samples [T].
        response: Impulse response [R].
        direct: Index of its direct sound, which becomes delay zero.
        sample_rate: Hz.

    Returns:
        What a microphone records [T], and the part of it that is kept as the target [T]: the direct sound and
        the first 50 ms after it, which the ear takes for the voice's own colour.
    """
    early = response[: direct + round(EARLY_S * sample_rate)]
    size = scipy.fft.next_fast_len(x.size + response.size - 1, real=True)
    spectrum = scipy.fft.rfft(x, size)
    kept = slice(direct, direct + x.size)
    wet = scipy.fft.irfft(spectrum * scipy.fft.rfft(response, size), size)[kept]
    target = scipy.fft.irfft(spectrum * scipy.fft.rfft(early, size), size)[kept]
    return wet.astype(np.float32, copy=False), target.astype(np.float32, copy=False)
