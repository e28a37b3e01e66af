"""Promise: the STFT inverts exactly at any length; a slice of samples gives the frames of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff.errors import ConfigError, ShapeError
from audiodiff.signal.stft import LINEAR_BELOW, STFT, Compression, to_complex, to_real
from tests.errors import refused

GRIDS = [(64, 32), (60, 20), (64, 16), (10, 5), (2, 1), (1536, 768), (512, 128)]
grids = st.sampled_from(GRIDS[:5])


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@given(grids, st.integers(1, 400), st.integers(0, 99))
@settings(deadline=None)
def test_inverse_is_exact_at_any_length(grid: tuple[int, int], n_samples: int, seed: int) -> None:
    stft = STFT(*grid)
    x = noise(2, n_samples, seed=seed)
    z = stft.forward(x)
    assert z.shape == (2, stft.n_bins, stft.n_frames(n_samples))
    assert (stft.inverse(z, n_samples) - x).abs().max() < 2e-6


@pytest.mark.parametrize("grid", GRIDS)
def test_inverse_keeps_float32_and_float64_precision(grid: tuple[int, int]) -> None:
    x = 0.3 * noise(1, 20_011)
    stft = STFT(*grid)
    assert (stft.inverse(stft.forward(x), 20_011) - x).abs().max() < 1e-6
    wide = x.double()
    assert (stft.inverse(stft.forward(wide), 20_011) - wide).abs().max() < 1e-13


@pytest.mark.parametrize("grid", GRIDS[:4])
def test_frames_equal_torch_stft(grid: tuple[int, int]) -> None:
    x = noise(3, 501)
    stft = STFT(*grid)
    window = torch.hann_window(grid[0]).sqrt()
    theirs = torch.stft(x, *grid, window=window, center=True, pad_mode="constant", return_complex=True)
    ours = stft.forward(x)
    assert (ours[..., : theirs.shape[-1]] - theirs).abs().max() < 2e-5


@pytest.mark.parametrize(("n_samples", "frames"), [(0, 1), (1, 2), (32, 2), (33, 3), (64, 3)])
def test_number_of_frames(n_samples: int, frames: int) -> None:
    stft = STFT(64, 32)
    assert stft.n_frames(n_samples) == frames
    z = stft.forward(torch.zeros(1, n_samples))
    assert z.shape[-1] == frames
    assert stft.inverse(z, n_samples).shape == (1, n_samples)


def test_click_falls_into_the_frame_it_is_centred_in() -> None:
    stft = STFT(64, 32)
    x = torch.zeros(320)
    x[5 * 32] = 1.0
    power = stft.forward(x).abs().pow(2).sum(0)
    assert power.argmax() == 5
    assert power[[3, 4, 6, 7]].max() < 1e-10


@given(grids, st.data())
@settings(deadline=None)
def test_slice_of_samples_gives_the_frames_of_the_whole(grid: tuple[int, int], data: st.DataObject) -> None:
    stft = STFT(*grid)
    x = noise(2, data.draw(st.integers(1, 300)))
    whole = stft.forward(x)
    first = data.draw(st.integers(0, whole.shape[-1] - 1))
    count = data.draw(st.integers(1, whole.shape[-1] - first))
    begin = max(0, first * stft.hop - stft.n_fft // 2 - data.draw(st.integers(0, 9)))
    end = (first + count - 1) * stft.hop + stft.n_fft // 2 + data.draw(st.integers(0, 9))
    part = stft.frames(x[:, begin:end], first, count, first_sample=begin)
    assert (part - whole[..., first : first + count]).abs().max() < 1e-5


def test_frames_far_outside_the_samples_are_zero() -> None:
    stft = STFT(64, 32)
    assert stft.frames(noise(50), 10, 3).abs().max() == 0
    assert stft.frames(noise(50), 0, 3, first_sample=500).abs().max() == 0


@given(grids, st.data())
@settings(deadline=None)
def test_slice_of_frames_gives_the_samples_of_the_whole(grid: tuple[int, int], data: st.DataObject) -> None:
    stft = STFT(*grid)
    n_samples = data.draw(st.integers(1, 300))
    x = noise(2, n_samples)
    z = stft.forward(x)
    start = data.draw(st.integers(0, n_samples - 1))
    stop = data.draw(st.integers(start + 1, n_samples))
    reach = stft.n_fft // 2 - 1
    touching = [
        n for n in range(z.shape[-1]) if n * stft.hop + reach >= start and n * stft.hop - reach < stop
    ]
    first, end = touching[0], touching[-1] + 1
    part = stft.overlap_add(z[..., first:end], first, start, stop - start)
    assert (part - x[:, start:stop]).abs().max() < 2e-6


def test_usual_grid_needs_no_normaliser() -> None:
    stft = STFT(1536, 768)
    z = stft.forward(noise(1, 768 * 9))
    alone = stft.overlap_add(z[..., 3:6], 3, 3 * 768, 2 * 768)
    more = stft.overlap_add(z[..., 2:7], 2, 3 * 768, 2 * 768)
    assert (alone - more).abs().max() < 1e-6


def test_differentiable() -> None:
    stft = STFT(8, 2)
    x = noise(2, 13, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(stft.forward, (x,))
    z = stft.forward(x.detach()).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: stft.inverse(v, 13), (z,))


@pytest.mark.parametrize("grid", [(63, 21), (64, 64), (64, 24), (0, 0), (64, 0), (-2, 1)])
def test_unfit_grids_are_refused(grid: tuple[int, int]) -> None:
    with pytest.raises(ConfigError):
        STFT(*grid)


def test_wrong_shapes_are_refused() -> None:
    stft = STFT(64, 32)
    z = stft.forward(noise(1, 320))
    with refused(ShapeError, "shape", 200, 8, 11):
        stft.inverse(z, 200)
    with refused(ShapeError, "shape", 11, 33):
        stft.inverse(z.transpose(-1, -2), 1024)
    with refused(ShapeError, "shape", 0, 10, 11):
        stft.overlap_add(z, 3, 0, 10)


def test_equal_settings_are_equal_and_hashable() -> None:
    used = STFT(64, 32)
    used.forward(noise(10))
    assert used == STFT(64, 32)
    assert hash(used) == hash(STFT(64, 32))


@pytest.mark.parametrize(("exponent", "scale"), [(0.5, 0.15), (0.3, 1.0), (1.0, 2.0)])
def test_compression_inverts(exponent: float, scale: float) -> None:
    compression = Compression(exponent, scale)
    magnitude = torch.logspace(-9, 3, 400, dtype=torch.float64)
    z = torch.polar(magnitude, torch.linspace(-9, 9, 400, dtype=torch.float64))
    packed = compression.apply(z)
    assert ((compression.invert(packed) - z).abs() / magnitude).max() < 1e-12
    above = magnitude >= LINEAR_BELOW
    assert torch.allclose(packed.abs()[above], scale * magnitude[above] ** exponent, rtol=1e-12, atol=0)
    assert torch.allclose(torch.angle(packed), torch.angle(z), rtol=0, atol=1e-12)
    assert (packed.abs().diff() > 0).all()
    single = compression.invert(compression.apply(z.to(torch.complex64)))
    assert ((single - z).abs() / magnitude).max() < 2e-6


@pytest.mark.parametrize("size", [0.0, 1e-12, 0.3 * LINEAR_BELOW, 3 * LINEAR_BELOW, 1.0])
def test_compression_has_a_bounded_gradient(size: float) -> None:
    compression = Compression(0.5, 0.15)
    z = (size * torch.tensor([1 + 0j, 0.6 - 0.8j, -1j], dtype=torch.complex128)).requires_grad_()
    step = max(size, LINEAR_BELOW) * 1e-3
    assert torch.autograd.gradcheck(compression.apply, (z,), eps=step, rtol=1e-3)
    packed = compression.apply(z).detach().requires_grad_()
    assert torch.autograd.gradcheck(compression.invert, (packed,), eps=step, rtol=1e-3)
    (grad,) = torch.autograd.grad(to_real(compression.apply(z)).sum(), z)
    assert grad.abs().max() <= 1.01 * 2**0.5 * 0.15 * LINEAR_BELOW**-0.5


@pytest.mark.parametrize(("exponent", "scale"), [(0.0, 1.0), (1.5, 1.0), (0.5, 0.0), (0.5, float("inf"))])
def test_unfit_compression_is_refused(exponent: float, scale: float) -> None:
    with pytest.raises(ConfigError):
        Compression(exponent, scale)


def test_real_and_complex_are_two_views_of_one() -> None:
    z = STFT(64, 32).forward(noise(2, 100))
    assert torch.equal(to_complex(to_real(z)), z)
    assert to_complex(to_real(z).bfloat16()).dtype == torch.complex64
    with pytest.raises(ShapeError):
        to_complex(torch.zeros(4, 3))


@pytest.mark.usefixtures("librosa_ready")
def test_equals_librosa() -> None:
    """librosa's frames lie on the same grid; it makes one frame less where the last one is only padding."""
    import librosa

    x = np.random.default_rng(5).standard_normal(9600)
    theirs = librosa.stft(
        x, n_fft=1536, hop_length=768, window=np.sqrt(np.hanning(1537)[:-1]), center=True, pad_mode="constant"
    )
    ours = STFT(1536, 768).forward(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours[:, : theirs.shape[1]], theirs, atol=1e-10)


@given(grids, st.integers(1, 300), st.integers(0, 99))
@settings(deadline=None)
def test_arrays_and_tensors_give_the_same(grid: tuple[int, int], n_samples: int, seed: int) -> None:
    stft, compression = STFT(*grid), Compression(0.5, 0.33)
    x = noise(2, n_samples, seed=seed)
    z, own = stft.forward(x), stft.forward(x.numpy())
    assert own.dtype == np.complex64
    np.testing.assert_allclose(own, z.numpy(), rtol=1e-5, atol=2e-5)
    squeezed = compression.apply(own)
    assert squeezed.dtype == np.complex64
    np.testing.assert_allclose(squeezed, compression.apply(z).numpy(), rtol=1e-5, atol=1e-4)
    assert np.array_equal(to_complex(to_real(own)), own)
    assert to_real(own).dtype == np.float32
    back = stft.inverse(compression.invert(squeezed), n_samples)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, x.numpy(), atol=1e-5)
