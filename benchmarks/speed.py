"""Time and memory of the whole command on a synthetic recording, and of the network alone.

    python benchmarks/speed.py --model podcast

The recording is 48 kHz stereo: a made-up voice in two different channels under fan noise. Every figure comes
from a process of its own; float32 is `audiodiff denoise` itself, bfloat16 the same work through the Python
interface. Peak memory is what the system (Linux or macOS) states for the finished process. Run it on a quiet
machine; --quick uses recordings of 20 s, to see that everything works.

    python benchmarks/speed.py --peers PYTHON

With --peers it puts the whole command, in float32 and int8, beside those of `peers.py` instead, on the first
channel of the recording, each in turn, round after round; PYTHON is the interpreter of the environment that
has the peers. With PYTHONDONTWRITEBYTECODE every start of ours would compile its modules anew.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audiodiff.inference.device import Precision

# Nothing heavy is imported here: on Linux the peak of a child is never below the size of its parent.

RATE = 48000
SHORT_S = 0.5
BLOCK_S = 20
PRECISIONS = ("float32", "bfloat16")
PEERS = ("dfn3", "rnnoise", "gtcrn_dns3", "noisereduce")


@dataclass(frozen=True)
class Run:
    """A finished process: wall clock and CPU seconds, peak resident memory in MiB, standard output."""

    seconds: float
    cpu_s: float
    peak_mib: float
    output: str


def run(command: list[str]) -> Run:
    """Run a command to its end; a failure ends the benchmark."""
    with tempfile.TemporaryFile("w+") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"speed: exit code {process.returncode} of: {shlex.join(command)}")
        output.seek(0)
        unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
        return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, output.read())


def own(function: str, *arguments: object) -> list[str]:
    """Command line that runs a function of this file in a process of its own."""
    return [sys.executable, __file__, "--child", function, *map(str, arguments)]


def make_recording(path: str, seconds: str, channels: str = "2") -> None:
    """Write the recording, 16 bit; blocks of 20 s repeat with another noise."""
    import numpy as np
    import soundfile

    from audiodiff.data import synthetic_noise

    n = BLOCK_S * RATE
    rng = np.random.default_rng(1)
    t = np.arange(n) / RATE
    pitch_hz = 120 + 25 * np.sin(2 * np.pi * 0.4 * t) + 8 * np.sin(2 * np.pi * 2.1 * t)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 41))
    hiss = rng.standard_normal(n)
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * t) + 0.6 * np.sin(2 * np.pi * 0.31 * t), 0, None)
    consonants = 0.2 * np.clip(np.sin(2 * np.pi * 2.3 * t + 2.5), 0, None) ** 4 * hiss
    speech = 0.08 * (voice * syllables + consonants)
    stereo = np.stack([speech, 0.6 * np.roll(speech, 400)], axis=1)
    left = round(float(seconds) * RATE)
    with soundfile.SoundFile(path, "w", RATE, int(channels), "PCM_16") as file:
        while left > 0:
            fans = [synthetic_noise.fan(n, rng, RATE, 180.0, -6.0, 400.0) for _ in range(2)]
            block = stereo + 0.02 * np.stack(fans, axis=1)
            file.write(block[: min(n, left), : int(channels)])
            left -= n


def clean_by_interface(
    source: str, target: str, model: str, precision: Precision, steps: str, threads: str
) -> None:
    """What the command does, with the precision chosen; steps and threads ``None`` for the defaults."""
    from audiodiff.batch.denoise_task import denoise_file
    from audiodiff.inference.denoiser import Denoiser

    n_steps, n_threads = (None if text == "None" else int(text) for text in (steps, threads))
    denoiser = Denoiser(model, steps=n_steps, device="cpu", threads=n_threads, precision=precision)
    denoise_file(Path(source), Path(target), denoiser)


def time_network(model: str, threads: str, n: str) -> None:
    """Print medians in ms of `encode` and of one step on one channel, for one chunk of the task."""
    import torch

    from audiodiff.inference.chunk_denoiser import CORE_S, ChunkDenoiser
    from audiodiff.inference.denoiser import Denoiser
    from audiodiff.inference.torch_evaluator import TorchEvaluator

    torch.set_num_threads(int(threads))
    loaded = Denoiser(model, runtime="torch", device="cpu").model
    preset = loaded.config.presets.balanced
    plan = ChunkDenoiser(loaded, preset, 0, TorchEvaluator(loaded.net, torch.device("cpu"))).plan()
    # a chunk in the middle of a recording: halo on both sides
    n_frames = plan.chunk(1, 100 * plan.core).n_frames
    y = torch.randn(1, loaded.stft.n_bins, n_frames, 2, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([loaded.config.start])

    def median_ms(work: Callable[[], object]) -> float:
        times = []
        for _ in range(int(n) + 1):
            begin = time.perf_counter()
            work()
            times.append(1000 * (time.perf_counter() - begin))
        return statistics.median(times[1:])  # the first one warms up

    found = []
    for precision in PRECISIONS:
        half = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
        with torch.inference_mode(), half:
            h = loaded.net.encode(y)
            encode_ms = median_ms(lambda: loaded.net.encode(y))
            step_ms = median_ms(functools.partial(loaded.net, y, t, h))
        total_ms = encode_ms + preset.evaluations * step_ms
        found.append([precision, encode_ms, step_ms, preset.steps, total_ms / 1000 / CORE_S])
    print(json.dumps(found))


def about(model: str) -> None:
    """Print the model's default steps, versions, and what the processor can do."""
    import torch

    from audiodiff import __version__, load_model

    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = ", ".join(name for name in ("avx512_bf16", "amx_bf16") if found.get(name)) or "none"
    loaded = load_model(model)
    versions = f"audiodiff {__version__}, torch {torch.__version__}, weights {loaded.digest[:12]}"
    line = f"{versions}, bfloat16 in hardware: {native}"
    print(json.dumps([loaded.config.presets.balanced.steps, line]))


CHILDREN: dict[str, Callable[..., None]] = {
    "make_recording": make_recording,
    "clean_by_interface": clean_by_interface,
    "time_network": time_network,
    "about": about,
}


def cleaning(
    args: argparse.Namespace, source: Path, target: Path, steps: int | None, precision: str
) -> list[str]:
    """Command line that cleans a recording."""
    if precision == "bfloat16":
        return own("clean_by_interface", source, target, args.model, precision, steps, args.threads)
    command = [sys.executable, "-m", "audiodiff", "denoise", str(source), "-o", str(target), "-m", args.model]
    command += [] if steps is None else ["--steps", str(steps)]
    command += [] if args.threads is None else ["--threads", str(args.threads)]
    return [*command, "--precision", precision, "--quiet", "--device", "cpu"]


def clean(
    args: argparse.Namespace, source: Path, steps: int | None, precision: str, repeats: int
) -> list[Run]:
    target = source.with_suffix(".out.wav")
    runs = []
    for _ in range(repeats):
        runs.append(run(cleaning(args, source, target, steps, precision)))
        target.unlink()
    return runs


def seconds_of(runs: Iterable[Run]) -> str:
    values = sorted(each.seconds for each in runs)
    return f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"


def speed_table(args: argparse.Namespace, folder: Path, length_s: int, default_steps: int) -> None:
    short, long = folder / "short.wav", folder / "long.wav"
    run(own("make_recording", short, SHORT_S))
    run(own("make_recording", long, length_s))
    clean(args, short, None, "float32", 1)  # compiles and caches what the first run of all pays for
    print(f"| steps | precision | {length_s} s of stereo: s | real-time factor | {SHORT_S} s: s | share |")
    print("|---|---|---|---|---|---|")
    for number in sorted({default_steps, 1, 2, 4}):
        steps = None if number == default_steps else number
        for precision in PRECISIONS:
            whole = clean(args, long, steps, precision, args.repeats)
            start = clean(args, short, steps, precision, args.repeats)
            total, start_s = (statistics.median(each.seconds for each in runs) for runs in (whole, start))
            cells = [
                f"{number} (default)" if steps is None else str(number),
                precision,
                seconds_of(whole),
                f"{total / length_s:.4f}",
                seconds_of(start),
                f"{start_s / total:.0%}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)
    long.unlink()


def memory_table(args: argparse.Namespace, folder: Path, lengths_s: tuple[int, int]) -> None:
    bare = run([sys.executable, "-c", "import torch"]).peak_mib
    print("\n| default steps, float32 | peak memory MiB | beyond importing torch | s |\n|---|---|---|---|")
    print(f"| `import torch` | {bare:.0f} | | |", flush=True)
    peaks = []
    for length_s in lengths_s:
        path = folder / f"{length_s}.wav"
        run(own("make_recording", path, length_s))
        found = clean(args, path, None, "float32", 1)[0]
        path.unlink()
        peaks.append(found.peak_mib)
        cells = [
            f"{length_s} s",
            f"{found.peak_mib:.0f}",
            f"{found.peak_mib - bare:.0f}",
            f"{found.seconds:.1f}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\nThe longer recording takes {peaks[1] / peaks[0] - 1:+.1%} memory.")


def peers_table(args: argparse.Namespace, folder: Path, length_s: int) -> None:
    """The command beside the peers: medians over rounds in which each runs once."""
    (folder / "noisy").mkdir()
    source, target = folder / "noisy" / "mono.wav", folder / "mono.out.wav"
    run(own("make_recording", source, length_s, 1))
    script = str(Path(__file__).with_name("peers.py"))
    here = argparse.Namespace(**{**vars(args), "threads": 1})
    commands = {
        "audiodiff, one thread": cleaning(here, source, target, None, "float32"),
        "audiodiff": cleaning(args, source, target, None, "float32"),
        "audiodiff, int8, one thread": cleaning(here, source, target, None, "int8"),
        "audiodiff, int8": cleaning(args, source, target, None, "int8"),
    }
    for name in PEERS:
        commands[name] = [args.peers, script, name, str(source.parent), str(folder / name)]
    found: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(args.repeats + 1):
        for name, command in commands.items():
            once = run(command)
            target.unlink(missing_ok=True)
            if turn:  # the first round compiles and fills caches
                found[name].append(once)
    base = statistics.median(each.cpu_s for each in found["audiodiff, one thread"])
    print(f"| {length_s} s of mono, whole process | CPU s | of ours | s | peak MiB |\n|---|---|---|---|---|")
    for name, runs in found.items():
        cpu_s = statistics.median(each.cpu_s for each in runs)
        peak = statistics.median(each.peak_mib for each in runs)
        print(f"| {name} | {cpu_s:.2f} | {cpu_s / base:.2f} | {seconds_of(runs)} | {peak:.0f} |", flush=True)


def network_table(args: argparse.Namespace) -> None:
    print("\n| network alone, one channel | precision | encode ms | a step ms | real-time factor |")
    print("|---|---|---|---|---|")
    for threads in (1, 2):
        output = run(own("time_network", args.model, threads, 5 if args.quick else 15)).output
        for precision, encode_ms, step_ms, steps, factor in json.loads(output):
            name = f"{threads} thread{'s' * (threads > 1)}, {steps} steps"
            print(f"| {name} | {precision} | {encode_ms:.0f} | {step_ms:.0f} | {factor:.4f} |", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        CHILDREN[sys.argv[2]](*sys.argv[3:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="podcast", help="name or folder of a model")
    parser.add_argument("--threads", type=int, help="CPU threads of the command; default: its own choice")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each timed command")
    parser.add_argument("--folder", type=Path, help="where recordings go (1.4 GB); default: the system's")
    parser.add_argument("--quick", action="store_true", help="short recordings: a trial, not a result")
    parser.add_argument("--peers", metavar="PYTHON", help="compare with the peers that this interpreter has")
    args = parser.parse_args()
    length_s, lengths_s = (20, (20, 60)) if args.quick else (300, (600, 3600))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    default_steps, versions = json.loads(run(own("about", args.model)).output)
    print(f"`python {shlex.join(sys.argv)}` ({machine}, {versions})\n", flush=True)
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        if args.peers:
            peers_table(args, Path(scratch), 20 if args.quick else 60)
            return
        speed_table(args, Path(scratch), length_s, default_steps)
        memory_table(args, Path(scratch), lengths_s)
    network_table(args)


if __name__ == "__main__":
    main()
