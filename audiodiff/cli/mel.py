"""``audiodiff mel``: compute mel spectrograms, see what a mel file holds, rewrite it for another system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiodiff.cli._common import each, say
from audiodiff.cli._options import MelAxes
from audiodiff.errors import AudioFileError, MelError

if TYPE_CHECKING:
    from audiodiff.io.mel_file import MelFile
    from audiodiff.signal.mel_convention import MelSpec

mel = typer.Typer(
    help="Compute, inspect and convert mel spectrograms.", no_args_is_help=False, rich_markup_mode=None
)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")]


@mel.command("compute")
def compute(
    sources: Annotated[list[Path], typer.Argument(metavar="AUDIO...", help="Recordings.")],
    preset: Annotated[str, typer.Option("--mel", help="Mel convention, such as hifigan or vocos.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File (.npz .safetensors .npy) or folder; default AUDIO.PRESET.npz beside it.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Compute mel spectrograms of recordings.

    Prints the path of each result. Channels are mixed to mono and resampled to the rate of the convention;
    both are reported.

    Example: audiodiff mel compute talk.wav --mel hifigan
    """
    from audiodiff.signal.mel_presets import get_convention

    spec = get_convention(preset)
    single = len(sources) == 1
    if output is not None and not single and not output.is_dir():
        raise AudioFileError(
            f"{output}: several recordings need an existing folder for -o; make it first", code="unwritable"
        )

    def one(source: Path) -> None:
        name = f"{source.stem}.{preset}.npz"
        target = source.with_name(name) if output is None else output / name if output.is_dir() else output
        typer.echo(_compute(source, target, spec, overwrite))

    each(sources, one)


@mel.command("inspect")
def inspect(
    sources: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Mel files: npz, safetensors, npy.")
    ],
    preset: Annotated[
        str | None,
        typer.Option("--mel", help="Mel convention of bare arrays; default: a guess, which is announced."),
    ] = None,
    mel_axes: MelAxes = None,
) -> None:
    """Describe mel files, or guess their convention.

    Prints convention, fingerprint, shape, duration and range. For a bare array, the best guess of its
    convention is printed with the reason and the runner-up.

    Example: audiodiff mel inspect talk.hifigan.npz
    """
    from audiodiff.io.mel_file import read_mel

    each(sources, lambda source: typer.echo("\n".join(_lines(source, read_mel(source, preset, mel_axes)))))


@mel.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Mel file: npz, safetensors, npy.")],
    to: Annotated[str, typer.Option("--to", help="Mel convention to convert to.")],
    preset: Annotated[
        str | None,
        typer.Option("--mel", help="Mel convention of a bare array; default: a guess, which is announced."),
    ] = None,
    mel_axes: MelAxes = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File or existing folder; default FILE.PRESET.npz beside it."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert a mel file to another convention.

    Works where the conversion is exact or nearly so. Prints the path of the result and, on standard error,
    what was done. What arithmetic cannot map (other bands, frames, powers) is refused with the reason.

    Example: audiodiff mel convert talk.rfwave.npz --to vocos
    """
    from audiodiff.signal.mel_presets import get_convention

    wanted = get_convention(to)
    name = f"{source.stem}.{to}.npz"
    target = source.with_name(name) if output is None else output / name if output.is_dir() else output
    # torch comes in from here on
    import torch

    from audiodiff.io.formats import display_path
    from audiodiff.io.mel_file import check_target, read_mel, write_mel
    from audiodiff.signal.mel import convert as rewrite

    check_target(target, overwrite)
    found = read_mel(source, preset, mel_axes)
    if found.note:
        say(f"audiodiff: note: {source.name}: {found.note}")
    try:
        values, _, note = rewrite(torch.from_numpy(found.values), found.spec, wanted)
    except MelError as error:
        raise MelError(
            f"{display_path(source)}: from {_name(found.spec)} to {to}: {error}", code=error.code
        ) from error
    write_mel(target, values.numpy(), wanted, overwrite)
    say(f"{source.name}: {_name(found.spec)} to {to}, {note}")
    typer.echo(target)


def _compute(source: Path, target: Path, spec: MelSpec, overwrite: bool) -> Path:
    """Write the mel of one recording."""
    from audiodiff.io.reader import read_blocks

    with read_blocks(source) as reader:
        info = reader.info
        # torch comes in from here on
        import numpy as np
        import torch

        from audiodiff.io.mel_file import check_target, write_mel
        from audiodiff.signal.level import MonoMix, mono_mix
        from audiodiff.signal.mel import mel as spectrogram
        from audiodiff.signal.resample import resample

        check_target(target, overwrite)
        mix = MonoMix()
        if info.channels > 1:
            with read_blocks(source) as measured:
                mix = mono_mix(measured)
        mono = np.concatenate([mix.apply(block) for block in reader], axis=1)
    done = []
    if info.channels > 1:
        done.append(mix.note or f"{info.channels} channels mixed to mono")
    if info.sample_rate != spec.sample_rate:
        done.append(f"{info.sample_rate} Hz resampled to {spec.sample_rate} Hz")
    if done:
        say(f"{source.name}: {', '.join(done)}")
    if reader.truncated:
        say(f"audiodiff: warning: {reader.truncated}")
    wave = resample(mono, info.sample_rate, spec.sample_rate)
    write_mel(target, spectrogram(torch.from_numpy(wave[0]), spec).numpy(), spec, overwrite)
    return target


def _lines(source: Path, found: MelFile) -> list[str]:
    """What `inspect` prints of a file."""
    spec = found.spec
    n_frames = found.values.shape[1]
    rows = {
        "convention": _name(spec) + ("" if found.stored else " (not stored in the file)"),
        "tuple": spec.describe(),
        "fingerprint": spec.fingerprint,
        "shape": f"{spec.n_mels} bands x {n_frames} frames",
        "seconds": f"{spec.span(n_frames) / spec.sample_rate:.3f}",
        "range": f"{found.values.min():.4g} to {found.values.max():.4g}",
    }
    if found.note:
        rows["note"] = found.note
    return [str(source), *(f"  {key:12}{value}" for key, value in rows.items())]


def _name(spec: MelSpec) -> str:
    """The names of a convention, for reading."""
    from audiodiff.signal.mel_presets import names_of

    first, *others = names_of(spec) or ["unnamed"]
    return f"{first} (also {', '.join(others)})" if others else first
