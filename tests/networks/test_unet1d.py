"""Promise: the waveform U-Net keeps the contract with both conditions, for any strides that fit the hop."""

from __future__ import annotations

import pytest
import torch

from audiodiff.errors import ConfigError, ShapeError
from audiodiff.networks import build, complete
from audiodiff.networks.waveform_unet import UNet1d, UNet1dConfig
from tests.networks.contract_checks import check

SIZES = {
    "even": UNet1dConfig((4, 6, 8), (4, 2), layers=2, n_mels=6, hop=16),
    "odd": UNet1dConfig((4, 6, 8), (3, 5), layers=2, n_mels=6, hop=15),
    "recording": UNet1dConfig((4, 6, 8), (3, 2), layers=2, conditioner="waveform"),
    "flat": UNet1dConfig((4, 6), (2,), layers=1, conditioner="waveform"),
}


def make(config: UNet1dConfig, seed: int = 0) -> UNet1d:
    """With a random last layer: at zero it would hide everything."""
    with torch.random.fork_rng():
        torch.random.manual_seed(seed)
        net = UNet1d(config).train(False)
        torch.nn.init.normal_(net.out.weight, std=0.3)
    return net


@pytest.mark.parametrize("name", SIZES)
def test_contract_holds(name: str) -> None:
    check(make(SIZES[name]))


@pytest.mark.parametrize("name", SIZES)
def test_stated_reach_is_nearly_the_real_one(name: str) -> None:
    """No output beyond the reach changes; the farthest that does is at most three coarse positions nearer."""
    net = make(SIZES[name])
    domain = net.domain
    n_samples = 6 * net.reach_step // domain.grid * domain.grid
    cond, x_t = domain.zeros(n_samples // domain.hop)
    coarse = 1
    for stride in net.config.strides:
        coarse *= stride
    h, t = net.encode(cond), torch.tensor([0.5])
    moved = x_t.clone()
    place = n_samples // 2
    moved[0, place] = 1.0
    with torch.no_grad():
        changed = (net(x_t, t, h) != net(moved, t, h)).nonzero()[:, 1]
    farthest = max(place - int(changed.min()), int(changed.max()) - place)
    assert net.reach_step - 3 * coarse <= farthest <= net.reach_step


def test_any_length_of_a_recording_works() -> None:
    net = make(SIZES["recording"])
    generator = torch.Generator().manual_seed(0)
    y, x_t = torch.randn(2, 1, 41, generator=generator)
    out = net(x_t, torch.ones(1), net.encode(y))
    padded = [torch.nn.functional.pad(x, (0, 1)) for x in (y, x_t)]
    assert torch.equal(out, net(padded[1], torch.ones(1), net.encode(padded[0]))[:, :41])
    with pytest.raises(ShapeError, match=r"state \[B, 42\]"):
        net(torch.zeros(1, 60), torch.ones(1), net.encode(y))


def test_default_size() -> None:
    count = sum(parameter.numel() for parameter in UNet1d(UNet1dConfig()).parameters())
    assert 5e5 < count < 2e6


def test_build_and_complete() -> None:
    net = build({"kind": "unet1d", "channels": [4, 8], "strides": [2], "conditioner": "waveform"})
    assert isinstance(net, UNet1d)
    assert net.config.channels == (4, 8)
    full = complete({"kind": "unet1d"})
    assert full["strides"] == [4, 4, 4]
    assert complete(full) == full


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"strides": [4, 4]}, "need one stride fewer"),
        ({"strides": [4, 4, 1]}, "network.strides.2: .* greater than or equal to 2"),
        ({"channels": []}, "0 channels"),
        ({"channels": [8], "strides": []}, "1 channels"),
        ({"channels": [8, 0], "strides": [4]}, "network.channels.1"),
        ({"hop": 300}, "product 64 must divide the hop 300"),
        ({"layers": True}, "network.layers"),
        ({"conditioner": "published"}, "'frames' or 'waveform'"),
    ],
)
def test_bad_configurations_are_named(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build({"kind": "unet1d", **config})
