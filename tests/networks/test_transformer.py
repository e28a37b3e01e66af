"""Promise: the transformer keeps the contract, and its bounded attention is attention under a band."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from audiodiff.errors import ConfigError
from audiodiff.networks import build, complete
from audiodiff.networks.transformer import LocalAttention, Transformer, TransformerConfig, rotated
from tests.networks.contract_checks import check

SIZES: dict[str, dict[str, Any]] = {
    "small": {"width": 16, "heads": 2, "encode_layers": 1, "layers": 2, "window": 3},
    "state": {"width": 8, "heads": 1, "encode_layers": 1, "layers": 1, "window": 5, "passes": "state"},
    "narrow": {"width": 12, "heads": 3, "encode_layers": 2, "layers": 1, "window": 1},
}


def make(name: str) -> Transformer:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        return Transformer(TransformerConfig(n_bins=9, **SIZES[name])).train(False)


@pytest.mark.parametrize("name", SIZES)
def test_contract_holds(name: str) -> None:
    check(make(name), n_bins=9)


def dense(attention: LocalAttention, x: Tensor) -> Tensor:
    """Every frame against every other, the far ones left out, with rotations as complex numbers."""
    n_frames, width = x.shape[1:]
    n_heads, depth = attention.heads, width // attention.heads
    parts = attention.enter(x).view(len(x), n_frames, 3, n_heads, depth).double()
    query, key, value = parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]
    rates = 10000.0 ** (-torch.arange(depth // 2, dtype=torch.float64) / (depth // 2))
    turns = torch.polar(torch.ones(1, dtype=torch.float64), torch.arange(n_frames)[:, None] * rates)

    def turned(z: Tensor) -> Tensor:
        return torch.complex(z[..., : depth // 2], z[..., depth // 2 :]) * turns[:, None]

    scores = torch.einsum("bihd,bjhd->bhij", turned(query), turned(key).conj()).real / math.sqrt(depth)
    far = (torch.arange(n_frames)[:, None] - torch.arange(n_frames)).abs() > attention.window
    shares = scores.masked_fill(far, -math.inf).softmax(-1)
    mixed = torch.einsum("bhij,bjhd->bihd", shares, value).reshape(len(x), n_frames, width)
    result: Tensor = attention.leave(mixed.float())
    return result


@pytest.mark.parametrize("n_frames", [1, 4, 5, 23])
@pytest.mark.parametrize("window", [1, 4, 7])
def test_bounded_attention_is_attention_under_a_band(n_frames: int, window: int) -> None:
    with torch.random.fork_rng():
        torch.random.manual_seed(1)
        attention = LocalAttention(12, 3, window)
        x = torch.randn(2, n_frames, 12)
    with torch.no_grad():
        assert_close(attention(x), dense(attention, x), rtol=1e-4, atol=1e-5)


def test_rotations_know_distances_only() -> None:
    generator = torch.Generator().manual_seed(2)
    query, key = torch.randn(2, 5, 8, generator=generator)
    places = torch.arange(5)
    here = rotated(query, places) @ rotated(key, places).T
    there = rotated(query, places + 7) @ rotated(key, places + 7).T
    assert_close(here, there, rtol=1e-4, atol=1e-4)
    assert_close(rotated(query, 0 * places), query)


@pytest.mark.parametrize("name", SIZES)
def test_the_stated_reach_is_the_real_one(name: str) -> None:
    net = make(name)
    n_frames = 4 * (net.reach_encode + net.reach_step) + 1
    place = n_frames // 2
    generator = torch.Generator().manual_seed(3)
    cond, x_t = (torch.randn(1, 9, n_frames, 2, generator=generator) for _ in range(2))
    t, h = torch.tensor([0.5]), net.encode(cond)
    moved = x_t.clone()
    moved[:, :, place] += 1.0
    with torch.no_grad():
        changed = (net(x_t, t, h) != net(moved, t, h)).any(dim=1)[0].any(dim=1).nonzero()[:, 0]
        encoded = (h[1] != net.encode(_moved(cond, place))[1]).any(dim=2)[0].nonzero()[:, 0]
    assert (place - int(changed.min()), int(changed.max()) - place) == (net.reach_step, net.reach_step)
    assert (place - int(encoded.min()), int(encoded.max()) - place) == (net.reach_encode, net.reach_encode)


def _moved(cond: Tensor, place: int) -> Tensor:
    moved = cond.clone()
    moved[:, :, place] += 1.0
    return moved


@pytest.mark.parametrize(("name", "index"), [("small", 0), ("state", 1)])
def test_untrained_it_hands_on_what_it_passes(name: str, index: int) -> None:
    net = make(name)
    torch.nn.init.zeros_(net.masks.weight)
    pair = torch.randn(2, 1, 9, 6, 2, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        assert_close(net(pair[1], torch.tensor([0.3]), net.encode(pair[0])), pair[index])


def test_it_is_built_by_its_kind() -> None:
    net = build({"kind": "transformer", "n_bins": 5, **SIZES["small"]})
    assert isinstance(net, Transformer)
    full = complete({"kind": "transformer"})
    assert complete(full) == full
    with pytest.raises(ConfigError, match="no multiple of twice the 4 heads"):
        build({"kind": "transformer", "width": 12})
