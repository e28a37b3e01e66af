"""Networks behind one contract: `encode` once a recording, `forward` once a step (see `contract`)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from audiodiff.errors import ConfigError
from audiodiff.networks.contract import Features, Network, WaveDomain, domain_of, halo_samples
from audiodiff.networks.spectral_unet import Spectral, SpectralConfig
from audiodiff.networks.waveform_unet import UNet1d, UNet1dConfig
from audiodiff.networks.wavenet import WaveNet, WaveNetConfig

__all__ = [
    "Features",
    "Network",
    "Spectral",
    "SpectralConfig",
    "UNet1d",
    "UNet1dConfig",
    "WaveDomain",
    "WaveNet",
    "WaveNetConfig",
    "build",
    "complete",
    "domain_of",
    "halo_samples",
]

KINDS = ("spectral", "wavenet", "unet1d")

AnyConfig = SpectralConfig | WaveNetConfig | UNet1dConfig


def build(config: Mapping[str, Any]) -> Network:
    """Make an untrained network from plain values.

    Args:
        config: ``kind`` and the fields of that kind's config class; lists stand for tuples.

    Raises:
        ConfigError: Unknown kind or field (the nearest name is given), or sizes that do not fit.
    """
    match _sizes(config):
        case SpectralConfig() as sizes:
            return Spectral(sizes)
        case WaveNetConfig() as sizes:
            return WaveNet(sizes)
        case UNet1dConfig() as sizes:
            return UNet1d(sizes)


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings with every default written out, so that stored ones outlive a change of defaults.

    Args:
        config: As for `build`. A kind that is not known here comes back as it is, for `build` to refuse.

    Raises:
        ConfigError: As `build`.
    """
    if config.get("kind") not in KINDS:
        return dict(config)
    sizes = asdict(_sizes(config))
    plain = {name: list(size) if isinstance(size, tuple) else size for name, size in sizes.items()}
    return {"kind": config["kind"], **plain}


def _sizes(config: Mapping[str, Any]) -> AnyConfig:
    match config.get("kind"):
        case "spectral":
            return SpectralConfig(**_fields(config, SpectralConfig))
        case "wavenet":
            return WaveNetConfig(**_fields(config, WaveNetConfig))
        case "unet1d":
            return UNet1dConfig(**_fields(config, UNet1dConfig))
        case kind:
            raise ConfigError(f"network.kind: expected one of {', '.join(KINDS)}, found {kind!r}")


def _fields(config: Mapping[str, Any], into: type[AnyConfig]) -> dict[str, Any]:
    known = [field.name for field in fields(into)]
    values: dict[str, Any] = {}
    for key, value in config.items():
        if key == "kind":
            continue
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigError(f"network.{key}: unknown key, the nearest is network.{near}")
        values[key] = tuple(value) if isinstance(value, list) else value
    return values
