"""Sections of a recipe that trainings of spectra and of waveforms share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from audiodiff.settings import Settings

Choice = Literal["auto", "on", "off"]


class OptimSection(Settings):
    """How the weights are changed.

    Attributes:
        kind: ``adamw``, or ``muon`` for the inner matrices and kernels with AdamW for all else.
        steps: Length of the schedule; training ends there.
        lr: Highest learning rate of AdamW.
        shape: What follows the warm-up: half a ``cosine`` over all steps, or a ``constant`` rate with a tail.
        tail: Steps at the end of a constant rate in which it falls in a straight line; 0 for none.
        lr_floor: Last learning rate as a share of the highest.
        warmup: Steps of the linear warm-up.
        betas: AdamW's decay rates.
        weight_decay: On matrices and kernels only; 0 makes AdamW Adam.
        clip: Largest norm of the gradient; 0 leaves it as it is.
        ema: Largest decay of the average of the weights.
        muon_lr: Highest learning rate of Muon.
        muon_momentum: Decay of Muon's momentum.
        adamw_names: Modules and parameters that stay with AdamW under ``muon``: first and last layers,
            embeddings. What has fewer than two axes stays there anyway.
    """

    kind: Literal["adamw", "muon"] = "adamw"
    steps: int = Field(ge=1)
    lr: float = Field(gt=0)
    shape: Literal["cosine", "constant"] = "cosine"
    tail: int = Field(default=0, ge=0)
    lr_floor: float = Field(default=0.01, ge=0, le=1)
    warmup: int = Field(default=200, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, ge=0)
    ema: float = Field(default=0.999, ge=0, lt=1)
    muon_lr: float = Field(default=0.02, gt=0)
    muon_momentum: float = Field(default=0.95, ge=0, lt=1)
    adamw_names: tuple[str, ...] = ()


class RunSection(Settings):
    """How the training runs; all of it may change when a run is resumed, but the seed should not.

    Attributes:
        seed: Seed of the first weights and of every batch, time and noise.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or another torch device.
        bf16: bfloat16 autocast; ``auto`` measures both at the start and takes the faster.
        compile: torch.compile; ``auto`` measures too, which costs a minute or two.
        log_every: Steps between two lines of the log.
        checkpoint_minutes: Minutes between two checkpoints.
        validate_minutes: Minutes between two validations; 0 turns them off.
        validate_items: Dev items that a validation runs the model on.
        trivial_after: Steps after which a network that is worse than the trivial predictor ends the run.
    """

    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    bf16: Choice = "auto"
    compile: Choice = "off"
    log_every: int = Field(default=20, ge=1)
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    validate_minutes: float = Field(default=30.0, ge=0)
    validate_items: int = Field(default=24, ge=1)
    trivial_after: int = Field(default=500, ge=1)
