"""Promise: presets with a schedule walk as published, from a waveform to a waveform, in chunks as in one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from audiodiff import Denoiser
from audiodiff.diffusion.cdiffuse import FAST_BETAS, PUBLISHED_BETAS
from audiodiff.errors import ModelError
from audiodiff.inference.chunk_denoiser import ChunkDenoiser
from audiodiff.inference.engine import Engine
from audiodiff.inference.sampling import sample
from audiodiff.inference.torch_evaluator import TorchEvaluator
from audiodiff.model.config import Presets, SamplerPreset
from audiodiff.model.model import Model
from tests.builders import WAVEFORM_NET, spectral_model, waveform_denoiser

CPU = torch.device("cpu")


def cdiffuse(mix_back: float = 0.2, process: dict[str, Any] | None = None) -> Model:
    quick, slow = (
        SamplerPreset(steps=len(betas), sampler="diffwave", eta=1.0, betas=betas, mix_back=mix_back)
        for betas in (FAST_BETAS, PUBLISHED_BETAS)
    )
    presets = Presets(fast=quick, balanced=quick, best=slow)
    return waveform_denoiser(
        WAVEFORM_NET, process=process or {"kind": "cdiffuse"}, target="eps", presets=presets
    )


def net(x: Tensor, t: Tensor) -> Tensor:
    """Any smooth function of state and time."""
    return 0.4 * torch.tanh(x + t.reshape(-1, 1)) - 0.2 * x


def draw(index: int) -> Tensor:
    generator = torch.Generator().manual_seed(index)
    return torch.randn(2, 9, generator=generator, dtype=torch.float64)


def published_times(betas: tuple[float, ...]) -> list[float]:
    """The search of the published code: the step of the training table, linear in the root of alpha_bar."""
    table = np.cumprod(1 - np.array(PUBLISHED_BETAS))
    times = []
    for alpha_bar in np.cumprod(1 - np.array(betas)):
        for i in range(len(table) - 1):
            if table[i + 1] <= alpha_bar <= table[i]:
                times.append(i + (table[i] ** 0.5 - alpha_bar**0.5) / (table[i] ** 0.5 - table[i + 1] ** 0.5))
                break
    return times


def published(betas: tuple[float, ...], y: Tensor) -> Tensor:
    """The whole published loop: start at y, posterior steps, clamp, and 0.2 of y mixed back at the end."""
    alpha_bar, m = [1.0], [0.0]
    for beta in betas:
        alpha_bar.append(alpha_bar[-1] * (1 - beta))
        m.append(math.sqrt((1 - alpha_bar[-1]) / math.sqrt(alpha_bar[-1])))
    m[-1] = 1.0
    delta = [1 - (1 + m_n**2) * a_n for m_n, a_n in zip(m, alpha_bar, strict=True)]
    x, steps = y, published_times(betas)
    for i, n in enumerate(range(len(betas), 0, -1)):
        # step k of the table is our time (k + 1)/50
        said = net(x, torch.full((2,), (steps[n - 1] + 1) / 50, dtype=torch.float64))
        alpha = 1 - betas[n - 1]
        if n == 1:
            x = (x - betas[0] / math.sqrt(1 - alpha_bar[1]) * said) / math.sqrt(alpha)
            return 0.8 * x.clamp(-1, 1) + 0.2 * y
        r = (1 - m[n]) / (1 - m[n - 1])
        dc = delta[n] - r * r * alpha * delta[n - 1]
        c1 = r * delta[n - 1] / delta[n] * math.sqrt(alpha)
        c1 += (1 - m[n - 1]) * dc / delta[n] / math.sqrt(alpha)
        c2 = (m[n - 1] * delta[n] - m[n] * r * alpha * delta[n - 1]) * math.sqrt(alpha_bar[n - 1]) / delta[n]
        c3 = (1 - m[n - 1]) * dc / delta[n] * math.sqrt(1 - alpha_bar[n]) / math.sqrt(alpha)
        x = c1 * x + c2 * y - c3 * said + math.sqrt(dc * delta[n - 1] / delta[n]) * draw(i + 1)
        x = x.clamp(-1, 1)
    raise AssertionError("the loop ends at n = 1")


@pytest.mark.parametrize("quality", ["fast", "best"])
def test_cdiffuse_walks_as_published(quality: str) -> None:
    model = cdiffuse()
    preset: SamplerPreset = getattr(model.config.presets, quality)
    assert preset.betas is not None
    y = 0.5 * draw(100)
    assert_close(sample(model, net, preset, draw, y), published(preset.betas, y), rtol=1e-7, atol=1e-7)


def test_mixing_back_is_a_lower_strength(recording: Any) -> None:
    x = recording(0.6, 16000)[0]
    mixed = Denoiser(cdiffuse(0.2)).denoise(x, 16000)
    plain = Denoiser(cdiffuse(0.0), strength=0.8).denoise(x, 16000)
    assert np.abs(mixed - x).max() > 0.01
    np.testing.assert_allclose(mixed, plain, atol=1e-6)


def test_chunks_of_a_schedule_equal_the_whole(recording: Any) -> None:
    model, x = cdiffuse(), recording(1.03, 16000, channels=2)
    worker = ChunkDenoiser(model, model.config.presets.fast, seed=3, evaluator=TorchEvaluator(model.net, CPU))

    def run(core_s: float) -> Any:
        engine = Engine(worker.plan(core_s), 2, lambda audio, chunk: worker.residual(audio, chunk, 1.5))
        return np.concatenate([engine.push(x), engine.flush()], axis=1)

    whole = run(60.0)
    assert np.abs(whole).max() > 0.01
    np.testing.assert_allclose(run(0.1), whole, atol=2e-5)


def test_what_cannot_be_walked_is_refused(recording: Any) -> None:
    with pytest.raises(ModelError, match="needs the process vp or cdiffuse"):
        Denoiser(cdiffuse(process={"kind": "brownian"})).denoise(recording(0.1, 16000)[0], 16000)
    mixed = SamplerPreset(steps=1, mix_back=0.2)
    with pytest.raises(ValueError, match="mix_back mixes waveforms"):
        spectral_model(presets=Presets(fast=mixed, balanced=mixed, best=mixed))
