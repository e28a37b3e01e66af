"""Training of vocoders of waveforms, conditioned on a mel: DiffWave and its like.

Letters: B items, T samples, M bands, N frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from audiodiff.data.batches import Batch
from audiodiff.diffusion.diffwave import table_times
from audiodiff.diffusion.loss import sample_state
from audiodiff.diffusion.noise_prior import Prior, noise_loss
from audiodiff.diffusion.prediction import target_of
from audiodiff.diffusion.vp import VP
from audiodiff.inference.vocoder import Vocoder
from audiodiff.model.model import Model
from audiodiff.model.noise_shaping import shape
from audiodiff.signal.mel import mel
from audiodiff.signal.types import Audio
from audiodiff.training.loaders import Loader, wave_loader
from audiodiff.training.losses import NoiseObjective
from audiodiff.training.model_sections import WaveModel
from audiodiff.training.ranks import Ranks
from audiodiff.training.recipe import WaveData
from audiodiff.training.run_sections import RunSection
from audiodiff.training.step import Losses, TrainingContext
from audiodiff.training.validation import DevItem


@dataclass(frozen=True)
class WaveTask:
    """Predicts the noise in a waveform, or v, at the entries of the process's table.

    DiffWave (Kong et al. 2021) with eps = z, PriorGrad (Lee et al. 2022) with its prior's.

    Attributes:
        model: Section ``[model]``.
        prior: Prior of the noise, or None.
        process: Diffusion process, with a table of times.
        data: Where the batches come from.
        objective: What is minimised.
        run: How the training runs.
    """

    model: WaveModel
    prior: Prior | None
    process: VP
    data: WaveData
    objective: NoiseObjective
    run: RunSection

    def losses(self, context: TrainingContext, batch: Batch, step: int, trivial: bool) -> Losses:
        """``x_t = a x_0 + s eps -> eps`` (or v), one term; the trivial predictor says that all is 0.

        The batch is a mel [B, M, N], a waveform [B, N hop] and its bandwidth [B].
        """
        cond, x_0, _ = batch
        kind = self.objective.noise
        with torch.no_grad():
            random = context.random(step)
            t = table_times(self.process, random.uniform((len(x_0),)))
            z = random.normal(x_0.shape)
            shaping = None if self.prior is None else shape(self.prior, cond, self.model.spec)
            eps = z if shaping is None else z * shaping.scale
            x_t = sample_state(self.process, x_0, None, t, eps)
            target = target_of(self.process, self.model.target, x_0, None, eps, t)
            seen = x_t if shaping is None else shaping.enter(x_t)
        with context.autocast():
            out = context.forward(seen, t, context.encode(cond)).float()
        found, scale = (out, None) if shaping is None else (shaping.leave(out), shaping.scale)
        total = noise_loss(target, found, kind, scale).mean()
        nothing = noise_loss(target, torch.zeros_like(target), kind, scale).mean() if trivial else None
        return Losses(total, {"noise": total}, nothing)

    def probe(self, n_samples: int) -> Batch:
        """See `Task`."""
        spec = self.model.spec
        n_frames = n_samples // spec.hop
        clean = 0.05 * torch.randn(2, n_frames * spec.hop, generator=torch.Generator().manual_seed(0))
        return mel(clean, spec)[..., :n_frames], clean, torch.full((2,), spec.sample_rate / 2)

    def loader(self, ranks: Ranks) -> Loader:
        """See `Task`."""
        return wave_loader(self.data, self.run, self.model.spec, ranks)

    def trial(self, model: Model, device: str) -> Callable[[DevItem], Audio]:
        """See `Task`."""
        vocoder, rate = Vocoder(model, device=device), self.model.sample_rate
        return lambda item: np.concatenate(list(vocoder.resynthesise([item.clean[np.newaxis]], rate)))
