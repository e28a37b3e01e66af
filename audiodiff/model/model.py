"""A model put together: settings, network, process and front end that fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.cdiffuse import CDiffuSE
from audiodiff.diffusion.flow import Flow
from audiodiff.diffusion.noise_prior import EnergyPrior, LevelPrior, Prior
from audiodiff.diffusion.ouve import OUVE
from audiodiff.diffusion.process import Process
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError, ModelError
from audiodiff.model.config import ModelConfig
from audiodiff.model.representation import CompressedSTFT, Representation, Waveform
from audiodiff.networks.contract import Network, domain_of
from audiodiff.settings import nearest, parse
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.stft import STFT, Compression

T = TypeVar("T")

_PROCESSES: dict[str, type[Process]] = {
    "brownian": BrownianBridge,
    "schroedinger": SchroedingerBridge,
    "ouve": OUVE,
    "flow": Flow,
    "vp": VP,
    "cdiffuse": CDiffuSE,
}
_PRIORS: dict[str, type[Prior]] = {"energy": EnergyPrior, "level": LevelPrior}


@dataclass(frozen=True)
class Model:
    """A loaded model: settings and the objects that they describe.

    Attributes:
        config: Settings of the folder.
        net: The network, in float32 and evaluation mode.
        process: Diffusion process.
        representation: What its state is.
        mel: Convention of the mel that conditions the network, or None.
        prior: Prior of the noise, or None.
        digest: SHA-256 of the weights file, hex; empty for a model that never was in a folder.
        name: What it was loaded by.
    """

    config: ModelConfig
    net: Network
    process: Process
    representation: Representation
    mel: MelSpec | None = None
    prior: Prior | None = None
    digest: str = ""
    name: str = "a loaded model"

    @property
    def sample_rate(self) -> int:
        """Rate in Hz at which the model works."""
        return self.config.sample_rate

    @property
    def level_db(self) -> float:
        """Active level in dBFS that the model expects.

        Raises:
            ModelError: It expects none.
        """
        if self.config.level_db is None:
            raise ModelError("this model takes no recording and states no level; use a model that denoises")
        return self.config.level_db

    @property
    def stft(self) -> STFT:
        """The spectrum in which recordings are cut into chunks, at `sample_rate`."""
        return self.representation.stft


def assemble(config: ModelConfig, net: Network, digest: str = "") -> Model:
    """Put a network and its settings together.

    Args:
        config: Settings.
        net: Network that fits them; it is set to evaluation mode.
        digest: SHA-256 of its weights file, if it has one.

    Returns:
        The model.

    Raises:
        ConfigError: The network's reaches, bins or mel are not those that the settings state, or the front
            end or the process is refused.
        MelError: The mel convention is refused.
    """
    stated, found = (config.reach_encode, config.reach_step), (net.reach_encode, net.reach_step)
    if stated != found:
        raise ConfigError(
            f"settings state reaches {stated} but the network has {found}; correct the settings"
        )
    mel = None if config.mel is None else MelSpec.from_dict(config.mel)
    _check_domain(config, net, mel)
    return Model(
        config=config,
        net=net.train(False),
        process=build_process(config.process),
        representation=_representation(config, net),
        mel=mel,
        prior=None if config.prior is None else build_prior(config.prior),
        digest=digest,
    )


def _representation(config: ModelConfig, net: Network) -> Representation:
    domain = domain_of(net)
    if config.stft is None or config.compression is None or domain is not None:
        assert domain is not None  # `_check_domain` holds settings and network to each other
        return Waveform.at(config.sample_rate, domain)
    stft = STFT(config.stft.n_fft, config.stft.hop)
    n_bins = config.network.get("n_bins", stft.n_bins)
    if n_bins != stft.n_bins:
        raise ConfigError(f"network.n_bins is {n_bins} but n_fft gives {stft.n_bins}; correct the settings")
    return CompressedSTFT(stft, Compression(config.compression.exponent, config.compression.scale))


def _check_domain(config: ModelConfig, net: Network, mel: MelSpec | None) -> None:
    """Hold a network of waveforms or spectra to settings of the same kind, and to the mel they state."""
    domain = domain_of(net)
    if (domain is None) != (config.stft is not None):
        works, need = ("spectra", "an") if domain is None else ("waveforms", "no")
        raise ConfigError(f"the network works on {works} and needs {need} stft; correct the settings")
    if domain is None or domain.cond != "mel":
        return
    if mel is None:
        raise ConfigError("the network is conditioned on a mel, and the settings state none; add mel")
    stated, found = (mel.n_mels, mel.hop, mel.sample_rate), (domain.n_mels, domain.hop, config.sample_rate)
    if stated != found:
        raise ConfigError(
            f"mel states bands, hop and rate {stated} but the model has {found}; correct the settings"
        )


def build_process(settings: Mapping[str, Any]) -> Process:
    """The diffusion process of a ``process`` section: its ``kind``, and the parameters of that process.

    Raises:
        ConfigError: Unknown kind or parameter, or a value out of range.
    """
    return _build(_PROCESSES, settings, "process")


def build_prior(settings: Mapping[str, Any], at: str = "prior") -> Prior:
    """The prior of a ``prior`` section, which lies at `at`: ``kind`` (energy if absent) and its parameters.

    Raises:
        ConfigError: Unknown kind or parameter, or a value out of range.
    """
    return _build(_PRIORS, {"kind": "energy", **settings}, at)


def _build(classes: Mapping[str, type[T]], settings: Mapping[str, Any], at: str) -> T:
    kind = settings.get("kind")
    if not isinstance(kind, str) or kind not in classes:
        raise ConfigError(f"{at}: unknown kind {kind!r}; {nearest(str(kind), classes)}")
    return parse(classes[kind], {key: value for key, value in settings.items() if key != "kind"}, at=at)
