"""A model put together: settings, network, process and front end that fit each other.

The network is a torch module, made when it is first asked for: a model with graphs runs without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

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
from audiodiff.settings import add_kinds, nearest, parse
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.stft import STFT, Compression

if TYPE_CHECKING:
    from audiodiff.networks.contract import Network

T = TypeVar("T")

_PROCESSES: dict[str, type[Process]] = {
    "brownian": BrownianBridge,
    "schroedinger": SchroedingerBridge,
    "ouve": OUVE,
    "flow": Flow,
    "vp": VP,
    "cdiffuse": CDiffuSE,
}
NO_PROCESSES: Mapping[str, type[Process]] = MappingProxyType({})
_PRIORS: dict[str, type[Prior]] = {"energy": EnergyPrior, "level": LevelPrior}


@dataclass(frozen=True)
class Model:
    """A loaded model: settings and the objects that they describe.

    Attributes:
        config: Settings of the folder.
        process: Diffusion process.
        representation: What its state is.
        mel: Convention of the mel that conditions the network, or None.
        prior: Prior of the noise, or None.
        digest: SHA-256 of the weights file, hex; empty for a model that never was in a folder.
        name: What it was loaded by.
        graphs: Folder with the graphs of the network, or None.
    """

    config: ModelConfig
    make_net: Callable[[], Network] = field(repr=False, compare=False)
    process: Process
    representation: Representation
    mel: MelSpec | None = None
    prior: Prior | None = None
    digest: str = ""
    name: str = "a loaded model"
    graphs: Path | None = None

    @cached_property
    def net(self) -> Network:
        """The network, in float32 and evaluation mode; loads torch."""
        return self.make_net()

    @property
    def sample_rate(self) -> int:
        """Rate in Hz at which the model works."""
        return self.config.sample_rate

    @property
    def level_db(self) -> float:
        """Active level in dBFS that the model expects."""
        if self.config.level_db is None:
            raise ModelError("this model takes no recording and states no level; use a model that denoises")
        return self.config.level_db

    @property
    def stft(self) -> STFT:
        """The spectrum in which recordings are cut into chunks, at `sample_rate`."""
        return self.representation.stft


def assemble(config: ModelConfig, net: Network, digest: str = "") -> Model:
    """Put a network, set to evaluation mode, and its settings together; refuses what does not fit."""
    check_network(config, net)
    net.train(False)
    return outline(config, lambda: net, digest)


def outline(
    config: ModelConfig,
    make_net: Callable[[], Network],
    digest: str = "",
    graphs: Path | None = None,
    processes: Mapping[str, type[Process]] = NO_PROCESSES,
) -> Model:
    """A model whose network is made when it is first asked for; only one of waveforms is made at once."""
    return Model(
        config=config,
        make_net=make_net,
        process=build_process(config.process, processes),
        representation=_representation(config, make_net),
        mel=_mel(config),
        prior=None if config.prior is None else build_prior(config.prior),
        digest=digest,
        graphs=graphs,
    )


def check_network(config: ModelConfig, net: Network) -> None:
    """Refuse a network that does not fit the settings."""
    stated, found = (config.reach_encode, config.reach_step), (net.reach_encode, net.reach_step)
    if stated != found:
        raise ConfigError(
            f"settings state reaches {stated} but the network has {found}; correct the settings"
        )
    _check_domain(config, net, _mel(config))


def _mel(config: ModelConfig) -> MelSpec | None:
    return None if config.mel is None else MelSpec.from_dict(config.mel)


def _representation(config: ModelConfig, make_net: Callable[[], Network]) -> Representation:
    if config.stft is None or config.compression is None:
        from audiodiff.networks.contract import domain_of

        domain = domain_of(make_net())
        assert domain is not None  # `_check_domain` holds settings and network to each other
        return Waveform.at(config.sample_rate, domain)
    stft = STFT(config.stft.n_fft, config.stft.hop)
    n_bins = config.network.get("n_bins", stft.n_bins)
    if n_bins != stft.n_bins:
        raise ConfigError(f"network.n_bins is {n_bins} but n_fft gives {stft.n_bins}; correct the settings")
    return CompressedSTFT(stft, Compression(config.compression.exponent, config.compression.scale))


def _check_domain(config: ModelConfig, net: Network, mel: MelSpec | None) -> None:
    """Hold a network of waveforms or spectra to settings of the same kind, and to the mel they state."""
    from audiodiff.networks.contract import domain_of

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


def build_process(settings: Mapping[str, Any], own: Mapping[str, type[Process]] = NO_PROCESSES) -> Process:
    """The diffusion process of a ``process`` section: its ``kind``, and the parameters of that process.

    `own` are the kinds of a plug-in.
    """
    return _build(add_kinds(_PROCESSES, own, "process"), settings, "process")


def build_prior(settings: Mapping[str, Any], at: str = "prior") -> Prior:
    """The prior of a ``prior`` section, which is at `at`: ``kind`` (energy if absent) and its parameters."""
    return _build(_PRIORS, {"kind": "energy", **settings}, at)


def _build(classes: Mapping[str, type[T]], settings: Mapping[str, Any], at: str) -> T:
    kind = settings.get("kind")
    if not isinstance(kind, str) or kind not in classes:
        raise ConfigError(f"{at}: unknown kind {kind!r}; {nearest(str(kind), classes)}")
    return parse(classes[kind], {key: value for key, value in settings.items() if key != "kind"}, at=at)
