"""What `Denoiser` and `Vocoder` are asked for, checked."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

from audiodiff.errors import ConfigError
from audiodiff.io.formats import MAX_RATE, MIN_RATE
from audiodiff.model.config import Presets, SamplerPreset

Quality: TypeAlias = Literal["fast", "balanced", "best"]
Channels: TypeAlias = Literal["each", "linked"]


def check_range(name: str, value: float | None, low: float, high: float) -> None:
    """Refuse a number outside [low, high]; None stands for a default."""
    if value is not None and not low <= value <= high:
        raise ConfigError(f"{name} {value} is out of range; use {low} to {high}")


def check_rate(sample_rate: Any) -> int:
    """Refuse what is no sample rate in Hz; a whole number of any type is one."""
    try:
        rate: int = int(sample_rate)
        whole = not isinstance(sample_rate, str | bool) and rate == sample_rate
    except (TypeError, ValueError, OverflowError):
        rate, whole = 0, False
    if not (whole and MIN_RATE <= rate <= MAX_RATE):
        line = f"sample rate {sample_rate!r} is out of range; give Hz, whole, {MIN_RATE} to {MAX_RATE}"
        raise ConfigError(line)
    return rate


def check_shared(quality: str, steps: int | None, seed: int, threads: int | None) -> None:
    """Refuse what neither a denoiser nor a vocoder takes."""
    check_choice("quality", quality, get_args(Quality))
    check_range("steps", steps, 1, 1000)
    check_range("seed", seed, 0, (1 << 64) - 1)
    check_range("threads", threads, 1, 1024)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a word that is not among the choices."""
    if value not in choices:
        raise ConfigError(f"{name} {value!r} is unknown; use {', '.join(choices)}")


def preset_of(presets: Presets, quality: Quality, steps: int | None) -> SamplerPreset:
    """The preset that was asked for, with another number of steps where that is possible."""
    chosen: SamplerPreset = getattr(presets, quality)
    if steps is None or steps == chosen.steps:
        return chosen
    stored = {preset.steps: preset for preset in (presets.best, presets.fast, presets.balanced)}
    if chosen.betas is None:
        return chosen.model_copy(update={"steps": steps, "times": None})  # which are of its own steps
    if steps in stored:
        return stored[steps]
    known = ", ".join(map(str, sorted(stored)))
    raise ConfigError(f"this model has no schedule of {steps} steps; use --steps {known}")
