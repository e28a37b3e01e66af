"""Several systems scored against the same references, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from audiodiff.evaluation.bootstrap import Difference, mean_interval
from audiodiff.evaluation.folders import evaluate_files, evaluate_folders
from audiodiff.evaluation.metrics import BY_NAME, OF_SETS, OF_TEXTS, Metric
from audiodiff.evaluation.report import Report, Summary, summarise
from audiodiff.evaluation.score import Judge, Unscored
from audiodiff.evaluation.transcripts import TextErrors, paired_difference, pooled


@dataclass(frozen=True)
class Row:
    """One metric of one system.

    Attributes:
        metric: Which.
        system: Name of the system.
        summary: Its mean over all of its clips; of a set or of texts, the one number for all.
        difference: To the first system, over the clips that both have, higher or lower as the metric is; None
            for the first one.
        wins: Clips in which it alone is the best of all systems; None where there is no number a clip.
        clips: Clips in which all systems have a number.
    """

    metric: Metric
    system: str
    summary: Summary
    difference: Difference | None
    wins: int | None = None
    clips: int = 0


@dataclass(frozen=True)
class Comparison:
    """Reports of several systems.

    Attributes:
        reports: By the name of the system; the first one is what the others are compared with. Empty where
            only texts are compared.
        texts: What a recogniser made of each system, by the same names; or empty.
    """

    reports: Mapping[str, Report]
    texts: Mapping[str, TextErrors]

    @cached_property
    def rows(self) -> list[Row]:
        """Metric after metric, all systems in each."""
        metrics = next(iter(self.reports.values())).metrics if self.reports else ()
        of_pairs = [row for name in metrics for row in self._of_pairs(BY_NAME[name])]
        return [*of_pairs, *self._of_sets(), *self._of_texts()]

    def _of_pairs(self, metric: Metric) -> list[Row]:
        numbers = {system: report.numbers(metric.name) for system, report in self.reports.items()}
        first, common = next(iter(numbers.values())), _common(numbers)
        winners = [_winner(metric, {system: n[name] for system, n in numbers.items()}) for name in common]
        rows: list[Row] = []
        for system, own in numbers.items():
            differences = [value - first[name] for name, value in own.items() if name in first]
            difference = mean_interval(differences) if rows else None
            summary = summarise(list(own.values()))
            rows.append(Row(metric, system, summary, difference, winners.count(system), len(common)))
        return rows

    def _of_sets(self) -> list[Row]:
        if not self.reports:
            return []
        found = {system: report.distances() for system, report in self.reports.items()}
        rows: list[Row] = []
        for metric in OF_SETS:
            values = {system: scores[metric.name] for system, scores in found.items()}
            numbers = {s: None if isinstance(v, Unscored) else v for s, v in values.items()}
            counts = {s: sum(f.points is not None for f in r.files) for s, r in self.reports.items()}
            rows += _plain(metric, numbers, counts)
        return rows

    def _of_texts(self) -> list[Row]:
        if not self.texts:
            return []
        words = {system: texts.words for system, texts in self.texts.items()}
        characters = {system: texts.characters for system, texts in self.texts.items()}
        rows: list[Row] = []
        for metric, clips in zip(OF_TEXTS, (words, characters), strict=True):
            first = next(iter(clips))
            for system, own in clips.items():
                summary = Summary(pooled(own).percent, None, len(own))
                difference = None if system == first else paired_difference(clips[first], own)
                rows.append(Row(metric, system, summary, difference))
        return rows


def evaluate_systems(
    reference: Path,
    systems: Mapping[str, Path],
    *,
    jobs: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
    judges: Sequence[Judge] = (),
) -> dict[str, Report]:
    """Score folders, or files, of several systems against the same references.

    Args:
        reference: A folder or a file.
        systems: Folders or files by the names of the systems; the first is what others are compared with.
        jobs: As for `evaluate_folders`.
        on_progress: Called with the number of results so far and, estimated from each folder, in all.
        judges: Score opinions, too.
    """
    reports: dict[str, Report] = {}
    for index, (name, path) in enumerate(systems.items()):

        def show(done: int, total: int, before: int = index) -> None:
            if on_progress:
                on_progress(before * total + done, len(systems) * total)

        if reference.is_file():
            reports[name] = evaluate_files(
                reference, path, on_progress=show, judges=judges, name=reference.name
            )
        else:
            reports[name] = evaluate_folders(reference, path, jobs=jobs, on_progress=show, judges=judges)
    return reports


def _common(numbers: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The clips in which all systems have a number."""
    first, *others = numbers.values()
    return [name for name in first if all(name in other for other in others)]


def _winner(metric: Metric, values: Mapping[str, float]) -> str | None:
    """The system that alone is best, if one is."""
    gains = {system: metric.gain(value) for system, value in values.items()}
    best = [system for system, gain in gains.items() if gain == max(gains.values())]
    return best[0] if len(best) == 1 else None


def _plain(metric: Metric, values: Mapping[str, float | None], counts: Mapping[str, int]) -> list[Row]:
    """One number a system, and the difference of two without an interval."""
    first = next(iter(values.values()))
    rows: list[Row] = []
    for system, value in values.items():
        apart = None if first is None or value is None else value - first
        difference = Difference(apart, None, None, counts[system]) if rows else None
        rows.append(Row(metric, system, Summary(value, None, counts[system]), difference))
    return rows
