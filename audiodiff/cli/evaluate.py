"""``audiodiff evaluate``: score estimates against references, and systems against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from audiodiff.cli import _comparison, _evaluation
from audiodiff.cli._common import SOME_FAILED
from audiodiff.cli._progress import progress_bar
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from audiodiff.evaluation.comparison import Comparison
    from audiodiff.evaluation.report import Report
    from audiodiff.evaluation.score import Judge
    from audiodiff.evaluation.transcripts import TextErrors

_FILES, _JUDGES = "Results in files", "Words and opinions"
_NEEDED = "give a reference and at least one estimate, or --transcripts and --hypotheses"


Reference: TypeAlias = Annotated[
    Path | None,
    typer.Argument(metavar="REFERENCE", help="Clean reference, or a folder of them."),
]
Estimates: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="ESTIMATE...",
        help="Estimate, or a folder of them; files are named like the references. Several are compared.",
    ),
]
Noisy: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Noisy original, or a folder of them, to show the gain; with several estimates, the first "
        "system."
    ),
]
Jobs: TypeAlias = Annotated[int, typer.Option(min=1, help="Number of files to score at a time.")]
Worst: TypeAlias = Annotated[int, typer.Option(min=0, help="Number of worst files to list.")]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per file, then one with the summary.")
]
Csv: TypeAlias = Annotated[
    Path | None, typer.Option(help="Write the scores of every clip as CSV.", rich_help_panel=_FILES)
]
Markdown: TypeAlias = Annotated[
    Path | None, typer.Option(help="Write the tables as Markdown.", rich_help_panel=_FILES)
]
Html: TypeAlias = Annotated[
    Path | None, typer.Option(help="Write the tables as one HTML page.", rich_help_panel=_FILES)
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel=_FILES)
]
Transcripts: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Folder of .txt files with what is said in the references, for word error rates.",
        rich_help_panel=_JUDGES,
    ),
]
Hypotheses: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        help="Folder of .txt files that a recogniser made of an estimate; one for each, in order.",
        rich_help_panel=_JUDGES,
    ),
]
DnsmosOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Folder with DNSMOS's sig_bak_ovr.onnx, to use it.", rich_help_panel=_JUDGES),
]
Mos: TypeAlias = Annotated[
    bool,
    typer.Option("--mos", help="Add opinions by Distill-MOS (extra [mos]).", rich_help_panel=_JUDGES),
]


def evaluate(
    reference: Reference = None,
    estimates: Estimates = None,
    noisy: Noisy = None,
    jobs: Jobs = 2,
    worst: Worst = 5,
    as_json: AsJson = False,
    csv: Csv = None,
    markdown: Markdown = None,
    html: Html = None,
    overwrite: Overwrite = False,
    transcripts: Transcripts = None,
    hypotheses: Hypotheses = None,
    dnsmos: DnsmosOption = None,
    mos: Mos = False,
) -> None:
    """Score estimates against clean references, and compare systems.

    The scores are PESQ, ESTOI, SI-SDR, the log-spectral distance (LSD), the ratings CSIG, CBAK and COVL, and
    the Frechet and kernel distances between all estimates and all references; the table says which way is
    better. Two files are scored whatever their names; in folders, files are paired by their relative names,
    and suffixes may differ. An estimate of another sample rate is resampled for scoring, and a note names it.
    Several estimates, one for each system, are compared with the first of them. A file that cannot be scored
    is listed with the reason instead of a number, and the exit code is then 1.

    Examples: audiodiff evaluate clean.wav talk.denoised.wav --noisy talk.wav; audiodiff evaluate clean out;
    audiodiff evaluate clean noisy out1 out2 --html systems.html
    """
    outputs = _Outputs(csv, markdown, html, overwrite)
    outputs.check()
    sources = _Sources(reference, tuple(estimates or ()), noisy, dnsmos, mos, jobs)
    asked = _Texts(transcripts, tuple(hypotheses or ()))
    if (reference is None) == bool(sources.systems) or not (sources.systems or transcripts):
        raise ConfigError(_NEEDED)
    names = _names(sources.systems or asked.hypotheses)
    comparison, lines = _scored(sources, names, asked.errors(names), worst, as_json)
    outputs.write(comparison)
    typer.echo("\n".join(lines))
    if any(comparison.reports[name].unscored() for name in comparison.reports.keys() & names):
        raise typer.Exit(SOME_FAILED)


@dataclass(frozen=True)
class _Sources:
    """What is scored, by what."""

    reference: Path | None
    estimates: tuple[Path, ...]
    noisy: Path | None
    dnsmos: Path | None
    mos: bool
    jobs: int

    @property
    def single(self) -> bool:
        """Whether one system is scored, not several compared."""
        return len(self.estimates) == 1

    @property
    def systems(self) -> tuple[Path, ...]:
        """All that get a column: beside several, the noisy originals are one."""
        return self.estimates if self.single or self.noisy is None else (self.noisy, *self.estimates)

    def judges(self) -> list[Judge]:
        """What gives opinions without a reference."""
        found: list[Judge] = []
        if self.dnsmos:
            from audiodiff.evaluation.dnsmos import Dnsmos

            found.append(Dnsmos(self.dnsmos))
        if self.mos:
            from audiodiff.evaluation.opinion import DistillMos

            found.append(DistillMos())
        return found


@dataclass(frozen=True)
class _Texts:
    """What is said, and what a recogniser made of it."""

    transcripts: Path | None
    hypotheses: tuple[Path, ...]

    def errors(self, names: list[str]) -> Mapping[str, TextErrors]:
        """Errors of words by system; empty where no texts are given."""
        if self.transcripts is None and not self.hypotheses:
            return {}
        if self.transcripts is None or not names or len(self.hypotheses) != len(names):
            raise ConfigError(
                "give --transcripts once, and --hypotheses once for each system in the same order; "
                f"found {len(self.hypotheses)} of --hypotheses for {len(names)}"
            )
        from audiodiff.evaluation.transcripts import compare_folders

        said, heard = self.transcripts, zip(names, self.hypotheses, strict=True)
        return {name: compare_folders(said, folder) for name, folder in heard}


@dataclass(frozen=True)
class _Outputs:
    """Files that are asked for."""

    csv: Path | None
    markdown: Path | None
    html: Path | None
    overwrite: bool

    def check(self) -> None:
        """Refuse what cannot be written before the work is done."""
        from audiodiff.io.output_checks import check_existing, check_folder

        paths = [path for path in (self.csv, self.markdown, self.html) if path is not None]
        if len({path.absolute() for path in paths}) < len(paths):
            raise ConfigError("two kinds of results have one file name; give each its own")
        for path in paths:
            check_existing(path, self.overwrite)
            check_folder(path.parent)

    def write(self, comparison: Comparison) -> None:
        """Write each of them whole."""
        from audiodiff.report import comparison as pages

        for path, make in (
            (self.csv, pages.csv_of_clips),
            (self.markdown, pages.markdown),
            (self.html, pages.html),
        ):
            if path is not None:
                pages.save(path, make(comparison), self.overwrite)


def _names(paths: Sequence[Path]) -> list[str]:
    """Names of the systems, as short as tells them apart."""
    from audiodiff.report.text import distinct

    absolute = [path.absolute() for path in paths]
    if len(set(absolute)) < len(absolute):
        raise ConfigError("a system is given twice; give each once, the one to compare with first")
    return distinct(absolute)


def _scored(
    sources: _Sources, names: list[str], texts: Mapping[str, TextErrors], worst: int, as_json: bool
) -> tuple[Comparison, list[str]]:
    """The scores, and the lines to print."""
    if not sources.single:
        comparison = _several(sources, names, texts)
        return comparison, (_comparison.json_lines if as_json else _comparison.text_lines)(comparison)
    report = _one(sources)
    n_worst = 0 if sources.estimates[0].is_file() else worst
    lines = _of_one(report, next(iter(texts.values()), None), n_worst, as_json)
    return _beside_noisy(report, names[0], texts), lines


def _one(sources: _Sources) -> Report:
    from audiodiff.evaluation.folders import evaluate_files, evaluate_folders

    assert sources.reference is not None
    ref, est, noisy = sources.reference, sources.estimates[0], sources.noisy
    judges = sources.judges()
    with progress_bar("scoring", shown=True) as show:
        if ref.is_file() or est.is_file():
            return evaluate_files(ref, est, noisy=noisy, on_progress=show, judges=judges)
        return evaluate_folders(ref, est, noisy_dir=noisy, jobs=sources.jobs, on_progress=show, judges=judges)


def _of_one(report: Report, texts: TextErrors | None, n_worst: int, as_json: bool) -> list[str]:
    if as_json:
        return _evaluation.json_lines(report, texts)
    return _evaluation.text_lines(report, n_worst, texts)


def _beside_noisy(report: Report, name: str, texts: Mapping[str, TextErrors]) -> Comparison:
    """One system as the second of two, where the noisy originals were given."""
    from audiodiff.evaluation.comparison import Comparison
    from audiodiff.evaluation.report import Report

    noisy = {"noisy original": Report(report.noisy, metrics=report.metrics)} if report.noisy else {}
    return Comparison({**noisy, name: Report(report.files, metrics=report.metrics)}, texts)


def _several(sources: _Sources, names: list[str], texts: Mapping[str, TextErrors]) -> Comparison:
    from audiodiff.evaluation.comparison import Comparison, evaluate_systems

    if sources.reference is None:  # texts alone
        return Comparison({}, texts)
    systems = dict(zip(names, sources.systems, strict=True))
    judges = sources.judges()
    with progress_bar("scoring", shown=True) as show:
        reports = evaluate_systems(
            sources.reference, systems, jobs=sources.jobs, on_progress=show, judges=judges
        )
    return Comparison(reports, texts)
