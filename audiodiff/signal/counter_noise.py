"""Standard normal noise as a function of (seed, stream, step, position)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audiodiff.errors import ConfigError

_LANES = 4
_BLOCK = 256
"""Counters computed together; blocks lie on an absolute grid, so a sample always takes the same SIMD path."""


def gaussian(seed: int, stream: int, step: int, start: int, n: int) -> npt.NDArray[np.float32]:
    """Standard normal noise at the absolute positions start, ..., start + n - 1.

    The generator is counter-based (Philox4x64-10, Salmon et al. 2011): (seed, stream, step) are hashed to
    its key by numpy's SeedSequence, counter p // 4 gives the four 64-bit numbers of positions
    4 (p // 4) ... + 3, and Box-Muller turns each two of them into two normals. So a value depends on its
    position alone: ranges that overlap agree exactly, whatever chunks, batches or jobs asked for them.

    Args:
        seed: The user's seed, 0 <= seed < 2^64.
        stream: What the noise is for (start state, steps, ...), same range.
        step: Which draw, same range.
        start: First position, at least 0.

    Returns:
        float32 [n].

    Raises:
        ConfigError: If a number is out of range.
    """
    if min(start, n) < 0:
        raise ConfigError(f"noise needs a start and a count of at least 0, got {start} and {n}")
    per_block = _BLOCK * _LANES
    first = start // per_block
    n_blocks = -(-(start + n) // per_block) - first
    philox = np.random.Philox(key=_key(seed, stream, step), counter=[first * _BLOCK, 0, 0, 0])
    raw = philox.random_raw(n_blocks * per_block)
    # 53 bits to (0, 1]: the logarithm of 0 must not occur.
    uniform = ((raw >> np.uint64(11)) + np.uint64(1)).astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(np.ascontiguousarray(uniform[0::2])))
    angle = 2.0 * np.pi * np.ascontiguousarray(uniform[1::2])
    out = np.empty(raw.size, dtype=np.float32)
    out[0::2] = radius * np.cos(angle)
    out[1::2] = radius * np.sin(angle)
    skip = start - first * per_block
    return out[skip : skip + n]


def _key(seed: int, stream: int, step: int) -> npt.NDArray[np.uint64]:
    words = []
    for name, value in (("seed", seed), ("stream", stream), ("step", step)):
        if not 0 <= value < 1 << 64:
            raise ConfigError(f"the noise's {name} must lie in 0 to 2^64 - 1, got {value}")
        # Always two words each: SeedSequence alone would take (2^32, 0) and (0, 1, 0) for the same.
        words += [value & 0xFFFFFFFF, value >> 32]
    return np.random.SeedSequence(words).generate_state(2, np.uint64).astype(np.uint64, copy=False)
