"""Promise: a recording that arrives piece by piece has the features of the whole, a reach later."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from audiodiff.networks.spectral_stream import StreamDown, StreamUp
from audiodiff.networks.spectral_unet import Spectral
from tests.networks.small import SMALL


@pytest.fixture(scope="module")
def net() -> Spectral:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        found = Spectral(SMALL).double().train(False)
        with torch.no_grad():
            for parameter in found.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))  # biases that zeros would hide
    return found


class Stream:
    """Both halves with what they keep."""

    def __init__(self, net: Spectral) -> None:
        self.down, self.up = StreamDown(net), StreamUp(net)
        self.kept = self.down.states(), self.up.states()

    def __call__(self, cond: Tensor, inside: Tensor) -> tuple[Tensor, ...]:
        values, down = self.down(cond, inside, self.kept[0])
        features, up = self.up(cond, inside, values, self.kept[1])
        self.kept = down, up
        found: tuple[Tensor, ...] = features
        return found


def streamed(net: Spectral, y: Tensor, pieces: list[int]) -> list[Tensor]:
    """Features of all frames of y, heard in such pieces."""
    n, reach, stream = y.shape[2], net.reach_encode, Stream(net)
    padded = torch.cat([y, torch.zeros_like(y[:, :, :1]).expand(-1, -1, reach, -1)], dim=2)
    inside = (torch.arange(n + reach) < n).to(y)
    found, start = [], 0
    for size in pieces:
        stop = min(start + size, n + reach)
        found.append(stream(padded[:, :, start:stop], inside[start:stop]))
        start = stop
        if stop == n + reach:
            break
    assert start == n + reach
    axes = (2, -1)
    joined = [torch.cat(parts, dim=axis) for parts, axis in zip(zip(*found, strict=True), axes, strict=True)]
    return [part.narrow(axis, reach, n) for part, axis in zip(joined, axes, strict=True)]


@pytest.mark.parametrize("n", [1, 5, 90])
@pytest.mark.parametrize("pieces", [[1] * 200, [7] * 40, [50, 1, 1, 60, 200], [200]])
@torch.no_grad()
def test_pieces_give_the_features_of_the_whole(net: Spectral, n: int, pieces: list[int]) -> None:
    y = torch.randn(1, SMALL.n_bins, n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    whole = net.encode(y)
    for part, expected in zip(streamed(net, y, pieces), whole, strict=True):
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-10)


@torch.no_grad()
def test_a_stream_that_begins_inside_is_right_after_its_reach(net: Spectral) -> None:
    y = torch.randn(1, SMALL.n_bins, 120, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    whole = net.encode(y)[1]
    begin, reach = 20, net.reach_encode
    features = Stream(net)(y[:, :, begin:], torch.ones(100, dtype=torch.float64))
    # the first whose whole surroundings were heard
    torch.testing.assert_close(features[1][..., 2 * reach :], whole[..., begin + reach : 120 - reach])
    assert (features[1][..., reach] - whole[..., begin]).abs().max() > 1e-6  # half of them were not
