"""Many short recordings in one batch: time of the whole command, and what a file's milliseconds go into.

    python benchmarks/small_files.py [--files 600] [--jobs 2] [--rounds 3]
    python benchmarks/small_files.py --where

The recordings are wav files of one second, 16 bit, 48 kHz mono, each from another place of
samples/interview_noisy.flac. With --where they are done in this process, one after the other, and every
part of the work is timed without what other parts of the table do inside it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speed import run

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "interview_noisy.flac"
RATE = 48_000
STEP = 4801
"""Samples from the beginning of one recording to that of the next."""


def make(folder: Path, n_files: int) -> None:
    import numpy as np
    import soundfile

    x, rate = soundfile.read(SAMPLE, dtype="int16", always_2d=True)
    assert rate == RATE
    folder.mkdir()
    for n in range(n_files):
        at = (n * STEP + np.arange(RATE)) % len(x)
        soundfile.write(folder / f"take {n:04d}.wav", x[at, 0], RATE, "PCM_16")


def whole(work: Path, jobs: int, rounds: int) -> None:
    """The command, round after round."""
    print("| s | CPU s | peak MiB of one process |\n|---|---|---|")
    runs = []
    for number in range(rounds):
        words = ["denoise", str(work / "in"), "-o", str(work / f"out {number}"), "--jobs", str(jobs), "-q"]
        runs.append(run([sys.executable, "-m", "audiodiff", *words]))
        print(f"| {runs[-1].seconds:.1f} | {runs[-1].cpu_s:.1f} | {runs[-1].peak_mib:.0f} |", flush=True)
    seconds, cpu_s = (statistics.median(getattr(one, name) for one in runs) for name in ("seconds", "cpu_s"))
    print(f"median: {seconds:.1f} s, {cpu_s:.1f} CPU s")


class Clock:
    """Time of parts of the work, each without the parts inside it."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self._running = ["the rest: plans, checks, names, tags"]
        self._since = time.perf_counter(), time.process_time()

    def turn(self) -> None:
        """Count the time since the last turn to the part that runs."""
        now = time.perf_counter(), time.process_time()
        self.wall[self._running[-1]] += now[0] - self._since[0]
        self.cpu[self._running[-1]] += now[1] - self._since[1]
        self._since = now

    def time(self, owner: Any, name: str, part: str) -> None:
        """Count a function, which its callers find in `owner`, to a part."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*words: Any, **options: Any) -> Any:
            self.turn()
            self._running.append(part)
            try:
                return function(*words, **options)
            finally:
                self.turn()
                self._running.pop()

        setattr(owner, name, timed)

    def restart(self) -> None:
        """Forget what was counted so far."""
        self.turn()
        self.wall.clear()
        self.cpu.clear()


def watch(clock: Clock) -> None:
    from audiodiff import system
    from audiodiff.batch import denoise_task, journal
    from audiodiff.batch.sidecar import Sidecar
    from audiodiff.inference import evaluator
    from audiodiff.inference.denoiser import Denoiser
    from audiodiff.inference.engine import Engine
    from audiodiff.io import atomic, reader, writer
    from audiodiff.signal.clipping import ClipMeter
    from audiodiff.signal.level import LevelMeter

    clock.time(evaluator, "_run", "network")
    for name in ("push", "flush"):
        clock.time(Engine, name, "STFT, level of bins, overlap and add")
    clock.time(Denoiser, "gain", "level of the recording")
    clock.time(LevelMeter, "push", "level of the recording")
    clock.time(LevelMeter, "active_db", "level of the recording")
    clock.time(ClipMeter, "push", "level of the recording")
    clock.time(reader, "_survey", "opening the recording, counting what is in it")
    clock.time(reader.SoundReader, "_fill", "reading")
    for name in ("_begin", "write", "_complete"):
        clock.time(writer.AtomicWriter, name, "writing")
    for module in (atomic, journal):
        clock.time(module, "sha256_of", "hashes of recording and output")
    clock.time(denoise_task, "input_fact", "hashes of recording and output")
    for name in ("flush_all", "flush_folder"):
        clock.time(system, name, "waiting for the disk")
    clock.time(journal.Journal, "add", "journal")
    clock.time(journal.Journal, "find", "journal")
    clock.time(Sidecar, "to_bytes", "sidecar")
    clock.time(denoise_task.DenoiseWork, "sidecar", "sidecar")


def where(work: Path) -> None:
    """One process, one job: what the milliseconds of a file go into."""
    from audiodiff.batch.batch_spec import JobSpec, run_one
    from audiodiff.batch.denoise_task import DenoiseSettings
    from audiodiff.batch.job_options import Options
    from audiodiff.batch.plan import plan

    clock = Clock()
    watch(clock)
    settings, options = DenoiseSettings(), Options(tag=True, sidecar=True)
    spec = JobSpec(settings, "podcast", settings.load("podcast").digest, options)
    first, *items = plan([work / "in"], work / "out", options, settings).items
    run_one(spec, first)
    clock.restart()
    for item in items:
        assert run_one(spec, item).status == "done"
    clock.turn()
    print("| a file of one second | CPU ms | ms |\n|---|---|---|")
    for part, seconds in sorted(clock.wall.items(), key=lambda each: -each[1]):
        print(f"| {part} | {1e3 * clock.cpu[part] / len(items):.2f} | {1e3 * seconds / len(items):.2f} |")
    sums = (1e3 * sum(counter.values()) / len(items) for counter in (clock.cpu, clock.wall))
    print("| all | {:.2f} | {:.2f} |".format(*sums))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--where", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make(work / "in", args.files)
        if args.where:
            where(work)
        else:
            whole(work, args.jobs, args.rounds)


if __name__ == "__main__":
    main()
