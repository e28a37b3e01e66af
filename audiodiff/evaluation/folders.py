"""Score a folder of estimates against a folder of references, or one file against another."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from audiodiff.errors import AudioFileError, ConfigError
from audiodiff.evaluation.pair import FileScore, columns, score_pair, unscored
from audiodiff.evaluation.pesq import Pesq
from audiodiff.evaluation.report import Report
from audiodiff.evaluation.score import Judge, Unscored
from audiodiff.extras import install_hint
from audiodiff.io.folders import audio_files
from audiodiff.io.reader import probe, read
from audiodiff.signal.resample import fit_length, resample
from audiodiff.signal.types import Audio


@dataclass(frozen=True)
class _Task:
    """One name, the files that bear it on both sides, and what stands against the reference."""

    name: str
    refs: list[Path]
    ests: list[Path]
    role: str = "estimate"


@dataclass(frozen=True)
class _Setup:
    """How files are scored."""

    jobs: int
    judges: Sequence[Judge]

    @property
    def metrics(self) -> tuple[str, ...]:
        return columns(self.judges)


def evaluate_folders(
    ref_dir: Path,
    est_dir: Path,
    *,
    noisy_dir: Path | None = None,
    jobs: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
    judges: Sequence[Judge] = (),
) -> Report:
    """Score every file of `est_dir` against the reference of the same relative name.

    Suffixes do not matter: ``a/talk.flac`` is the estimate of ``a/talk.wav``. Files without a partner
    are part of the report, with that reason.

    Args:
        jobs: Files scored at the same time, each with a PESQ process; no effect on the scores.
        on_progress: Called with the number of results so far and in all.
        judges: Score opinions, too.
    """
    _require_packages()
    refs, ests = named_files(ref_dir), named_files(est_dir)
    noisy = named_files(noisy_dir) if noisy_dir else {}
    if not refs.keys() & ests.keys():
        raise ConfigError(
            f"{est_dir}: no audio file has the name of one in {ref_dir}; give folders with equal file names "
            "(suffixes may differ)"
        )
    names = sorted(refs.keys() | ests.keys())
    tasks = [_Task(name, refs.get(name, []), ests.get(name, [])) for name in names]
    if noisy_dir:
        tasks += [
            _Task(name, refs[name], noisy.get(name, []), "noisy original") for name in names if name in refs
        ]
    return _report(tasks, len(names), _Setup(jobs, judges), on_progress)


def evaluate_files(
    ref: Path,
    est: Path,
    *,
    noisy: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    judges: Sequence[Judge] = (),
    name: str | None = None,
) -> Report:
    """Score one file against one reference, whatever their names; the report bears the estimate's.

    Args:
        on_progress: As for `evaluate_folders`.
        judges: Score opinions, too.
        name: What the report calls it instead.
    """
    _require_packages()
    for path in filter(None, (ref, est, noisy)):
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; give files alone, or folders alone")
        probe(path)  # what is no recording is refused, not reported without a score
    name = name or est.name
    tasks = [_Task(name, [ref], [est])]
    if noisy is not None:
        tasks.append(_Task(name, [ref], [noisy], "noisy original"))
    return _report(tasks, 1, _Setup(1, judges), on_progress)


def _report(
    tasks: list[_Task], n_estimates: int, setup: _Setup, on_progress: Callable[[int, int], None] | None
) -> Report:
    """The scores of all tasks: first the estimates, behind them the noisy originals."""
    results: list[FileScore] = []
    for score in _scored(tasks, setup):
        results.append(score)
        if on_progress:
            on_progress(len(results), len(tasks))
    return Report(tuple(results[:n_estimates]), tuple(results[n_estimates:]), setup.metrics)


def _scored(tasks: list[_Task], setup: _Setup) -> Iterator[FileScore]:
    """Results in the order of the tasks; threads, because the time is spent in the PESQ processes."""
    with ExitStack() as stack:
        idle: SimpleQueue[Pesq] = SimpleQueue()
        for _ in range(max(1, setup.jobs)):
            idle.put(stack.enter_context(Pesq()))

        def run(task: _Task) -> FileScore:
            pesq = idle.get()
            try:
                return _score_files(task, pesq, setup)
            finally:
                idle.put(pesq)

        pool = stack.enter_context(ThreadPoolExecutor(max(1, setup.jobs)))
        stack.callback(pool.shutdown, cancel_futures=True)
        yield from pool.map(run, tasks)


def _score_files(task: _Task, pesq: Pesq, setup: _Setup) -> FileScore:
    """A score or a reason for every metric; more or less than one file on a side is a reason."""
    name, refs, ests = task.name, task.refs, task.ests
    for paths, role in ((refs, "reference"), (ests, task.role)):
        if not paths:
            return unscored(name, Unscored("unpaired", f"there is no {role} of this name"), setup.metrics)
        if len(paths) > 1:
            found = ", ".join(path.name for path in paths)
            return unscored(name, Unscored("ambiguous", f"more than one {role}: {found}"), setup.metrics)
    try:
        ref, ref_rate = read(refs[0])
        est, est_rate = read(ests[0])
    except AudioFileError as error:
        return unscored(name, Unscored(error.code, str(error)), setup.metrics)
    if ref_rate == est_rate:
        return score_pair(name, ref, est, ref_rate, pesq, setup.judges)
    scored = score_pair(name, ref, _at_rate(est, est_rate, ref_rate, ref), ref_rate, pesq, setup.judges)
    note = f"{est_rate} Hz, scored at the {ref_rate} Hz of the reference"
    return replace(scored, notes=(note, *scored.notes))


def _at_rate(est: Audio, rate: int, wanted: int, ref: Audio) -> Audio:
    """A copy of the estimate at the reference's rate.

    It is fitted to the reference's length where the two differ by what the ends of two grids can.
    """
    y = resample(est, rate, wanted)
    grid = -(-wanted // rate) + 1
    return fit_length(y, ref.shape[1]) if abs(y.shape[1] - ref.shape[1]) <= grid else y


def named_files(folder: Path) -> dict[str, list[Path]]:
    """The audio files of a folder by relative path without suffix."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: not a folder; give a folder of audio files")
    names: dict[str, list[Path]] = {}
    for path in audio_files(folder)[0]:
        if path.is_file():
            names.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return names


def _require_packages() -> None:
    missing = [name for name in ("pesq", "pystoi", "torch") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} not installed; {install_hint('eval')} (pesq needs a C compiler)"
        )
