"""Where the time of one training step goes, part by part, and how many seconds of audio a second trains on.

    python benchmarks/profile_step.py recipes/podcast/recipe.toml [SECTION.KEY=VALUE ...]

The batch is noise, so no store is needed; where the recipe's store is there, mixing is timed too. Precision
and compilation are what the recipe says, measured first where it says ``auto``. Prints a markdown table of
medians; its last row is the training loop itself on the same batch, to compare the sum with.
"""

from __future__ import annotations

import argparse
import itertools
import math
import shlex
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import torch
from torch import nn

from audiodiff.data.batches import Batch, make_batch
from audiodiff.data.own_data import OwnSource
from audiodiff.data.sources import open_sources
from audiodiff.data.store import Store
from audiodiff.diffusion.loss import sample_state
from audiodiff.diffusion.prediction import make_denoiser
from audiodiff.errors import AudiodiffError, ConfigError
from audiodiff.inference.device import pick_device
from audiodiff.training import ema
from audiodiff.training.checkpoint import State
from audiodiff.training.loop import train
from audiodiff.training.losses import objective
from audiodiff.training.prepare import make_task, prepare
from audiodiff.training.recipe import MixData, Recipe, load_recipe
from audiodiff.training.run import new_state
from audiodiff.training.spectra import SpectralTask
from audiodiff.training.step import TrainingContext

PARTS = ("STFT and compression", "times and noising", "encode", "step", "objective", "backward", "optimiser")


class Laps:
    """Milliseconds between calls, collected by name."""

    def __init__(self, device: torch.device) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self._device = device
        self._last = 0.0

    def start(self) -> None:
        """Begin a step."""
        self._wait()
        self._last = time.perf_counter()

    def end(self, name: str) -> None:
        """Book the time since the last call under a name."""
        self._wait()
        now = time.perf_counter()
        self.times[name].append(1000 * (now - self._last))
        self._last = now

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def synthetic_batch(task: SpectralTask, device: torch.device) -> Batch:
    rate, data = task.front.sample_rate, task.data
    if isinstance(data, OwnSource):
        raise ConfigError(
            "data of your own have no batch of a known shape; profile the network with data.kind=mix"
        )
    generator = torch.Generator().manual_seed(0)
    clean = 0.05 * torch.randn(data.batch, round(data.segment_s * rate), generator=generator)
    noisy = clean + 0.02 * torch.randn(clean.shape, generator=generator)
    bandwidth_hz = torch.full((data.batch,), rate / 2)
    return noisy.to(device), clean.to(device), bandwidth_hz.to(device)


def timed_step(
    recipe: Recipe, task: SpectralTask, context: TrainingContext, state: State, batch: Batch, laps: Laps
) -> None:
    """The step of `audiodiff.training.loop`, with a lap after each part."""
    noisy, clean, bandwidth_hz = batch

    def net_fn(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        with context.autocast():
            return context.forward(x, u, h).float()

    laps.start()
    with torch.no_grad():
        y, x_0 = task.front.spectrum(noisy), task.front.spectrum(clean)
        laps.end("STFT and compression")
        random = context.random(state.progress.step)
        t = task.law.draw(random.uniform((len(clean), 3)))
        eps = random.normal(x_0.shape) * math.sqrt(0.5)
        x_t = sample_state(task.process, x_0, y, t, eps)
    laps.end("times and noising")
    with context.autocast():
        h = context.encode(y)
    laps.end("encode")
    x0_hat = make_denoiser(task.process, task.target, net_fn, y)(x_t, t)
    laps.end("step")
    total, _ = objective(task.objective, task.front, x0_hat, x_0, bandwidth_hz, clean.shape[-1])
    laps.end("objective")
    for optimiser in state.optimisers:
        optimiser.zero_grad(set_to_none=True)
    total.mean().backward()  # type: ignore[no-untyped-call]  # torch's own
    laps.end("backward")
    nn.utils.clip_grad_norm_(state.net.parameters(), recipe.optim.clip or math.inf)
    for optimiser in state.optimisers:
        optimiser.step()
    ema.update(state.average, state.net, recipe.optim.ema, state.progress.step)
    laps.end("optimiser")
    state.progress.step += 1


def loop_ms(recipe: Recipe, context: TrainingContext, state: State, batch: Batch, n: int) -> float:
    """Median milliseconds of a step by the training loop, after one to warm up."""
    state.progress.step = 0
    steps = min(n + 1, recipe.optim.steps)
    records = itertools.islice(train(recipe, context, state, itertools.repeat(batch)), steps)
    times = [1000 * record.wall_s for record in records]
    return statistics.median(times[1:] or times)


def mixing_ms(recipe: Recipe, n: int) -> float | None:
    """Median milliseconds of mixing a batch in one thread, or None without a packed store."""
    data = recipe.data
    if not isinstance(data, MixData) or not Path(data.store).is_dir():
        return None
    sources = open_sources(Store(Path(data.store)), "train", data.class_weights)
    segment = round(data.segment_s * recipe.model.sample_rate)
    times = []
    for number in range(n + 1):
        begin = time.perf_counter()
        make_batch(sources, data, recipe.run.seed, number, data.batch, segment)
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times[1:])


def profile(recipe: Recipe, task: SpectralTask, n: int) -> None:
    device = pick_device(recipe.run.device)
    state = new_state(recipe, device)
    context, _ = prepare(recipe, state, device)
    batch = synthetic_batch(task, device)
    laps = Laps(device)
    state.net.train()
    for _ in range(n + 2):
        timed_step(recipe, task, context, state, batch, laps)
    parts = {name: statistics.median(laps.times[name][2:]) for name in PARTS}  # two to warm up
    total = sum(parts.values())
    whole, mixing = loop_ms(recipe, context, state, batch, n), mixing_ms(recipe, n)
    n_items, n_samples = batch[0].shape
    segment_s = n_samples / task.front.sample_rate
    audio_s = n_items * segment_s
    precision = "bfloat16" if context.bf16 else "float32"
    compiled = "compiled" if state.progress.compiled else "not compiled"
    parameters = sum(parameter.numel() for parameter in state.net.parameters()) / 1e6
    print(
        f"{n_items} items of {segment_s:g} s, {parameters:.2f} M parameters, {device}, "
        f"{torch.get_num_threads()} threads, {precision}, {compiled}, torch {torch.__version__}\n"
    )
    print(f"| part | ms (median of {n}) | share |\n|---|---|---|")
    for name, ms in parts.items():
        print(f"| {name} | {ms:.1f} | {ms / total:.0%} |")
    print(f"| sum | {total:.1f} | 100% |\n| a step by the training loop | {whole:.1f} | |")
    if mixing is not None:
        print(f"| mixing a batch, in a thread beside | {mixing:.1f} | |")
    print(f"\n{1000 * audio_s / whole:.1f} seconds of audio a second.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="SECTION.KEY=VALUE")
    parser.add_argument("--steps", type=int, default=30, help="timed steps")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    args = parser.parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    print(f"`python {shlex.join(sys.argv)}`\n")
    try:
        recipe = load_recipe(args.recipe, args.overrides)
        task = make_task(recipe)
        if not isinstance(task, SpectralTask):
            parser.error(f"{args.recipe} trains on waveforms; its log has the seconds of audio a second")
        profile(recipe, task, args.steps)
    except AudiodiffError as error:
        raise SystemExit(f"profile_step: {error}") from None


if __name__ == "__main__":
    main()
