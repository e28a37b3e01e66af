"""Sections ``[optim]`` and ``[run]`` of a recipe: how the weights are changed, and how the training runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from audiodiff.errors import ConfigError
from audiodiff.settings import Settings
from audiodiff.training.best import BestMetric


class Optim(Settings):
    """How the weights are changed.

    Attributes:
        kind: ``adamw``, ``adam`` (weight decay goes through the moments), ``sgd`` with momentum, or ``muon``
            for the inner matrices and kernels with AdamW for all else.
        steps: Length of the schedule; training ends there.
        lr: Highest learning rate, of all that Muon does not change.
        shape: What follows the warm-up: half a ``cosine`` over all steps, or a ``constant`` rate with a tail.
        tail: Steps at the end of a constant rate in which it falls in a straight line; 0 for none.
        lr_floor: Last learning rate as a share of the highest.
        warmup: Steps of the linear warm-up.
        betas: Decay rates of AdamW and Adam.
        momentum: Of SGD; 0 for none.
        weight_decay: On matrices and kernels only; 0 makes AdamW Adam.
        clip: Largest norm of the gradient; 0 leaves it as it is.
        ema: Largest decay of the average of the weights.
        muon_lr: Highest learning rate of Muon.
        muon_momentum: Decay of its momentum.
        adamw_names: Modules and parameters that stay with AdamW under ``muon``: first and last layers,
            embeddings. What has fewer than two axes stays there anyway.
    """

    kind: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    steps: int = Field(ge=1)
    lr: float = Field(gt=0)
    shape: Literal["cosine", "constant"] = "cosine"
    tail: int = Field(default=0, ge=0)
    lr_floor: float = Field(default=0.01, ge=0, le=1)
    warmup: int = Field(default=200, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, ge=0)
    ema: float = Field(default=0.999, ge=0, lt=1)
    muon_lr: float = Field(default=0.02, gt=0)
    muon_momentum: float = Field(default=0.95, ge=0, lt=1)
    adamw_names: tuple[str, ...] = ()


class TimedOptim(Optim):
    """How the weights of a model of spectra are changed, and at which times of the process.

    Attributes:
        t_steps: Times are drawn around the default sampling grid of this many steps; 8 where the network
            predicts anything but x_0 and nothing is said.
        t_start_share: Probability of the start of sampling itself; 0.2 in that case.
        t_jitter: Reach of the other times towards their neighbours in the grid; 0.5 covers everything.
    """

    t_steps: int = Field(default=4, ge=1, le=1000)
    t_start_share: float = Field(default=0.4, ge=0, le=1)
    t_jitter: float = Field(default=0.5, ge=0, lt=1)


class RunSection(Settings):
    """How the training runs; all of it may change when a run is resumed, but the seed should not.

    Attributes:
        seed: Seed of the first weights and of every batch, time and noise.
        device: ``auto`` (a GPU of NVIDIA where there is one), ``cpu``, ``cuda`` or ``mps``.
        bf16: bfloat16 autocast; ``auto`` measures both at the start and takes the faster.
        compile: torch.compile; ``auto`` measures too, which costs a minute or two.
        log_every: Steps between two lines of the log.
        checkpoint_minutes: Minutes between two checkpoints.
        validate_minutes: Minutes between two validations; 0 turns them off.
        validate_items: Dev items that a validation runs the model on.
        trivial_after: Steps after which a network that is worse than the trivial predictor ends the run.
        best: Score of the validations (``pesq``, ``estoi`` or ``si_sdr``) whose best model is kept in
            ``model-best``; None keeps the newest only.
        tensorboard: Write TensorBoard events too, if the package tensorboard is installed.
        patience: Validations without a better score of ``best`` after which the run ends; 0 for never.
    """

    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    bf16: Literal["auto", "on", "off"] = "auto"
    compile: Literal["auto", "on", "off"] = "off"
    log_every: int = Field(default=20, ge=1)
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    validate_minutes: float = Field(default=30.0, ge=0)
    validate_items: int = Field(default=24, ge=1)
    trivial_after: int = Field(default=500, ge=1)
    tensorboard: bool = False
    best: BestMetric | None = None
    patience: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _best_is_validated(self) -> RunSection:
        if self.best is not None and not self.validate_minutes:
            raise ConfigError("run.best needs validations; set run.validate_minutes, or leave it out")
        if self.patience and self.best is None:
            raise ConfigError('run.patience needs run.best, such as "si_sdr", to tell what is better')
        return self
