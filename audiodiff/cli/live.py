"""``audiodiff live``: clean what a microphone or a pipe brings, while it comes."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from audiodiff.cli._common import Stopped, say
from audiodiff.cli._help import OUTPUT, SOUND
from audiodiff.cli.denoise import (
    MaxReduction,
    ModelName,
    PrecisionName,
    PrecisionOption,
    Quality,
    QualityName,
    Quiet,
    Seed,
    Strength,
    Threads,
)
from audiodiff.errors import ConfigError

if TYPE_CHECKING:
    from audiodiff.cli._live import PipeSink, Session, Source
    from audiodiff.inference.denoiser import Denoiser
    from audiodiff.interrupts import Stop
    from audiodiff.io.devices import Loudspeaker
    from audiodiff.io.formats import AudioInfo

PIPE = "-"
ENDS = "Where from and where to"
TOO_SLOW, TIGHT = 0.95, 0.7
"""Shares of real time that the computation takes, from which on it is refused, and warned of."""


SourceArgument: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="INPUT", help="As --input; - for a pipe.", show_default=False)
]
Target: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="OUTPUT", help="As --output; - for a pipe.", show_default=False)
]
InputDevice: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="DEVICE",
        help="Number or part of the name of a microphone, or - for wav on standard input. "
        "Default: the system's.",
        rich_help_panel=ENDS,
    ),
]
OutputDevice: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="DEVICE",
        help="Number or part of the name of a loudspeaker, or - for standard output. Default: the system's.",
        rich_help_panel=ENDS,
    ),
]
Devices: TypeAlias = Annotated[
    bool, typer.Option("--devices", help="List the devices and exit.", rich_help_panel=ENDS)
]
Rate: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=4000,
        max=384000,
        metavar="HZ",
        help="Sample rate of devices and of --raw. Default: the microphone's own.",
        rich_help_panel=ENDS,
    ),
]
Channels: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, max=32, help="Channels of devices and of --raw. Default: 1.", rich_help_panel=ENDS),
]
Raw: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help="Pipes hold samples without a header: s16, s24, s32 or f32, little-endian.",
        rich_help_panel=ENDS,
    ),
]
Record: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also keep the result in this file.", rich_help_panel=OUTPUT),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing --record.", rich_help_panel=OUTPUT)
]
Block: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0.1,
        max=8.0,
        metavar="SECONDS",
        help="Sound that is cleaned at once; shorter is heard earlier and costs more.",
        rich_help_panel=SOUND,
    ),
]
Level: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=-70.0,
        max=0.0,
        metavar="DBFS",
        help="Level of your speech. Default: measured all the time, over what was heard so far.",
        rich_help_panel=SOUND,
    ),
]


def live(
    source: SourceArgument = None,
    target: Target = None,
    input_device: InputDevice = None,
    output_device: OutputDevice = None,
    devices: Devices = False,
    rate: Rate = None,
    channels: Channels = None,
    raw: Raw = None,
    record: Record = None,
    overwrite: Overwrite = False,
    block: Block = 0.5,
    level: Level = None,
    strength: Strength = 1.0,
    max_reduction: MaxReduction = math.inf,
    model: ModelName = "podcast",
    quality: QualityName = Quality.BALANCED,
    seed: Seed = 0,
    precision: PrecisionOption = PrecisionName.FLOAT32,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Clean speech while it is spoken: from a microphone or a pipe, to a loudspeaker or a pipe.

    The sound comes late, by one block and the second that the model looks ahead; the first line says by how
    much. That is too late for a call; it serves streams and recordings. Ctrl-C ends it, and the rest follows.
    Devices need the extra [live]. Use headphones, since the microphone hears a loudspeaker too.

    Examples: audiodiff live; audiodiff live --record talk.wav; arecord -f cd | audiodiff live - - > clean.wav
    """
    if devices:
        from audiodiff.io.devices import device_table

        typer.echo(device_table())
        return
    origin = _one_of(source, input_device, "input")
    goal = _one_of(target, output_device, "output")
    from audiodiff.interrupts import stop_requests

    with stop_requests(None) as stop, contextlib.ExitStack() as stack:
        found = _source(origin, raw, rate, channels)
        stack.callback(found.close)
        sink = _sink(goal, found.info, raw)
        if origin == PIPE:
            found.start()  # the pipe fills while the model is loaded
        denoiser = _denoiser(model, quality.value, strength, max_reduction, seed, precision.value, threads)
        session = _session(denoiser, found, sink, block, level)
        if record is not None:
            from audiodiff.batch.sidecar import provenance_line
            from audiodiff.cli._live import kept

            line = provenance_line("denoise", denoiser.name, "live")
            session.record = stack.enter_context(kept(record, found.info, overwrite, line)).write
        _check_speed(denoiser, session, block, origin == PIPE, quiet)
        if origin != PIPE:
            found.start()
        _run(session, stop)
    summary = f"audiodiff: {_told(session, record)}"
    if stop.signal_number is not None and stop.reason != "SIGINT":
        raise Stopped(summary, 128 + stop.signal_number)
    if not quiet:
        say(summary)


def _one_of(argument: str | None, option: str | None, name: str) -> str | None:
    """What was given in one of two ways; None for the default device."""
    if argument is not None and option is not None:
        raise ConfigError(f"{argument!r} and --{name} {option!r} name two {name}s; give one")
    return argument if option is None else option


def _source(name: str | None, raw: str | None, rate: int | None, channels: int | None) -> Source:
    from audiodiff.cli._live import MicrophoneSource, PipeSource
    from audiodiff.cli._pipe import check_input
    from audiodiff.io.pcm_stream import BARE, bare_info

    if raw is not None and raw not in BARE:
        raise ConfigError(f"--raw {raw!r} is unknown; use {', '.join(BARE)}")
    if name != PIPE:
        from audiodiff.io.devices import Microphone

        return MicrophoneSource(Microphone(name, rate, channels or 1))
    check_input("name a microphone with --input")
    if raw is None:
        if rate is not None or channels is not None:
            raise ConfigError("the header of a wav tells rate and channels; leave them out, or add --raw")
        return PipeSource(None)
    if rate is None:
        raise ConfigError("samples without a header have no rate; add --rate")
    return PipeSource(bare_info(BARE[raw], rate, channels or 1))


def _sink(name: str | None, info: AudioInfo, raw: str | None) -> PipeSink | Loudspeaker:
    if name != PIPE:
        from audiodiff.io.devices import Loudspeaker

        return Loudspeaker(name, info)
    from audiodiff.cli._live import PipeSink
    from audiodiff.cli._pipe import check_output
    from audiodiff.io.pcm_stream import BARE, as_wav, bare_info

    check_output("name a loudspeaker with --output")
    return PipeSink(as_wav(info) if raw is None else bare_info(BARE[raw], info.sample_rate, info.channels))


def _denoiser(
    model: str,
    quality: str,
    strength: float,
    max_reduction: float,
    seed: int,
    precision: str,
    threads: int | None,
) -> Denoiser:
    from audiodiff.batch.denoise_task import DenoiseSettings

    settings = DenoiseSettings(
        quality=Quality(quality).value,
        strength=strength,
        max_reduction_db=max_reduction,
        seed=seed,
        device="cpu",
        precision=PrecisionName(precision).value,
        threads=threads,
    )
    return settings.load(model).denoiser


def _session(
    denoiser: Denoiser, source: Source, sink: PipeSink | Loudspeaker, block_s: float, level: float | None
) -> Session:
    from audiodiff.cli._live import Session
    from audiodiff.inference.live import gain_for
    from audiodiff.io.devices import Loudspeaker

    info = source.info
    cleaner = denoiser.live(info.sample_rate, info.channels, gain_for(denoiser.model, level), block_s)
    return Session(cleaner, source, sink.write, sink if isinstance(sink, Loudspeaker) else None)


def _check_speed(denoiser: Denoiser, session: Session, block_s: float, piped: bool, quiet: bool) -> None:
    """Refuse a microphone that the machine cannot keep up with; a pipe may have the time."""
    from audiodiff.cli._live import load_of, reserve_of

    load = load_of(denoiser, session.source.info, block_s)
    session.reserve_s = reserve_of(load, block_s)
    line = f"this machine needs {load:.2f} s for a second of sound with --block {block_s:g}"
    if load >= TOO_SLOW and not piped:
        raise ConfigError(f"{line}; use a longer one, fewer --channels, or record and denoise the file")
    if load >= TIGHT:
        say(f"audiodiff: warning: {line}; a longer one is safer")
    if not quiet:
        late = session.live.latency_s + (0 if session.loudspeaker is None else session.reserve_s)
        info = session.source.info
        what = f"{info.sample_rate} Hz, {info.channels} channel{'s' * (info.channels > 1)}"
        say(
            f"audiodiff: {what}; the sound comes {late:.2f} s late ({session.live.latency_s:.2f} s of it for "
            f"block and look-ahead); {load:.2f} s of computing a second; Ctrl-C ends it"
        )


def _run(session: Session, stop: Stop) -> None:
    from audiodiff.cli._live import play_out

    try:
        session.run(stop)
        if session.loudspeaker is not None:
            play_out(session.loudspeaker)
    finally:
        if session.loudspeaker is not None:
            session.loudspeaker.close()


def _told(session: Session, record: Path | None) -> str:
    """What became of it, and whatever was lost."""
    from audiodiff.io.formats import display_path

    rate, source = session.live.sample_rate, session.source
    line = f"{session.n_out / rate:.1f} s cleaned"
    if record is not None and session.n_out:
        line += f", kept in {display_path(record)}"
    if source.intake.lost or source.gaps:
        line += f"; overruns: {source.intake.lost / rate:.2f} s of the input were lost here"
        line += f", {source.gaps} times some in the sound card"
    if session.loudspeaker is not None and session.loudspeaker.missed:
        line += f"; underruns: {session.loudspeaker.missed / rate:.2f} s of silence were played"
    return line
