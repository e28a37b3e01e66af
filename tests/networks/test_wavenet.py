"""Promise: wavenet is DiffWave to the digit at its default sizes, and keeps the contract at every size."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from audiodiff.errors import ConfigError, ShapeError
from audiodiff.networks import WaveDomain, build, complete, domain_of, halo_samples
from audiodiff.networks.upsampling import Conditioner, interpolate_frames
from audiodiff.networks.wavenet import StepEmbedding, WaveNet, WaveNetConfig
from tests.networks.contract_checks import check

SIZES: dict[Conditioner, WaveNetConfig] = {
    "published": WaveNetConfig(residual_channels=4, layers=5, cycle=3, step_width=12, n_mels=6),
    "frames": WaveNetConfig(4, 5, 3, 12, conditioner="frames", n_mels=6, hop=15),
    "waveform": WaveNetConfig(4, 5, 3, 12, conditioner="waveform"),
}


def make(config: WaveNetConfig, seed: int = 0) -> WaveNet:
    """With a random last layer: at zero it would hide everything."""
    with torch.random.fork_rng():
        torch.random.manual_seed(seed)
        net = WaveNet(config).train(False)
        torch.nn.init.normal_(net.output_projection.weight, std=0.3)
    return net


def published_layout() -> dict[str, tuple[int, ...]]:
    layout: dict[str, tuple[int, ...]] = {
        "input_projection": (64, 1, 1),
        "diffusion_embedding.projection1": (512, 128),
        "diffusion_embedding.projection2": (512, 512),
        "spectrogram_upsampler.conv1": (1, 1, 3, 32),
        "spectrogram_upsampler.conv2": (1, 1, 3, 32),
        "skip_projection": (64, 64, 1),
        "output_projection": (1, 64, 1),
    }
    for i in range(30):
        layout |= {
            f"residual_layers.{i}.dilated_conv": (128, 64, 3),
            f"residual_layers.{i}.diffusion_projection": (64, 512),
            f"residual_layers.{i}.conditioner_projection": (128, 80, 1),
            f"residual_layers.{i}.output_projection": (128, 64, 1),
        }
    biases = {f"{name}.bias": shape[:1] for name, shape in layout.items()}
    return {f"{name}.weight": shape for name, shape in layout.items()} | biases


def test_default_size_is_the_published_one() -> None:
    state = WaveNet(WaveNetConfig()).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published_layout()
    assert len(state) == 254
    assert sum(value.numel() for value in state.values()) == 2_619_971
    assert not state["output_projection.weight"].any()


def test_sizes_of_the_variants() -> None:
    net = WaveNet(WaveNetConfig(residual_channels=16, layers=20, step_width=128, conditioner="frames"))
    assert (net.reach_encode, net.reach_step) == (2, 2 * 1023)
    assert sum(parameter.numel() for parameter in net.parameters()) == 230_273
    assert WaveNet(WaveNetConfig()).reach_step == 3 * 1023


@pytest.mark.parametrize("conditioner", SIZES)
def test_contract_holds(conditioner: Conditioner) -> None:
    check(make(SIZES[conditioner]))


@pytest.mark.parametrize("conditioner", SIZES)
def test_reach_is_tight(conditioner: Conditioner) -> None:
    """The farthest sample inside the stated reach counts, the next one does not."""
    net = make(replace(SIZES[conditioner], residual_channels=16))  # so many that no place is dead
    domain = net.domain
    n_cond = 8 if domain.cond == "mel" else 120
    cond, x_t = domain.zeros(n_cond)
    h, t = net.encode(cond), torch.tensor([0.5])
    moved = x_t.clone()
    place = 20
    moved[0, place] = 1.0
    with torch.no_grad():
        changed = (net(x_t, t, h) != net(moved, t, h)).nonzero()[:, 1]
    assert (changed.min(), changed.max()) == (place - net.reach_step, place + net.reach_step)


def test_embedding_interpolates_between_rows() -> None:
    embedding = StepEmbedding(50, 8)
    rows = embedding.rows.double()
    exact = torch.tensor([[n * 10 ** (4 * k / 63) for k in range(64)] for n in range(50)])
    # float32 frequencies and angles, as published: up to a few hundredths at 10^4 radians a step
    assert_close(rows, torch.cat([exact.sin(), exact.cos()], dim=1).double(), rtol=0, atol=0.1)
    assert_close(rows[:, :10].float(), exact.sin()[:, :10], rtol=0, atol=1e-4)
    captured: list[Tensor] = []
    embedding.projection1.register_forward_pre_hook(lambda _module, inputs: captured.append(inputs[0]))
    steps = torch.tensor([0.0, 3.25, 22.992493307367, 49.0, -1.0])
    embedding((steps + 1) / 50)
    low = steps.clamp(min=0).floor().long()
    share = (steps.clamp(min=0) - low)[:, None].double()
    expected = (1 - share) * rows[low] + share * rows[(low + 1).clamp(max=49)]
    assert_close(captured[0].double(), expected, rtol=0, atol=2e-5)


def test_embedding_frequencies_are_torchs_own_float32_power() -> None:
    published = 10.0 ** (torch.arange(64) * 4.0 / 63.0)
    angles = torch.arange(50)[:, None] * published
    assert torch.equal(StepEmbedding(50, 8).rows, torch.cat([angles.sin(), angles.cos()], dim=1))


@given(
    hop=st.integers(1, 12),
    values=st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=6),
)
def test_interpolation_is_linear_between_centres(hop: int, values: list[float]) -> None:
    frames = torch.tensor(values, dtype=torch.float64)[None, None]
    found = interpolate_frames(frames, hop)[0, 0].tolist()
    for i, value in enumerate(found):
        place = min(max((i + 0.5) / hop - 0.5, 0.0), len(values) - 1.0)
        low = min(math.floor(place), len(values) - 1)
        high = min(low + 1, len(values) - 1)
        assert value == pytest.approx(values[low] + (place - low) * (values[high] - values[low]), abs=1e-9)


def test_projection_and_interpolation_commute() -> None:
    """Maps at frame rate, interpolated, are what the maps of the interpolated features would be."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 5, 7, generator=generator)
    layer = torch.nn.Conv1d(5, 9, 1)
    with torch.no_grad():
        assert_close(layer(interpolate_frames(features, 11)), interpolate_frames(layer(features), 11))


def test_halo_of_a_run() -> None:
    net = make(SIZES["frames"])
    domain = domain_of(net)
    assert domain == WaveDomain("mel", hop=15, grid=15, n_mels=6)
    assert net.reach_step == 10
    assert halo_samples(net, domain, 6) == (4 + 2) * 15
    recording = make(SIZES["waveform"])
    assert halo_samples(recording, recording.domain, 6) == 6 * 10 + 16


def test_build_and_complete() -> None:
    net = build({"kind": "wavenet", "residual_channels": 8, "layers": 3, "conditioner": "frames", "hop": 300})
    assert isinstance(net, WaveNet)
    assert net.config == WaveNetConfig(8, 3, conditioner="frames", hop=300)
    full = complete({"kind": "wavenet", "layers": 3})
    assert set(full) == {"kind", *WaveNetConfig.__dataclass_fields__}
    assert complete(full) == full


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"layer": 3}, "unknown key 'network.layer'; did you mean 'layers'"),
        ({"layers": 0}, "network.layers: .* greater than 0"),
        ({"hop": 300}, "published upsampler makes 256 samples a frame, found 300; use conditioner 'frames'"),
        ({"conditioner": "frame"}, "'published', 'frames' or 'waveform'"),
        ({"cycle": 40}, "network.cycle: .* less than or equal to 20"),
    ],
)
def test_bad_configurations_are_named(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build({"kind": "wavenet", **config})


def test_lengths_that_do_not_fit_are_refused() -> None:
    net = make(SIZES["frames"])
    with pytest.raises(ShapeError, match=r"state \[B, 45\], found \[1, 44\]"):
        net(torch.zeros(1, 44), torch.ones(1), net.encode(torch.zeros(1, 6, 3)))
