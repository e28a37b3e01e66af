"""From a recipe to the fixed parts of a training: network, front end, precision, compilation."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from audiodiff.data.batches import Batch
from audiodiff.diffusion import time_grids
from audiodiff.diffusion.loss import TimeLaw
from audiodiff.model.model import build_prior, build_process
from audiodiff.networks.contract import Network
from audiodiff.signal.mel import mel
from audiodiff.signal.stft import STFT, Compression
from audiodiff.training.checkpoint import State
from audiodiff.training.config import AnyConfig, TrainConfig
from audiodiff.training.losses import Front
from audiodiff.training.muon import Muon
from audiodiff.training.ranks import ALONE, Ranks
from audiodiff.training.step import AnySetup, Setup, WaveSetup, step_losses
from audiodiff.training.wave_config import WaveConfig, vp_of

PROBE_S = 1.0  # seconds of audio in each of the two items of a probe


@dataclass(frozen=True)
class Probe:
    """Seconds that one forward and backward pass took, the plain way and the other."""

    plain_s: float
    other_s: float

    @property
    def other_wins(self) -> bool:
        """Whether the other way was faster."""
        return self.other_s < self.plain_s


def make_front(config: TrainConfig) -> Front:
    """The front end that section ``[model]`` describes."""
    model = config.model
    return Front(STFT(model.n_fft, model.hop), Compression(model.exponent, model.scale), model.sample_rate)


def prepare(
    config: AnyConfig, state: State, device: torch.device, ranks: Ranks = ALONE
) -> tuple[AnySetup, dict[str, Probe]]:
    """Build the fixed parts; measure what the recipe leaves to measurement.

    Decisions are kept in ``state.progress``, so that a resumed run takes the same ones.

    Args:
        config: The recipe.
        state: Holds the network, already on `device`.
        device: Where to train.
        ranks: This process among those that train together; the first one's measurements count.

    Returns:
        The fixed parts, and the measurements that were made now (``bf16``, ``compile``).

    Raises:
        ConfigError: An unknown process, or one that does not go with the target.
    """
    progress, probes = state.progress, {}
    bf16, compiled = config.run.bf16, config.run.compile
    if bf16 != "auto":
        progress.bf16 = bf16 == "on"
    elif progress.bf16 is None:
        plain, other = (
            _time_step(config, _setup(config, state.network, device, on, False, ALONE))
            for on in (False, True)
        )
        probes["bf16"] = Probe(plain, other)
        progress.bf16 = ranks.any(ranks.writes and probes["bf16"].other_wins)
    if compiled != "auto":
        progress.compiled = compiled == "on"
    elif progress.compiled is None:
        probes["compile"] = _probe_compile(config, state.network, device, progress.bf16)
        progress.compiled = ranks.any(ranks.writes and probes["compile"].other_wins)
    for optimiser in state.optimisers:
        if isinstance(optimiser, Muon):
            optimiser.dtype = torch.bfloat16 if progress.bf16 else torch.float32
    return _setup(config, state.network, device, progress.bf16, progress.compiled, ranks), probes


def _setup(
    config: AnyConfig, net: Network, device: torch.device, bf16: bool, compiled: bool, ranks: Ranks
) -> AnySetup:
    encode = torch.compile(net.encode) if compiled else net.encode
    forward = torch.compile(net) if compiled else net
    if isinstance(config, WaveConfig):
        prior = config.model.prior
        return WaveSetup(
            spec=config.model.spec,
            prior=None if prior is None else build_prior(prior),
            process=vp_of(config),
            target=config.model.target,
            loss=config.objective.noise,
            encode=encode,
            forward=forward,
            device=device,
            bf16=bf16,
            ranks=ranks,
        )
    process, optim = build_process(config.process), config.optim
    grid = time_grids.default(process, optim.t_steps, config.model.start)
    return Setup(
        front=make_front(config),
        process=process,
        target=config.model.target,
        law=TimeLaw(grid, optim.t_start_share, optim.t_jitter),
        encode=encode,
        forward=forward,
        device=device,
        bf16=bf16,
        ranks=ranks,
    )


def _probe_compile(config: AnyConfig, net: Network, device: torch.device, bf16: bool) -> Probe:
    """Time a step with and without torch.compile; a machine without a compiler gets infinity for it."""
    plain = _time_step(config, _setup(config, net, device, bf16, False, ALONE))
    try:
        other = _time_step(config, _setup(config, net, device, bf16, True, ALONE))
    except RuntimeError:  # every failure of dynamo and inductor is one
        other = float("inf")
    return Probe(plain, other)


def _time_step(config: AnyConfig, setup: AnySetup) -> float:
    """Seconds of the fastest of three forward and backward passes on noise, after one to warm up."""
    batch = _probe_batch(config, setup.device)
    return min(_seconds(config, setup, batch) for _ in range(4))


def _probe_batch(config: AnyConfig, device: torch.device) -> Batch:
    """Two items of noise, as a training would get them."""
    hop = config.model.spec.hop if isinstance(config, WaveConfig) else 1
    n_samples = round(PROBE_S * config.model.sample_rate) // hop * hop
    generator = torch.Generator().manual_seed(0)
    cond, clean = (0.05 * torch.randn(2, n_samples, generator=generator) for _ in range(2))
    if isinstance(config, WaveConfig):
        cond = mel(clean, config.model.spec)[..., : n_samples // hop]
    bandwidth_hz = torch.full((2,), config.model.sample_rate / 2)
    return cond.to(device), clean.to(device), bandwidth_hz.to(device)


def _seconds(config: AnyConfig, setup: AnySetup, batch: Batch) -> float:
    begin = time.perf_counter()
    total: Tensor = step_losses(config, setup, batch, step=0, trivial=False).total
    total.backward()  # type: ignore[no-untyped-call]  # torch's own
    total.item()  # waits for the accelerator
    return time.perf_counter() - begin
