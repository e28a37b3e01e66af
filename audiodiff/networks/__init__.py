"""Networks behind one contract: `encode` once a recording, `forward` once a step (see `contract`).

To add one: a file with its sizes and its class, its import here, and its line in `_NETWORKS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from audiodiff.errors import ConfigError
from audiodiff.networks.contract import Features, Network, WaveDomain, domain_of, halo_samples
from audiodiff.networks.spectral_unet import Spectral, SpectralConfig
from audiodiff.networks.transformer import Transformer, TransformerConfig
from audiodiff.networks.waveform_unet import UNet1d, UNet1dConfig
from audiodiff.networks.wavenet import WaveNet, WaveNetConfig
from audiodiff.settings import keys_of, nearest, parse

__all__ = ["Features", "Network", "WaveDomain", "build", "complete", "domain_of", "halo_samples", "sizes_of"]

_NETWORKS: dict[str, tuple[type[Any], type[Any]]] = {  # the sizes, and the network that is made of them
    "spectral": (SpectralConfig, Spectral),
    "wavenet": (WaveNetConfig, WaveNet),
    "unet1d": (UNet1dConfig, UNet1d),
    "transformer": (TransformerConfig, Transformer),
}


def build(config: Mapping[str, Any]) -> Network:
    """Make an untrained network from plain values: ``kind``, and the sizes of that kind of network."""
    sizes = _parse(config)
    network: Network = _classes(config)[1](sizes)
    return network


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings with every default written out, so that stored ones outlive a change of defaults."""
    sizes = asdict(_parse(config))
    plain = {name: list(size) if isinstance(size, tuple) else size for name, size in sizes.items()}
    return {"kind": config["kind"], **plain}


def sizes_of(config: Mapping[str, Any]) -> list[str]:
    """Names of all sizes of a kind of network."""
    return keys_of(_classes(config)[0])


def _classes(config: Mapping[str, Any]) -> tuple[type[Any], type[Any]]:
    kind = config.get("kind")
    if not isinstance(kind, str) or kind not in _NETWORKS:
        raise ConfigError(f"network: unknown kind {kind!r}; {nearest(str(kind), _NETWORKS)}")
    return _NETWORKS[kind]


def _parse(config: Mapping[str, Any]) -> Any:
    sizes = {key: value for key, value in config.items() if key != "kind"}
    return parse(_classes(config)[0], sizes, at="network")
