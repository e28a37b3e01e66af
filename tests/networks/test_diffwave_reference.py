"""Promise: network and sampler together are DiffWave, by a slow reference of loops; the network can learn."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from audiodiff.diffusion import time_grids
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.diffwave import FAST_BETAS, diffwave, table_times
from audiodiff.diffusion.loss import sample_state
from audiodiff.diffusion.noise_prior import noise_loss
from audiodiff.diffusion.prediction import make_denoiser, target_of
from audiodiff.diffusion.samplers import ddim, last
from audiodiff.diffusion.vp import VP
from audiodiff.networks.wavenet import WaveNet, WaveNetConfig

pytestmark = pytest.mark.slow

Array = npt.NDArray[np.float64]
Weights = dict[str, Array]

N_FRAMES = 1


def noise(index: int, n_samples: int) -> torch.Tensor:
    return torch.randn(1, n_samples, generator=torch.Generator().manual_seed(index))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def upsample(mel: Array, kernel: Array, bias: float) -> Array:
    """Each value adds its 3 x 32 kernel at stride (1, 16); a border of (1, 8) is cut off."""
    n_mels, n_frames = mel.shape
    out = np.full((n_mels + 2, 16 * n_frames + 16), bias)
    for m in range(n_mels):
        for n in range(n_frames):
            out[m : m + 3, 16 * n : 16 * n + 32] += mel[m, n] * kernel
    out = out[1:-1, 8:-8]
    return np.where(out > 0, out, 0.4 * out)


def embed(w: Weights, step: float) -> Array:
    frequencies = [
        np.float32(10.0 ** float(np.float32(np.float32(4 * k) / np.float32(63)))) for k in range(64)
    ]

    def row(n: int) -> Array:
        angles = [float(np.float32(n) * frequency) for frequency in frequencies]
        return np.array([math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles])

    low, high = row(math.floor(step)), row(math.ceil(step))
    x = low + (high - low) * (step - math.floor(step))
    for name in ("projection1", "projection2"):
        x = w[f"diffusion_embedding.{name}.weight"] @ x + w[f"diffusion_embedding.{name}.bias"]
        x = x * sigmoid(x)
    return x


def layer(w: Weights, i: int, x: Array, mel: Array, step: Array) -> tuple[Array, Array]:
    """One residual block, sample by sample; x [T, C], mel [T, M]."""
    name = f"residual_layers.{i}."
    taps = [w[name + "dilated_conv.weight"][:, :, k] for k in range(3)]
    cond = w[name + "conditioner_projection.weight"][:, :, 0]
    out = w[name + "output_projection.weight"][:, :, 0]
    bias = w[name + "dilated_conv.bias"] + w[name + "conditioner_projection.bias"]
    shifted = x + w[name + "diffusion_projection.weight"] @ step + w[name + "diffusion_projection.bias"]
    channels, dilation = x.shape[1], 2 ** (i % 10)
    new, skips = np.empty_like(x), np.empty_like(x)
    for t in range(len(x)):
        y = bias + cond @ mel[t]
        for k in range(3):
            source = t + (k - 1) * dilation
            if 0 <= source < len(x):
                y = y + taps[k] @ shifted[source]
        z = sigmoid(y[:channels]) * np.tanh(y[channels:])
        both = out @ z + w[name + "output_projection.bias"]
        new[t] = (x[t] + both[:channels]) / math.sqrt(2)
        skips[t] = both[channels:]
    return new, skips


def slow_network(w: Weights, wave: Array, step: float, mel: Array) -> Array:
    """The published forward pass for one item: wave [T], mel [M, N]."""
    upper = mel
    for name in ("conv1", "conv2"):
        kernel = w[f"spectrogram_upsampler.{name}.weight"][0, 0]
        upper = upsample(upper, kernel, float(w[f"spectrogram_upsampler.{name}.bias"][0]))
    embedding = embed(w, step)
    first = w["input_projection.weight"][:, 0, 0]
    x = np.maximum(wave[:, None] * first + w["input_projection.bias"], 0)
    total = np.zeros_like(x)
    for i in range(30):
        x, skip = layer(w, i, x, upper.T, embedding)
        total += skip
    hidden = total / math.sqrt(30) @ w["skip_projection.weight"][:, :, 0].T + w["skip_projection.bias"]
    out = w["output_projection.weight"][0, :, 0]
    result: Array = np.maximum(hidden, 0) @ out + w["output_projection.bias"][0]
    return result


def aligned_steps() -> list[float]:
    """The published search for the training steps of the six inference steps."""
    betas = [1e-4 + (0.05 - 1e-4) * i / 49 for i in range(50)]
    table = np.cumprod([1 - beta for beta in betas])
    steps = []
    for level in np.cumprod([1 - beta for beta in FAST_BETAS]):
        for t in range(49):
            if table[t + 1] <= level <= table[t]:
                share = math.sqrt(table[t]) - math.sqrt(level)
                steps.append(t + share / (math.sqrt(table[t]) - math.sqrt(table[t + 1])))
                break
    return steps


def slow_sampler(w: Weights, mel: Array, draws: list[Array]) -> tuple[Array, int]:
    """The published reverse loop with its clamp; also how many values the clamps have cut."""
    levels, steps, cut = np.cumprod([1 - beta for beta in FAST_BETAS]), aligned_steps(), 0
    x = draws[0]
    for i, n in enumerate(range(5, -1, -1)):
        eps = slow_network(w, x, steps[n], mel)
        x = (x - FAST_BETAS[n] / math.sqrt(1 - levels[n]) * eps) / math.sqrt(1 - FAST_BETAS[n])
        if n > 0:
            variance = (1 - levels[n - 1]) / (1 - levels[n]) * FAST_BETAS[n]
            x = x + math.sqrt(variance) * draws[i + 1]
        cut += int((np.abs(x) > 1).sum())
        x = np.clip(x, -1, 1)
    return x, cut


def test_network_and_sampler_equal_the_slow_reference() -> None:
    with torch.random.fork_rng():
        torch.random.manual_seed(3)
        net = WaveNet(WaveNetConfig()).train(False)
        torch.nn.init.normal_(net.output_projection.weight, std=0.15)
    n_samples = 256 * N_FRAMES
    mel = torch.rand(1, 80, N_FRAMES, generator=torch.Generator().manual_seed(9))
    process = VP.diffwave()
    grid = time_grids.from_betas(process, FAST_BETAS)
    with torch.inference_mode():
        h = net.encode(mel)
        denoiser = make_denoiser(process, "eps", lambda x, t: net(x, t, h))
        start = process.start(None, noise(0, n_samples), grid[0])
        states = diffwave(denoiser, process, start, grid, lambda i: noise(i, n_samples))
        found = last(states)[0].numpy()
    weights = {name: value.double().numpy() for name, value in net.state_dict().items()}
    draws = [noise(i, n_samples)[0].double().numpy() for i in range(6)]
    expected, cut = slow_sampler(weights, mel[0].double().numpy(), draws)
    assert cut > 100  # the clamp took part
    assert 0.05 < float(expected.std())
    assert float(np.abs(found - expected).max()) < 1e-5


def test_overfitting_one_clip_drops_the_loss_tenfold() -> None:
    n_frames, hop, batch, steps = 16, 16, 8, 160
    n_samples = n_frames * hop
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        net = WaveNet(WaveNetConfig(16, 6, 6, 64, conditioner="frames", n_mels=8, hop=hop))
    phase = 2 * math.pi * torch.arange(n_samples)
    clip = (0.4 * torch.sin(phase / 10) + 0.2 * torch.sin(phase / 4.1 + 1)).expand(batch, -1)
    mel = torch.rand(1, 8, n_frames, generator=generator).expand(batch, -1, -1)
    process, losses = VP.diffwave(), []
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for i in range(steps):
        t = table_times(process, torch.rand(batch, generator=generator))
        eps = torch.randn(batch, n_samples, generator=generator)
        prediction = net(sample_state(process, clip, None, t, eps), t, net.encode(mel))
        loss = noise_loss(target_of(process, "eps", clip, None, eps, t), prediction, "l2").mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - i / steps)
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.8  # the last layer starts at zero: the noise itself is the error
    assert sum(losses[-20:]) / 20 < 0.1 * losses[0]


def test_cdiffuse_runs_on_the_network_of_waveforms() -> None:
    """The published pair: trained on 50 entries, sampled on six, the network told the time of the 50."""
    with torch.random.fork_rng():
        torch.random.manual_seed(1)
        net = WaveNet(WaveNetConfig(8, 6, 3, 16, conditioner="waveform")).train(False)
        torch.nn.init.normal_(net.output_projection.weight, std=0.1)
    published, fast = CDiffuSE.published(), CDiffuSE.fast()
    y = 0.3 * noise(50, 400)
    seen: list[float] = []

    def net_fn(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        time = published.time_of(fast.alpha_bar(t[0].item()))
        seen.append(50 * time - 1)
        prediction: torch.Tensor = net(x, torch.full_like(t, time), h)
        return prediction

    with torch.inference_mode():
        h = net.encode(y)
        denoiser = make_denoiser(fast, "eps", net_fn, y)
        x = fast.start(y, noise(0, 400), 1.0)
        out = last(ddim(denoiser, fast, x, time_grids.uniform(6), lambda i: noise(i, 400), y, eta=1.0))
    assert out.shape == y.shape
    assert torch.isfinite(out).all()
    assert not torch.equal(out, y)
    assert seen == sorted(seen, reverse=True)
    assert 0 <= seen[-1] < seen[0] <= 49
