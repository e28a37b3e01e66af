"""Training of denoisers of waveforms, conditioned on the noisy waveform.

Letters: B items, T samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from audiodiff.data.batches import Batch
from audiodiff.diffusion.loss import TimeLaw, sample_state, x0_weight
from audiodiff.diffusion.prediction import Target, target_of, to_x0
from audiodiff.diffusion.process import Process
from audiodiff.inference.denoiser import Denoiser
from audiodiff.model.model import Model
from audiodiff.signal.types import Audio
from audiodiff.training.loaders import Loader, denoiser_loader
from audiodiff.training.ranks import Ranks
from audiodiff.training.recipe import DenoiserData
from audiodiff.training.run_sections import RunSection
from audiodiff.training.step import Losses, TrainingContext
from audiodiff.training.validation import DevItem
from audiodiff.training.wave_losses import WaveObjective, wave_objective


@dataclass(frozen=True)
class RecordingTask:
    """Undoes the process between a clean waveform and its recording.

    CDiffuSE (Lu et al. 2022) with its process and target eps; a denoiser in the time domain with a bridge and
    target x0.

    Attributes:
        sample_rate: Of the model, in Hz.
        process: Diffusion process.
        target: What the network predicts.
        law: Distribution of the times.
        objective: What is minimised.
        data: Where the batches come from.
        run: How the training runs.
    """

    sample_rate: int
    process: Process
    target: Target
    law: TimeLaw
    objective: WaveObjective
    data: DenoiserData
    run: RunSection

    def losses(self, context: TrainingContext, batch: Batch, step: int, trivial: bool) -> Losses:
        """``x_t = a x_0 + b y + s eps -> prediction``.

        The trivial predictor says ``x0_hat = y`` where the network predicts x_0, and 0 elsewhere.
        """
        y, x_0, bandwidth_hz = batch
        with torch.no_grad():
            random = context.random(step)
            t = self.law.draw(random.uniform((len(x_0), 3)))
            eps = random.normal(x_0.shape)
            x_t = sample_state(self.process, x_0, y, t, eps)
            truth = target_of(self.process, self.target, x_0, y, eps, t)
            weight = x0_weight(self.process, self.target, t)
        with context.autocast():
            found = context.forward(x_t, t, context.encode(y)).float()

        def compare(prediction: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            def waves() -> tuple[Tensor, Tensor]:
                return to_x0(self.process, self.target, prediction, x_t, y, t), x_0

            error = truth - prediction
            return wave_objective(self.objective, error, waves, weight, self.sample_rate, bandwidth_hz)

        total, terms = compare(found)
        baseline = None
        if trivial:
            with torch.no_grad():
                baseline = compare(y if self.target == "x0" else torch.zeros_like(y))[0].mean()
        return Losses(total.mean(), {name: value.mean() for name, value in terms.items()}, baseline)

    def probe(self, n_samples: int) -> Batch:
        """See `Task`."""
        generator = torch.Generator().manual_seed(0)
        noisy, clean = (0.05 * torch.randn(2, n_samples, generator=generator) for _ in range(2))
        return noisy, clean, torch.full((2,), self.sample_rate / 2)

    def loader(self, ranks: Ranks) -> Loader:
        """See `Task`."""
        return denoiser_loader(self.data, self.run, self.sample_rate, ranks)

    def trial(self, model: Model, device: str) -> Callable[[DevItem], Audio]:
        """See `Task`."""
        denoiser = Denoiser(model, device=device)
        return lambda item: denoiser.denoise(item.noisy, self.sample_rate)
