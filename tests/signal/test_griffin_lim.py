"""Promise: the framed STFT inverts in least squares; fast Griffin-Lim keeps what is exact."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff.errors import ConfigError, ShapeError
from audiodiff.signal.framed_stft import FramedSTFT
from audiodiff.signal.griffin_lim import accelerated, fast_griffin_lim
from audiodiff.signal.stft import STFT
from tests.errors import refused

GRIDS = [(64, 64, 16), (64, 40, 10), (64, 64, 32), (128, 60, 25), (64, 41, 20)]


def framed(n_fft: int, win: int, hop: int) -> FramedSTFT:
    return FramedSTFT(torch.hann_window(win, dtype=torch.float64), n_fft, hop)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.sampled_from(GRIDS), st.integers(1, 30), st.integers(0, 99))
@settings(deadline=None)
def test_inverse_is_exact_under_the_windows(grid: tuple[int, int, int], n_frames: int, seed: int) -> None:
    stft = framed(*grid)
    x = noise(2, stft.n_samples(n_frames), seed=seed)
    z = stft.forward(x)
    assert z.shape == (2, stft.n_bins, n_frames)
    y = stft.inverse(z, x.shape[-1])
    # Sample 0 lies under the zero of the window; near the ends a window of almost 0 is divided out.
    assert (y - x)[..., 2 : -(stft.hop + 2)].abs().max() < 1e-9
    assert (stft.forward(y) - z).abs().max() < 1e-3 * z.abs().max()


@pytest.mark.parametrize("grid", GRIDS)
def test_inverse_is_the_least_squares_signal(grid: tuple[int, int, int]) -> None:
    stft = framed(*grid)
    n_samples = stft.n_samples(6)
    z = torch.complex(noise(stft.n_bins, 6), noise(stft.n_bins, 6, seed=1))
    columns = stft.forward(torch.eye(n_samples, dtype=torch.float64))  # the transform as a matrix
    # Bins that stand for two conjugate ones count twice in the norm of the frames.
    weight = torch.full((stft.n_bins, 1), 2.0, dtype=torch.float64)
    weight[0] = weight[-1] = 1
    matrix = torch.view_as_real(columns * weight.sqrt()).flatten(1).T
    wanted = torch.view_as_real(z * weight.sqrt()).flatten()
    inner = slice(3, n_samples - 3)
    best = torch.linalg.lstsq(matrix[:, 1:], wanted, driver="gelsd").solution
    assert (stft.inverse(z, n_samples)[inner] - best[inner.start - 1 : inner.stop - 1]).abs().max() < 1e-6


@pytest.mark.parametrize("grid", GRIDS[:4])
def test_magnitudes_equal_torch_stft(grid: tuple[int, int, int]) -> None:
    n_fft, win, hop = grid
    stft = framed(*grid)
    x = noise(stft.n_samples(20))
    left = (n_fft - win) // 2
    padded = torch.nn.functional.pad(x, (left, n_fft - win - left))
    theirs = torch.stft(padded, n_fft, hop, win, window=stft.window, center=False, return_complex=True).abs()
    assert (stft.forward(x).abs()[..., : theirs.shape[-1]] - theirs).abs().max() < 1e-9


def test_exact_magnitude_and_phase_are_a_fixed_point() -> None:
    stft = framed(64, 64, 16)
    x = noise(stft.n_samples(30))
    z = stft.forward(x)
    y = fast_griffin_lim(z.abs(), z.angle(), stft, x.shape[-1], 5)
    assert (y - x)[16:-16].abs().max() < 1e-9


@pytest.mark.parametrize("stft", [framed(64, 64, 16), STFT(64, 16)], ids=["framed", "square root"])
def test_iterations_approach_the_magnitude(stft: FramedSTFT | STFT) -> None:
    n_samples = 64 + 16 * 60
    x = noise(2, n_samples)
    z = stft.forward(x)
    start = noise(*z.shape, seed=3) * 3
    away = []
    for iterations in (0, 2, 8, 32):
        y = fast_griffin_lim(z.abs(), start, stft, n_samples, iterations)
        away.append(float((stft.forward(y).abs() - z.abs()).norm() / z.norm()))
    assert away == sorted(away, reverse=True)
    assert away[-1] < 0.5 * away[0]


def test_items_of_a_batch_do_not_meet() -> None:
    stft = framed(64, 64, 16)
    x = noise(3, stft.n_samples(20))
    z = stft.forward(x)
    start = noise(*z.shape, seed=4)
    together = fast_griffin_lim(z.abs(), start, stft, x.shape[-1], 4)
    alone = fast_griffin_lim(z[1].abs(), start[1], stft, x.shape[-1], 4)
    assert (together[1] - alone).abs().max() < 1e-12


def test_momentum_is_that_of_the_extrapolated_form() -> None:
    """The published form t = c + 0.99 (c - c_before), written out with a projection that is no STFT."""
    goal = noise(5, 7).abs()
    matrix = noise(5, 5, seed=2).to(torch.complex128) * 0.3

    def project(z: torch.Tensor) -> torch.Tensor:
        return matrix @ z

    z = torch.polar(goal, noise(5, 7, seed=1))
    before = torch.zeros_like(z)
    slow = z
    for i in range(6):
        c = project(slow)
        t = c + 0.99 * (c - before) if i else c
        slow = goal * t / t.abs()
        before = c
    assert (accelerated(z, project, lambda _: goal, 6) - slow).abs().max() < 1e-9


def test_wrong_sizes_are_refused() -> None:
    with refused(ConfigError, "config", 64, 32):
        framed(32, 64, 16)
    with refused(ConfigError, "config", 64, 33):
        framed(64, 64, 33)
    stft = framed(64, 64, 16)
    with refused(ShapeError, "shape", 64, 63):
        stft.forward(torch.zeros(63))
    with refused(ShapeError, "shape", 112, 111):
        stft.inverse(torch.zeros(33, 4, dtype=torch.complex64), 111)
    with refused(ShapeError, "shape", [33, 4], [33, 5]):
        fast_griffin_lim(torch.ones(33, 4), torch.ones(33, 5), stft, 112, 1)
    with refused(ConfigError, "config", -1):
        fast_griffin_lim(torch.ones(33, 4), torch.ones(33, 4), stft, 112, -1)
