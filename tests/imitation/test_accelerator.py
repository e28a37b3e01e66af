"""Promise: nothing that trains or samples brings float64 to a device or mixes devices; mps would refuse both.

The device is an imitation that computes on the CPU, so results are the CPU's to the bit.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from audiodiff.data.batches import Batch
from audiodiff.diffusion.diffwave import table_times
from audiodiff.diffusion.noise_prior import EnergyPrior, LevelPrior
from audiodiff.diffusion.vp import VP
from audiodiff.errors import ConfigError
from audiodiff.inference.denoiser import Denoiser
from audiodiff.inference.device import autocast_dtype, pick_device, working
from audiodiff.model.model import Model
from audiodiff.model.noise_shaping import shape
from audiodiff.settings import parse
from audiodiff.signal.mel import mel
from audiodiff.signal.mel_inversion import projection
from audiodiff.signal.mel_presets import PRESETS
from audiodiff.training import ema
from audiodiff.training.checkpoint import State, fresh
from audiodiff.training.losses import perceptual_distance
from audiodiff.training.muon import Muon
from audiodiff.training.prepare import make_task, prepare
from audiodiff.training.ranks import ALONE
from audiodiff.training.recipe import Recipe
from audiodiff.training.schedule import make_optimisers
from audiodiff.training.step import TrainingContext
from tests.imitation.accelerator import DEVICE, Far, accelerator
from tests.training.toy_training import RECIPE, Toy, recipe, toy_batches

MPS = torch.device("mps")
EVERYTHING = {
    "over": 0.1,
    "consistent": 0.1,
    "waveform": 0.1,
    "mrstft": 0.1,
    "si_sdr": 0.1,
    "high_hz": 1000.0,
    "high_weight": 0.5,
}


def no_autocast(*_: Any, **__: Any) -> contextlib.AbstractContextManager[None]:
    """The real one has never heard of the imitation."""
    return contextlib.nullcontext()


@pytest.fixture
def with_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


@pytest.mark.usefixtures("with_mps")
def test_mps_is_a_device_where_torch_has_it() -> None:
    assert pick_device("mps") == MPS
    assert pick_device("mps:0").type == "mps"
    assert pick_device("auto").type != "mps"  # it has to be asked for
    with pytest.raises(ConfigError, match="not on this machine"):
        pick_device("mps:1")


def test_mps_is_refused_in_one_line_where_torch_lacks_it(toy_model: Model) -> None:
    with pytest.raises(ConfigError, match="'mps' is not on this machine") as caught:
        Denoiser(toy_model, device="mps")
    assert len(str(caught.value).splitlines()) == 1


def test_bfloat16_is_not_used_on_mps() -> None:
    assert autocast_dtype("auto", MPS) is None
    assert autocast_dtype("float32", MPS) is None
    with pytest.raises(ConfigError, match="float32"):
        autocast_dtype("bfloat16", MPS)


def test_mps_after_a_fork_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiodiff.inference.device.is_forked", lambda: True)
    with pytest.raises(ConfigError, match="spawn"), working(None, MPS):
        pass


@pytest.mark.parametrize("key", ["bf16", "compile"])
def test_a_training_on_mps_measures_nothing(key: str) -> None:
    config = recipe(run={"bf16": "auto", "compile": "auto"})
    context, probes = prepare(config, _state(config), MPS)
    assert (context.bf16, probes) == (False, {})
    with pytest.raises(ConfigError, match="mps"):
        prepare(recipe(run={key: "on"}), _state(config), MPS)


def _state(config: Recipe) -> State:
    net = Toy()
    return fresh(net, make_optimisers(net, config.optim))


def test_the_imitation_refuses() -> None:
    with accelerator():
        x = torch.ones(3).to(DEVICE)
        assert isinstance(x, Far)
        assert x.device == DEVICE
        with pytest.raises(TypeError, match="float64"):
            x.double()
        with pytest.raises(TypeError, match="float64"):
            torch.ones(3, dtype=torch.float64).to(DEVICE)
        with pytest.raises(RuntimeError, match="two devices"):
            x + torch.ones(3)


def _step(net: nn.Module, device: torch.device, context: TrainingContext, batch: Batch) -> list[Tensor]:
    """A step by hand: losses, gradients, Muon, average; everything that came of it, on the CPU."""
    net.to(device)
    average = ema.start(net)
    optimiser = Muon([p for p in net.parameters() if p.ndim > 1], 0.02, 0.9, 0.01)
    cond, clean, bandwidth_hz = (part.to(device) for part in batch)
    losses = context.losses((cond, clean, bandwidth_hz), 3, trivial=True)
    losses.total.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    ema.update(average, net, 0.9, 3)
    assert losses.trivial is not None
    found = [losses.total, losses.trivial, norm, *losses.terms.values(), *average.values(), *net.parameters()]
    return [x.detach().cpu() for x in found]


@pytest.mark.parametrize(
    ("process", "target"),
    [("brownian", "x0"), ("schroedinger", "x0"), ("flow", "x0"), ("ouve", "eps")],
)
def test_a_step_of_training_is_the_cpus(process: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", no_autocast)
    model = RECIPE["model"] | {"target": target}
    plain = RECIPE | {"process": {"kind": process}, "model": model, "objective": EVERYTHING}
    task, batch, results = make_task(parse(Recipe, plain, "toy")), next(toy_batches(0)), []
    net = Toy()
    places = ((torch.device("cpu"), contextlib.nullcontext()), (DEVICE, accelerator()))
    for device, where in places:
        with where:
            mine = copy.deepcopy(net)
            context = TrainingContext(task, 0, mine.encode, mine, device, False, ALONE)
            results.append(_step(mine, device, context, batch))
    assert len(results[0]) > 6
    for on_cpu, far in zip(*results, strict=True):
        assert torch.equal(on_cpu, far)


def test_denoising_is_the_cpus(
    toy_model: Model,
    recording: Callable[..., npt.NDArray[np.float32]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = recording(0.5)[0]
    truth = Denoiser(toy_model, runtime="torch", precision="float32").denoise(x, 16000)
    monkeypatch.setattr("audiodiff.inference.torch_evaluator.pick_device", lambda _: DEVICE)
    monkeypatch.setattr(torch, "autocast", no_autocast)
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # which takes no imitations
    with accelerator():
        denoiser = Denoiser(toy_model, runtime="torch", device="mps", precision="float32")
        assert denoiser.device == "meta"
        try:
            found = denoiser.denoise(x, 16000)
        finally:
            toy_model.net.to(torch.device("cpu"))
    assert np.array_equal(found, truth)


SPEC = PRESETS["hifigan"]
PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "times of a table": lambda x: table_times(VP.linear(), x.flatten()),
    "energy prior": lambda x: shape(EnergyPrior(0.1, 1.0), x.log(), SPEC).enter(torch.ones_like(x[:, 0, :1])),
    "level prior": lambda x: shape(LevelPrior(), x.log(), SPEC).scale,
    "nearest to a mel": lambda x: projection(x.log(), SPEC)(x.flatten(1)[:, : 5 * SPEC.hop]),
    "mel": lambda x: mel(x.flatten(1), SPEC),
    "perceptual": lambda x: perceptual_distance(16000, True)(x.flatten(1), x.flatten(1).flip(1)),
    "log SNR": lambda x: VP.linear().log_snr(x.flatten()[:4]),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_training_and_sampling_are_the_cpus(name: str) -> None:
    x = torch.rand(2, SPEC.n_mels, 40, generator=torch.Generator().manual_seed(0)) + 0.01
    truth = PARTS[name](x)
    with accelerator():
        assert torch.equal(PARTS[name](x.to(DEVICE)).cpu(), truth)
