"""Promise: the spectral network keeps the contract of networks.contract and starts as the identity."""

from __future__ import annotations

import pytest
import torch

from audiodiff.errors import ConfigError
from audiodiff.networks import build, complete
from audiodiff.networks.spectral_unet import Spectral, SpectralConfig
from tests.networks.contract_checks import check
from tests.networks.small import SMALL


def make(config: SpectralConfig = SMALL, seed: int = 0) -> Spectral:
    with torch.random.fork_rng():
        torch.random.manual_seed(seed)
        return Spectral(config)


def test_contract_holds() -> None:
    check(make(), SMALL.n_bins)


def test_reach_is_tight() -> None:
    # The stated reach is the sum over the layers; the farthest frame inside it must really count.
    net = make().double().train(False)  # in single precision its share may be rounded away
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05)
        reach = net.reach_encode
        y = torch.zeros(1, SMALL.n_bins, 2 * reach + 1, 2, dtype=torch.float64)
        moved = y.clone()
        moved[:, :, 0] = 1.0
        features, changed = net.encode(y)[1], net.encode(moved)[1]
        assert not torch.equal(features[..., reach], changed[..., reach])
        assert torch.equal(features[..., reach + 1 :], changed[..., reach + 1 :])


def test_untrained_network_hands_the_recording_on() -> None:
    net = make().train(False)
    y = torch.randn(2, SMALL.n_bins, 20, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        out = net(y, torch.ones(2), net.encode(y))
    error = (out - y).square().mean() / y.square().mean()
    assert error < 0.05  # masks are drawn with a deviation of 0.02 around the identity


def test_default_size_is_below_ten_million() -> None:
    count = sum(parameter.numel() for parameter in make(SpectralConfig()).parameters())
    assert 1e6 < count < 1e7


def test_build_from_plain_values() -> None:
    net = build({"kind": "spectral", "channels": [8, 12, 16], "width": 24, "layers": 1})
    assert isinstance(net, Spectral)
    assert net.config.channels == (8, 12, 16)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "spectrl"}, "unknown kind 'spectrl'; did you mean 'spectral'"),
        (
            {"kind": "spectral", "chanels": [1, 2, 3]},
            "unknown key 'network.chanels'; did you mean 'channels'",
        ),
        ({"kind": "spectral", "low_bins": 255}, "do not divide"),
        ({"kind": "spectral", "low_bins": "many"}, "network.low_bins: .* valid integer"),
        ({"kind": "spectral", "low_stride": 0}, "network.low_stride: .* greater than 0"),
        ({"kind": "spectral", "width": 24.0}, "network.width: .* valid integer"),
        ({"kind": "spectral", "layers": True}, "network.layers: .* valid integer"),
        ({"kind": "spectral", "channels": [8, 12]}, "network.channels.2"),
        ({"kind": "spectral", "head": [8]}, "network.head: "),
        ({"kind": "spectral", "gain_limit": 1.0}, "network.gain_limit: "),
        ({"kind": "spectral", "n_bins": 273, "high_pool": 16}, "multiple of 4"),
    ],
)
def test_bad_configurations_are_named(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(config)


def test_complete_settings_build_the_same_network_and_hold_no_default() -> None:
    short = {"kind": "spectral", "channels": [8, 12, 16], "width": 24, "layers": 1}
    full = complete(short)
    assert set(full) == {"kind", *SpectralConfig.__dataclass_fields__}
    assert complete(full) == full
    built, expected = build(full), build(short)
    assert isinstance(built, Spectral)
    assert isinstance(expected, Spectral)
    assert built.config == expected.config
