"""How each family is sampled: from a snapshot to ways ``(noisy, seed) -> estimate`` by number of steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from _families_own import OWN
from _families_training import DIFFUSION, Run, front_of
from numpy.typing import NDArray
from safetensors.torch import load_file

from audiodiff import Denoiser
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.errors import DataError
from audiodiff.model.folder import load
from audiodiff.model.model import Model
from audiodiff.signal.level import LevelMeter

Audio = NDArray[np.float32]
Way = Callable[[Audio, int], Audio]
"""A recording ``[T]`` and a seed to an estimate ``[T]``."""
Weights = Literal["average", "raw"]

STEPS = (1, 2, 4, 8, 30)
LAST_ALPHA_BAR = 0.4886
"""Where CDiffuSE's published six steps end."""
ONE_PASS = "one pass"
FRAMES, FRAME_MEANS = "frame by frame", "frame by frame, means"


def marks_of(run: Run, minutes: float) -> list[Path]:
    """The snapshots of a training within a budget, in order."""
    found = sorted((run.folder / "snapshots").glob("[0-9]*"), key=lambda path: float(path.name))
    return [path for path in found if float(path.name) <= minutes]


def snapshot_of(run: Run, minutes: float) -> Path:
    """The last snapshot within a budget; that of a run which broke stands for all later ones."""
    marks = marks_of(run, minutes)
    if not marks:
        raise DataError(f"{run.folder}: no snapshot within {minutes:g} minutes; train it first")
    newest = marks[-1]
    if float(newest.name) < minutes and read_snapshot(newest)["broken"] is None:
        raise DataError(f"{run.folder}: trained for {newest.name} of {minutes:g} minutes; go on with `train`")
    return newest


def read_snapshot(folder: Path) -> dict[str, Any]:
    """What is known of a snapshot beside its weights."""
    document: dict[str, Any] = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))
    return document


def ways_of(run: Run, folder: Path, weights: Weights = "average") -> dict[str, Way]:
    """All ways to sample a snapshot, by what the table calls them."""
    if run.name in DIFFUSION:
        model = load(folder / weights)
        return {steps_label(n): _diffusion(model, n) for n in STEPS}
    return _own(run, folder / f"{weights}.safetensors")


def steps_label(n: int) -> str:
    """What the table calls a number of steps."""
    return f"{n} step{'s' * (n > 1)}"


def schedule(process: CDiffuSE, n: int) -> tuple[float, ...]:
    """Betas of n even steps in the time of CDiffuSE's table, down to where the published six end."""
    end = process.time_of(LAST_ALPHA_BAR)
    bars = [process.alpha_bar(end * i / n) for i in range(n + 1)]
    return tuple(1 - after / before for before, after in pairwise(bars))


def _diffusion(model: Model, n: int) -> Way:
    preset = model.config.presets.balanced
    if isinstance(model.process, CDiffuSE):
        preset = preset.model_copy(update={"steps": n, "betas": schedule(model.process, n)})
    else:
        preset = preset.model_copy(update={"steps": n, "times": None})

    @cache
    def denoiser(seed: int) -> Denoiser:
        made = Denoiser(model, seed=seed, device="cpu", threads=1, runtime="torch")
        return made.with_preset(preset)

    def way(noisy: Audio, seed: int) -> Audio:
        cleaned: Audio = denoiser(seed).denoise(noisy, model.sample_rate)
        return cleaned

    return way


def _own(run: Run, weights: Path) -> dict[str, Way]:
    recipe = run.recipe()
    front = front_of(recipe)
    family = OWN[run.name](dict(recipe.network), False)
    family.load_state_dict(load_file(weights))
    family.eval()

    def way_at(scale: float) -> Way:
        def way(noisy: Audio, seed: int) -> Audio:
            gain = _gain(noisy, front.sample_rate, recipe.data.level_db or 0.0)
            y = front.spectrum(torch.from_numpy(noisy * gain)[None])
            with torch.no_grad():
                x_0 = family.sample(y, torch.Generator().manual_seed(seed), scale)
                wave = front.waveform(x_0, len(noisy))[0].numpy() / gain
            return np.asarray(wave, dtype=np.float32)

        return way

    if run.name == "ar":
        return {FRAMES: way_at(1.0), FRAME_MEANS: way_at(0.0)}
    return {ONE_PASS: way_at(1.0)}


def _gain(noisy: Audio, sample_rate: int, level_db: float) -> np.float32:
    """To the level at which the network was trained, as `Denoiser` brings recordings there."""
    meter = LevelMeter(sample_rate)
    meter.push(noisy[None])
    active_db = meter.active_db()
    return np.float32(1.0 if active_db is None else 10 ** ((level_db - active_db) / 20))
