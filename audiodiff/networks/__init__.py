"""Networks behind one contract: `encode` once a recording, `forward` once a step (see `contract`).

To add one: a file with its sizes and its class, its import here, and its line in `_NETWORKS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, TypeAlias

from audiodiff.errors import ConfigError
from audiodiff.networks.contract import Features, Network, WaveDomain, domain_of, halo_samples
from audiodiff.networks.spectral_unet import Spectral, SpectralConfig
from audiodiff.networks.transformer import Transformer, TransformerConfig
from audiodiff.networks.waveform_unet import UNet1d, UNet1dConfig
from audiodiff.networks.wavenet import WaveNet, WaveNetConfig
from audiodiff.settings import add_kinds, keys_of, nearest, parse

__all__ = [
    "Features",
    "Kinds",
    "Network",
    "WaveDomain",
    "build",
    "complete",
    "domain_of",
    "halo_samples",
    "sizes_of",
]

Kinds: TypeAlias = Mapping[str, tuple[type[Any], type[Any]]]
"""By kind the dataclass of the sizes, and the network that is made of them."""

_NONE: Kinds = MappingProxyType({})
_NETWORKS: Kinds = {
    "spectral": (SpectralConfig, Spectral),
    "wavenet": (WaveNetConfig, WaveNet),
    "unet1d": (UNet1dConfig, UNet1d),
    "transformer": (TransformerConfig, Transformer),
}


def build(config: Mapping[str, Any], own: Kinds = _NONE) -> Network:
    """Make an untrained network from plain values: ``kind``, and the sizes of that kind of network.

    Here and below `own` are the kinds of a plug-in.
    """
    sizes = _parse(config, own)
    made_of = _classes(config, own)[1]
    if config["kind"] in own:
        return _own_network(made_of, sizes, str(config["kind"]))
    network: Network = made_of(sizes)
    return network


def _own_network(made_of: type[Any], sizes: Any, kind: str) -> Network:
    """A network of a plug-in, whose faults are its author's."""
    try:
        network: Network = made_of(sizes)
        reaches = (network.reach_encode, network.reach_step)
    except Exception as error:
        line = f"network: the plug-in's {kind!r} fails: {type(error).__name__}: {error}; correct the plug-in"
        raise ConfigError(line) from error
    if not all(isinstance(reach, int) and reach >= 0 for reach in reaches):
        raise ConfigError(
            f"network: the plug-in's {kind!r} must state its reaches in frames, found {reaches}"
        )
    return network


def complete(config: Mapping[str, Any], own: Kinds = _NONE) -> dict[str, Any]:
    """The same settings with every default written out, so that stored ones outlive a change of defaults."""
    sizes = asdict(_parse(config, own))
    plain = {name: list(size) if isinstance(size, tuple) else size for name, size in sizes.items()}
    return {"kind": config["kind"], **plain}


def sizes_of(config: Mapping[str, Any], own: Kinds = _NONE) -> list[str]:
    """Names of all sizes of a kind of network."""
    return keys_of(_classes(config, own)[0])


def _classes(config: Mapping[str, Any], own: Kinds) -> tuple[type[Any], type[Any]]:
    kind, known = config.get("kind"), add_kinds(_NETWORKS, own, "network")
    if not isinstance(kind, str) or kind not in known:
        raise ConfigError(f"network: unknown kind {kind!r}; {nearest(str(kind), known)}")
    return known[kind]


def _parse(config: Mapping[str, Any], own: Kinds) -> Any:
    sizes = {key: value for key, value in config.items() if key != "kind"}
    return parse(_classes(config, own)[0], sizes, at="network")
