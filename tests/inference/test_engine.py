"""Promise: the engine gives what the whole gives, the same bits whatever the push sizes, in flat memory."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiodiff.errors import ConfigError, ShapeError
from audiodiff.inference.chunks import Chunk, Plan
from audiodiff.inference.engine import Engine, Later, Samples

HOP, N_FFT, REACH = 4, 16, 3
PLAN = Plan(hop=HOP, n_fft=N_FFT, core_frames=10, reach=REACH)


def noise(n: int, channels: int = 2) -> Samples:
    return np.random.default_rng(n).standard_normal((channels, n)).astype(np.float32)


def frame_sums(x: Samples, chunk: Chunk) -> npt.NDArray[np.float64]:
    """Sum of each frame's samples [C, n_frames], as an STFT would see them: zeros outside the signal."""
    wide = np.pad(x.astype(np.float64), ((0, 0), (N_FFT, N_FFT)))
    origin = chunk.first_sample - N_FFT
    starts = [(chunk.first_frame + i) * HOP - N_FFT // 2 - origin for i in range(chunk.n_frames)]
    return np.stack([wide[:, s : s + N_FFT].sum(axis=1) for s in starts], axis=1)


def reaching(x: Samples, chunk: Chunk) -> Samples:
    """A work whose result uses every sample and frame that the plan promises: window, reach, window again."""
    frames = frame_sums(x, chunk)
    padded = np.pad(frames, ((0, 0), (REACH, REACH)))
    # Each result frame sums 2 REACH + 1 frames, with weights that tell left from right.
    mixed = sum((1 + k) * padded[:, k : k + chunk.n_frames] for k in range(2 * REACH + 1))
    out = np.zeros((x.shape[0], (chunk.n_frames - 1) * HOP + N_FFT))
    for i in range(chunk.n_frames):
        out[:, i * HOP : i * HOP + N_FFT] += np.asarray(mixed)[:, i : i + 1] * np.arange(N_FFT)
    begin = chunk.start - (chunk.first_frame * HOP - N_FFT // 2)
    return out[:, begin : begin + chunk.stop - chunk.start].astype(np.float32)


def run(x: Samples, sizes: Sequence[int], plan: Plan = PLAN) -> Samples:
    engine = Engine(plan, x.shape[0], reaching)
    out, at = [], 0
    for size in [*sizes, x.shape[1]]:
        out.append(engine.push(x[:, at : at + size]))
        at += size
    return np.concatenate([*out, engine.flush()], axis=1)


@given(st.integers(0, 400), st.lists(st.integers(0, 130), max_size=8))
def test_any_pushes_give_the_same_bits(n: int, sizes: list[int]) -> None:
    x = noise(n)
    once = run(x, [])
    assert once.shape == x.shape
    np.testing.assert_array_equal(run(x, sizes), once)


@pytest.mark.parametrize("n", [1, 3, 39, 40, 41, 79, 80, 81, 123, 300])
def test_chunks_equal_the_whole(n: int) -> None:
    x = noise(n)
    whole = run(x, [], Plan(hop=HOP, n_fft=N_FFT, core_frames=10_000, reach=REACH))
    chunked = run(x, [7] * 60)
    # float64 sums, float32 results: the only difference is the order of additions
    np.testing.assert_allclose(chunked, whole, rtol=1e-6, atol=1e-4)


def test_a_smaller_reach_is_noticed() -> None:
    # The comparison above has teeth: a plan that promises one frame less fails it.
    x = noise(300)
    whole = run(x, [], Plan(hop=HOP, n_fft=N_FFT, core_frames=10_000, reach=REACH))
    short = run(x, [], Plan(hop=HOP, n_fft=N_FFT, core_frames=10, reach=REACH - 2))
    assert not np.allclose(short, whole, rtol=1e-6, atol=1e-4)


@given(
    st.integers(1, 50), st.integers(1, 200), st.integers(1, 60), st.integers(0, 40), st.integers(1, 20_000)
)
def test_cores_tile_the_signal(hop: int, n_fft: int, core_frames: int, reach: int, n: int) -> None:
    plan = Plan(hop=hop, n_fft=n_fft, core_frames=core_frames, reach=reach)
    chunks = [plan.chunk(i, n) for i in range(plan.n_chunks(n))]
    assert chunks[0].start == 0
    assert chunks[-1].stop == n
    assert all(left.stop == right.start for left, right in itertools.pairwise(chunks))
    for i, chunk in enumerate(chunks):
        assert 0 <= chunk.first_sample <= chunk.start < chunk.stop <= n
        assert chunk.stop_sample <= n
        if n >= plan.needs(i):  # what is certain early does not change when the signal goes on
            assert plan.chunk(i, n + 1 + hop * 7) == chunk
            assert plan.chunk(i, plan.needs(i)) == chunk


def test_memory_stays_flat() -> None:
    plan = Plan(hop=HOP, n_fft=N_FFT, core_frames=500, reach=REACH)

    def peak(n_pushes: int) -> int:
        engine = Engine(plan, 2, lambda x, c: x[:, c.start - c.first_sample : c.stop - c.first_sample])
        block = noise(1000)
        tracemalloc.start()
        for _ in range(n_pushes):
            engine.push(block)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(400) < 1.1 * peak(20)


def test_flush_makes_ready_for_another_signal() -> None:
    engine = Engine(PLAN, 1, reaching)
    x = noise(200, channels=1)
    first = np.concatenate([engine.push(x), engine.flush()], axis=1)
    second = np.concatenate([engine.push(x), engine.flush()], axis=1)
    np.testing.assert_array_equal(first, second)


def test_the_callers_buffer_may_be_used_again() -> None:
    x = noise(200)
    engine = Engine(PLAN, 2, reaching)
    buffer = np.empty((2, 50), dtype=np.float32)
    out = []
    for start in range(0, 200, 50):
        buffer[:] = x[:, start : start + 50]
        out.append(engine.push(buffer))
    np.testing.assert_array_equal(np.concatenate([*out, engine.flush()], axis=1), run(x, []))


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_results_that_are_waited_for_are_the_same(ahead: int) -> None:
    x, in_work = noise(400), 0

    def work(audio: Samples, chunk: Chunk) -> Later:
        nonlocal in_work
        in_work += 1

        def end() -> Samples:
            nonlocal in_work
            in_work -= 1
            return reaching(audio, chunk)

        return end

    engine, out = Engine(PLAN, 2, work, ahead=ahead), []
    for start in range(0, 400, 50):
        out.append(engine.push(x[:, start : start + 50]))
        assert in_work <= ahead
    assert in_work == ahead
    np.testing.assert_array_equal(np.concatenate([*out, engine.flush()], axis=1), run(x, []))


def test_wrong_shapes_are_refused() -> None:
    engine = Engine(PLAN, 2, reaching)
    with pytest.raises(ShapeError, match=r"\[2, n\]"):
        engine.push(noise(10, channels=3))
    with pytest.raises(ShapeError, match="chunk at sample 0"):
        Engine(PLAN, 2, lambda x, chunk: x[:, : chunk.n_frames]).push(noise(500))
    with pytest.raises(ConfigError, match="reach"):
        Plan(hop=1, n_fft=2, core_frames=1, reach=-1)
