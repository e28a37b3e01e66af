"""Promise: in a real Audacity the cleaned selection lies where it was, to the sample; its track stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff import Denoiser
from audiodiff.inference.engine import Samples
from examples import audacity_denoise
from examples.audacity_denoise import Audacity, AudacityError, pipe_paths, quoted

RATE = 44100
pytestmark = pytest.mark.slow

Recording = Callable[..., Samples]
Process = subprocess.Popen[bytes]

SETTINGS = """\
PrefsVersion=1.1.1r1
[GUI]
ShowSplashScreen=0
[Module]
mod-script-pipe=1
[ModulePath]
mod-script-pipe={module}
[ModuleDateTime]
mod-script-pipe={changed}
[Update]
DefaultUpdatesChecking=0
UpdateNoticeShown=1
[Directories]
TempDir={temporary}
[SamplingRate]
DefaultProjectSampleRate=44100
[Quality]
HQDitherAlgorithmChoice=None
"""


def _module() -> Path | None:
    folders = (Path("/usr/lib/audacity/modules"), Path("/usr/lib64/audacity/modules"))
    found = (folder / "mod-script-pipe.so" for folder in folders)
    return next((path for path in found if path.is_file()), None)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A screen that nobody sees."""
    if sys.platform != "linux" or shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb on Linux")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read, encoding="ascii") as told:
        number = told.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def program(display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """An Audacity that listens, with a home of its own."""
    module = _module()
    if shutil.which("audacity") is None or module is None:
        pytest.skip("needs Audacity with mod-script-pipe")
    if _listens():
        pytest.skip("an Audacity is at work here, and the name of its pipe leaves room for one only")
    home = tmp_path_factory.mktemp("home")
    (home / "temporary").mkdir()
    settings = home / ".audacity-data" / "audacity.cfg"
    settings.parent.mkdir()
    # any other time than the file's own makes it a new module, which is asked about
    changed = datetime.fromtimestamp(int(module.stat().st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    settings.write_text(SETTINGS.format(module=module, changed=changed, temporary=home / "temporary"))
    environment = {**os.environ, "HOME": str(home), "DISPLAY": display, "TZ": "UTC"}
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "WAYLAND_DISPLAY"):
        environment.pop(name, None)
    process = _started(environment, home / ".audacity-data" / "pluginregistry.cfg")
    yield process
    _ended(process)


def _started(environment: dict[str, str], registry: Path) -> Process:
    # The first start looks for plug-ins, after which its pipe is dead; the next one finds the registry.
    for _ in range(3):
        _forget_pipes()
        process = subprocess.Popen(["audacity"], env=environment, stderr=subprocess.DEVNULL)
        known = registry.exists()
        for _ in range(100):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
                pytest.skip("Audacity does not start here")
            if known and Path(pipe_paths()[0]).exists():
                # what comes before the window is ready is swallowed
                with contextlib.suppress(AudacityError):
                    asked(process, "GetInfo: Type=Tracks", timeout_s=3.0)
                    return process
            if registry.exists() and not known:
                break
        _ended(process)
    pytest.skip("Audacity opens no pipe here")


def _listens() -> bool:
    try:
        os.close(os.open(pipe_paths()[0], os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _ended(process: Process) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _forget_pipes()


def _forget_pipes() -> None:
    for path in pipe_paths():
        Path(path).unlink(missing_ok=True)


@contextlib.contextmanager
def visit(process: Process) -> Iterator[None]:
    """Wait after it until Audacity has replaced its pipes, as it does when somebody leaves."""
    path = Path(pipe_paths()[0])
    # the handle keeps the number of the old pipe from being given to the new one
    held = os.open(path, os.O_PATH)
    try:
        yield
        for _ in range(100):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino != os.fstat(held).st_ino:
                    break
            _pause(process)
    finally:
        os.close(held)
    _pause(process)


def _pause(process: Process) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.1)
        pytest.fail("Audacity has ended")


def asked(process: Process, *commands: str, timeout_s: float = 60.0) -> None:
    with visit(process), Audacity(*pipe_paths(), timeout_s) as audacity:
        for command in commands:
            audacity.do(command)


def example(process: Process, *options: str) -> int:
    with visit(process):
        return audacity_denoise.main(list(options))


def exported(process: Process, number: int, channels: int, path: Path) -> Samples:
    """All of one track, [T, C]."""
    asked(
        process,
        f"SelectTracks: Track={number} TrackCount=1 Mode=Set",
        "SelectTime: Start=0 End=3 RelativeTo=ProjectStart",
        f"Export2: Filename={quoted(str(path))} NumChannels={channels}",
    )
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == RATE
    return np.asarray(samples)


@pytest.mark.parametrize(
    ("channels", "start_s", "strength"), [(1, 0.7000125, 0.0), (2, 1.0, 1.0), (1, 1.23456789, 0.5)]
)
def test_the_round_trip(
    channels: int,
    start_s: float,
    strength: float,
    program: Process,
    toy_folder: Path,
    tmp_path: Path,
    recording: Recording,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "My voice.wav"
    soundfile.write(path, recording(3.0, RATE, channels).T, RATE, "PCM_16")
    before, _ = soundfile.read(path, dtype="float32", always_2d=True)
    asked(
        program,
        "SelectAll:",
        "RemoveTracks:",
        f"Import2: Filename={quoted(str(path))}",
        f"SelectTime: Start={start_s} End={start_s + 1.5} RelativeTo=ProjectStart",
    )
    assert example(program, "--model", str(toy_folder), "--strength", str(strength)) == 0
    assert "'My voice (denoised)'" in capsys.readouterr().out

    np.testing.assert_array_equal(exported(program, 0, channels, tmp_path / "old.wav"), before)
    new = exported(program, 1, channels, tmp_path / "new.wav")
    first, last = round(start_s * RATE), round((start_s + 1.5) * RATE)
    wanted = np.zeros_like(before)
    wanted[first:last] = Denoiser(toy_folder, strength=strength).denoise(before[first:last], RATE)
    # Audacity writes 16 bits
    np.testing.assert_allclose(new, wanted[: len(new)], atol=1.01 / 32768)
    assert not wanted[len(new) :].any()


def test_no_selection(program: Process, toy_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(program, "SelectAll:", "RemoveTracks:", "NewMonoTrack:", "SelectNone:")
    assert example(program, "--model", str(toy_folder)) == 1
    assert "nothing is selected" in capsys.readouterr().err
