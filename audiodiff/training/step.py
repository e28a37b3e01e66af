"""One step's loss, of trainings of spectra and of waveforms.

Letters: B items, T samples, F bins, M bands, N frames. The randomness of step k (times, noise) is a function
of (seed, k) alone, so a run that was stopped and resumed makes the same steps as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, TypedDict

import numpy as np
import torch
from torch import Tensor

from audiodiff.data.batches import Batch
from audiodiff.diffusion.diffwave import table_times
from audiodiff.diffusion.loss import TimeLaw, sample_state
from audiodiff.diffusion.noise_prior import Prior, noise_loss
from audiodiff.diffusion.prediction import Target, make_denoiser, target_of
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.vp import VP
from audiodiff.model.noise_shaping import shape
from audiodiff.networks.contract import Features
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.training.config import AnyConfig, TrainConfig
from audiodiff.training.losses import Front, objective
from audiodiff.training.ranks import Ranks


@dataclass(frozen=True)
class Setup:
    """The fixed parts of a training of spectra.

    Attributes:
        front: Front end of the model.
        process: Diffusion process.
        target: What the network predicts.
        law: Distribution of the times.
        encode: The network's `encode`, compiled or not.
        forward: The network's `forward`, compiled or not.
        device: Where the network lives.
        bf16: Whether the network runs under bfloat16 autocast.
        ranks: This process among those that train together.
    """

    front: Front
    process: Process
    target: Target
    law: TimeLaw
    encode: Callable[[Tensor], Features]
    forward: Callable[[Tensor, Tensor, Features], Tensor]
    device: torch.device
    bf16: bool
    ranks: Ranks


@dataclass(frozen=True)
class WaveSetup:
    """The fixed parts of a training of waveforms.

    Attributes:
        spec: Convention of the mel.
        prior: Prior of the noise, or None.
        process: Diffusion process, with a table of times.
        target: What the network predicts.
        loss: Kind of error.
        encode: The network's `encode`, compiled or not.
        forward: The network's `forward`, compiled or not.
        device: Where the network lives.
        bf16: Whether the network runs under bfloat16 autocast.
        ranks: This process among those that train together.
    """

    spec: MelSpec
    prior: Prior | None
    process: VP
    target: Target
    loss: Literal["l1", "l2"]
    encode: Callable[[Tensor], Features]
    forward: Callable[[Tensor, Tensor, Features], Tensor]
    device: torch.device
    bf16: bool
    ranks: Ranks


AnySetup: TypeAlias = Setup | WaveSetup


class _Where(TypedDict):
    """From what and where random numbers are drawn."""

    generator: torch.Generator
    device: torch.device


@dataclass(frozen=True)
class Losses:
    """Scalar losses of a batch.

    Attributes:
        total: What is differentiated.
        terms: The unweighted terms.
        trivial: Loss of the trivial predictor, if asked for: ``x0_hat = y`` for spectra, no noise at all for
            waveforms.
    """

    total: Tensor
    terms: dict[str, Tensor]
    trivial: Tensor | None


def drawn(shape: Sequence[int], ranks: Ranks, draw: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
    """This process's items of what is drawn for the whole batch: ``[B, ...]`` for the shape of its part."""
    return draw((shape[0] * ranks.count, *shape[1:]))[ranks.items]


def step_generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """The generator of one step's times and noise: a function of (seed, step).

    Args:
        seed: Seed of the run.
        step: Steps made before.
        device: Where it will draw; CPU and GPU draw different numbers.

    Returns:
        A fresh generator.
    """
    word = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(word >> np.uint64(1)))


def batch_losses(config: TrainConfig, setup: Setup, batch: Batch, step: int, trivial: bool) -> Losses:
    """Noise a batch, denoise it once, compare: ``x_t = a x_0 + b y + s eps -> x0_hat -> objective``.

    Args:
        config: The recipe.
        setup: The fixed parts.
        batch: One batch on the training's device.
        step: Steps made before; picks times and noise.
        trivial: Also measure ``x0_hat = y``.

    Returns:
        The losses, means over the batch.
    """
    noisy, clean, bandwidth_hz = batch
    n_samples = clean.shape[-1]
    with torch.no_grad():
        y, x_0 = setup.front.spectrum(noisy), setup.front.spectrum(clean)
        generator = step_generator(config.run.seed, step, setup.device)
        where: _Where = {"generator": generator, "device": setup.device}
        t = setup.law.draw(drawn((len(clean), 3), setup.ranks, lambda shape: torch.rand(shape, **where)))
        # complex noise of variance 1: each real part carries a half
        eps = drawn(x_0.shape, setup.ranks, lambda shape: torch.randn(shape, **where)) * math.sqrt(0.5)
        x_t = sample_state(setup.process, x_0, y, t, eps)
    autocast = partial(torch.autocast, setup.device.type, torch.bfloat16, enabled=setup.bf16)
    with autocast():
        h = setup.encode(y)

    def net_fn(x: Tensor, u: Tensor) -> Tensor:
        with autocast():
            return setup.forward(x, u, h).float()

    x0_hat = make_denoiser(setup.process, setup.target, net_fn, y)(x_t, t)
    total, terms = objective(config.objective, setup.front, x0_hat, x_0, bandwidth_hz, n_samples)
    baseline = None
    if trivial:
        with torch.no_grad():
            baseline = objective(config.objective, setup.front, y, x_0, bandwidth_hz, n_samples)[0].mean()
    return Losses(total.mean(), {name: value.mean() for name, value in terms.items()}, baseline)


def wave_losses(seed: int, setup: WaveSetup, batch: Batch, step: int, trivial: bool) -> Losses:
    """Noise a batch at entries of the table, predict the target: ``x_t = a x_0 + s eps -> eps`` (or v).

    DiffWave (Kong et al. 2021) with eps = z, PriorGrad (Lee et al. 2022) with its prior's.

    Args:
        seed: Seed of the run.
        setup: The fixed parts.
        batch: Mel [B, M, N], waveform [B, N hop] and bandwidth, on the training's device.
        step: Steps made before; picks times and noise.
        trivial: Also measure a prediction of zeros.

    Returns:
        The losses, means over the batch; the one term is ``noise``.
    """
    mel, x_0, _ = batch
    with torch.no_grad():
        generator = step_generator(seed, step, setup.device)
        where: _Where = {"generator": generator, "device": setup.device}
        uniform = drawn((len(x_0),), setup.ranks, lambda shape: torch.rand(shape, **where))
        t = table_times(setup.process, uniform)
        z = drawn(x_0.shape, setup.ranks, lambda shape: torch.randn(shape, **where))
        shaping = None if setup.prior is None else shape(setup.prior, mel, setup.spec)
        eps = z if shaping is None else z * shaping.scale
        x_t = sample_state(setup.process, x_0, None, t, eps)
        target = target_of(setup.process, setup.target, x_0, None, eps, t)
        seen = x_t if shaping is None else shaping.enter(x_t)
    with torch.autocast(setup.device.type, torch.bfloat16, enabled=setup.bf16):
        out = setup.forward(seen, t, setup.encode(mel)).float()
    found, scale = (out, None) if shaping is None else (shaping.leave(out), shaping.scale)
    total = noise_loss(target, found, setup.loss, scale).mean()
    nothing = noise_loss(target, torch.zeros_like(target), setup.loss, scale).mean() if trivial else None
    return Losses(total, {"noise": total}, nothing)


def step_losses(config: AnyConfig, setup: AnySetup, batch: Batch, step: int, trivial: bool) -> Losses:
    """The losses of a batch, by what the network works on; see `batch_losses` and `wave_losses`."""
    match setup:
        case WaveSetup():
            return wave_losses(config.run.seed, setup, batch, step, trivial)
        case Setup():
            assert isinstance(config, TrainConfig)  # `setup.prepare` makes one from the other
            return batch_losses(config, setup, batch, step, trivial)
