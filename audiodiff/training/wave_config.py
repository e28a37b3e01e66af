"""What a recipe of a vocoder of waveforms may say: DiffWave and its like, conditioned on a mel."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from audiodiff.diffusion import time_grids
from audiodiff.diffusion.diffwave import FAST_BETAS
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError, MelError
from audiodiff.model.config import ModelConfig, Presets, SamplerPreset
from audiodiff.model.model import build_prior, build_process
from audiodiff.networks import complete
from audiodiff.networks.contract import Network
from audiodiff.settings import Setting, Settings, parse
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_presets import get_convention
from audiodiff.training.sections import OptimSection, RunSection


class WaveModelSection(Settings):
    """What the finished model folder will state.

    Attributes:
        mel: Name of the mel convention; it gives the rate and the hop.
        prior: ``kind`` (energy or level) and parameters of the noise's prior, or None.
        target: What the network predicts: the noise (``eps``, as DiffWave) or ``v`` (Salimans and Ho 2022).
        schedule: Inference betas of the presets fast and balanced, from data towards noise; best takes the
            whole table that was trained.
        project: Whether sampling brings every estimate next to the mel; training does not know it.
        licence: Licence of the weights.
    """

    mel: str
    prior: dict[str, Setting] | None = None
    target: Literal["eps", "v"] = "eps"
    schedule: tuple[float, ...] = FAST_BETAS
    project: bool = False
    licence: str = Field(min_length=1)

    @model_validator(mode="after")
    def _mel_is_known(self) -> WaveModelSection:
        try:
            get_convention(self.mel)
        except MelError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def spec(self) -> MelSpec:
        """The mel convention."""
        return get_convention(self.mel)

    @property
    def sample_rate(self) -> int:
        """Rate in Hz at which the model works."""
        return self.spec.sample_rate

    def presets(self, process: VP) -> Presets:
        """The sampler presets of the model folder.

        Args:
            process: The trained process.

        Raises:
            ConfigError: The schedule is no list of 1 to 1000 betas, or leads below the process's table.
        """
        try:
            time_grids.from_betas(process, self.schedule)  # refused now, not when the model is used
        except ConfigError as error:
            raise ConfigError(f"model.schedule: {error}") from None
        fast, best = (
            parse(
                SamplerPreset,
                {
                    "steps": len(betas),
                    "sampler": "diffwave",
                    "eta": 1.0,
                    "betas": betas,
                    "project": self.project,
                },
                "[model]",
            )
            for betas in (self.schedule, process.betas)
        )
        return Presets(fast=fast, balanced=fast, best=best)


class WaveSection(Settings):
    """What is learned from: crops of clips with their mels.

    Attributes:
        kind: ``waves``.
        store: Folder of the packed store.
        batch: Crops in a batch.
        frames: Frames of a crop; its samples are frames x hop. Shorter clips are left out.
        peak: Each clip is scaled to this peak; None leaves it at its level.
    """

    kind: Literal["waves"]
    store: str = Field(min_length=1)
    batch: int = Field(ge=1)
    frames: int = Field(default=62, ge=2)
    peak: float | None = Field(default=None, gt=0, le=1)


class NoiseObjective(Settings):
    """What is minimised.

    Attributes:
        noise: Mean absolute (``l1``) or squared (``l2``) error of the prediction; with a prior divided by the
            standard deviation of its noise.
    """

    noise: Literal["l1", "l2"] = "l1"


def _published_process() -> dict[str, Setting]:
    return {"kind": "vp", "betas": list(VP.diffwave().betas)}


class WaveConfig(Settings):
    """A whole recipe. ``process`` may be left out, it is DiffWave's table of 50 entries then.

    ``network.n_mels``, ``network.hop`` and, for wavenet, ``network.table`` follow from mel and process.
    """

    model: WaveModelSection
    process: dict[str, Setting] = Field(default_factory=_published_process)
    network: dict[str, Setting]
    data: WaveSection
    objective: NoiseObjective = NoiseObjective()
    optim: OptimSection
    run: RunSection = RunSection()

    @model_validator(mode="after")
    def _complete(self) -> WaveConfig:
        process = vp_of(self)
        if self.model.prior is not None:
            build_prior(self.model.prior)  # refused now, too
        kind, spec = self.network.get("kind"), self.model.spec
        if kind not in ("wavenet", "unet1d"):
            raise ValueError(f'data.kind = "waves" needs network.kind wavenet or unet1d, found {kind!r}')
        derived = {"n_mels": spec.n_mels, "hop": spec.hop}
        if kind == "wavenet":
            derived["table"] = len(process.betas)
        for name, value in derived.items():
            if self.network.setdefault(name, value) != value:
                raise ValueError(f"network.{name} must be {value}, as mel and process say; leave it out")
        self.network.update(complete(self.network))
        if self.network["conditioner"] == "waveform":
            raise ValueError("network.conditioner: a vocoder hears a mel; use published or frames")
        self.model.presets(process)  # refused now, not after hours of training
        return self


def vp_of(config: WaveConfig) -> VP:
    """The process of a recipe.

    Raises:
        ConfigError: It is not the plain table whose times are drawn and sampled by betas.
    """
    process = build_process(config.process)
    if not isinstance(process, VP) or process.zero_terminal:
        raise ConfigError(
            'process: a recipe of waveforms needs kind = "vp" without zero_terminal; leave [process] out'
        )
    return process


def wave_model_config(config: WaveConfig, net: Network) -> ModelConfig:
    """What the model folder of a recipe states.

    Args:
        config: The recipe.
        net: The network, which knows its reaches.

    Returns:
        The settings of the folder.
    """
    mel: dict[str, Any] = config.model.spec.as_dict()
    return ModelConfig(
        task="vocode",
        sample_rate=config.model.sample_rate,
        mel=mel,
        prior=config.model.prior,
        process=config.process,
        target=config.model.target,
        network=config.network,
        presets=config.model.presets(vp_of(config)),
        reach_encode=net.reach_encode,
        reach_step=net.reach_step,
        licence=config.model.licence,
    )
