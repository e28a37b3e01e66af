"""Training of models of spectra: denoisers, and vocoders that start from a mel inversion.

Letters: B items, T samples, F bins, N frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from audiodiff.data.batches import Batch
from audiodiff.diffusion.loss import TimeLaw, sample_state, x0_weight
from audiodiff.diffusion.prediction import Target, make_denoiser, to_x0
from audiodiff.diffusion.process import Process
from audiodiff.inference.denoiser import Denoiser
from audiodiff.model.model import Model
from audiodiff.signal.stft import STFT, Compression
from audiodiff.signal.types import Audio
from audiodiff.training.loaders import Loader, denoiser_loader, pair_loader
from audiodiff.training.losses import Front, ObjectiveConfig, objective
from audiodiff.training.model_sections import SpectralModel
from audiodiff.training.ranks import Ranks
from audiodiff.training.recipe import DenoiserData, PairData
from audiodiff.training.run_sections import RunSection
from audiodiff.training.step import Losses, TrainingContext
from audiodiff.training.validation import DevItem


@dataclass(frozen=True)
class SpectralTask:
    """Estimates the clean spectrum from a state between it and the recording.

    Attributes:
        front: Front end of the model.
        process: Diffusion process.
        target: What the network predicts.
        law: Distribution of the times.
        objective: What is minimised.
        data: Where the batches come from.
        run: How the training runs.
    """

    front: Front
    process: Process
    target: Target
    law: TimeLaw
    objective: ObjectiveConfig
    data: DenoiserData | PairData
    run: RunSection

    def losses(self, context: TrainingContext, batch: Batch, step: int, trivial: bool) -> Losses:
        """``x_t = a x_0 + b y + s eps -> x0_hat -> objective``.

        Items whose prediction says little of x_0 count as much less as their error is larger there. The
        trivial predictor says ``x0_hat = y`` where the network predicts x_0, and 0 elsewhere.
        """
        noisy, clean, bandwidth_hz = batch
        n_samples = clean.shape[-1]
        with torch.no_grad():
            y, x_0 = self.front.spectrum(noisy), self.front.spectrum(clean)
            random = context.random(step)
            t = self.law.draw(random.uniform((len(clean), 3)))
            eps = random.normal(x_0.shape) * math.sqrt(0.5)  # complex, variance 1: each part carries a half
            x_t = sample_state(self.process, x_0, y, t, eps)
            weight = x0_weight(self.process, self.target, t)
        with context.autocast():
            h = context.encode(y)

        def net_fn(x: Tensor, u: Tensor) -> Tensor:
            with context.autocast():
                return context.forward(x, u, h).float()

        def compare(x0_hat: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            total, terms = objective(self.objective, self.front, x0_hat, x_0, bandwidth_hz, n_samples)
            return weight * total, terms

        way = self.process, self.target
        total, terms = compare(make_denoiser(*way, net_fn, y)(x_t, t))
        baseline = None
        if trivial:
            with torch.no_grad():
                said = y if self.target == "x0" else to_x0(*way, torch.zeros_like(y), x_t, y, t)
                baseline = compare(said)[0].mean()
        return Losses(total.mean(), {name: value.mean() for name, value in terms.items()}, baseline)

    def probe(self, n_samples: int) -> Batch:
        """See `Task`."""
        generator = torch.Generator().manual_seed(0)
        noisy, clean = (0.05 * torch.randn(2, n_samples, generator=generator) for _ in range(2))
        return noisy, clean, torch.full((2,), self.front.sample_rate / 2)

    def loader(self, ranks: Ranks) -> Loader:
        """See `Task`."""
        if isinstance(self.data, PairData):
            return pair_loader(self.data, self.run, self.front.sample_rate, ranks)
        return denoiser_loader(self.data, self.run, self.front.sample_rate, ranks)

    def trial(self, model: Model, device: str) -> Callable[[DevItem], Audio]:
        """See `Task`."""
        denoiser = Denoiser(model, device=device)
        return lambda item: denoiser.denoise(item.noisy, self.front.sample_rate)


def spectral_task(
    model: SpectralModel,
    process: Process,
    data: DenoiserData | PairData,
    objective: ObjectiveConfig,
    law: TimeLaw,
    run: RunSection,
) -> SpectralTask:
    """The task that the sections of a recipe describe."""
    return SpectralTask(
        front=Front(
            STFT(model.n_fft, model.hop), Compression(model.exponent, model.scale), model.sample_rate
        ),
        process=process,
        target=model.target,
        law=law,
        objective=objective,
        data=data,
        run=run,
    )
