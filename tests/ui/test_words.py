"""Promise: the page never tells its user to type an option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra ui is not installed")

from audiodiff.batch.job_options import Options
from audiodiff.batch.preflight import check_length
from audiodiff.errors import AudiodiffError, AudioFileError
from audiodiff.extras import install_hint
from audiodiff.io.output_checks import target_exists
from audiodiff.ui.words import error_text, plain

FOLDER = Path("/home/me/my data/page")
OWN = FOLDER / "0123456789abcdef" / "talk.wav"


def too_long() -> AudiodiffError:
    with pytest.raises(AudiodiffError) as error:
        check_length(OWN, 90_000, Options(max_hours=24))
    return error.value


@pytest.mark.parametrize(
    "error",
    [
        too_long(),
        target_exists(OWN),
        AudioFileError(f"{OWN}: takes no more (full); make room or set TMPDIR", code="no_space"),
    ],
)
def test_no_option_and_no_folder_is_named(error: AudiodiffError) -> None:
    said = error_text(error, FOLDER)
    assert said.startswith("talk.wav: ")
    assert not re.search(r"(^|\s)--?[a-z]|TMPDIR", said)


def test_what_the_page_can_do_is_said() -> None:
    assert len(error_text(too_long(), FOLDER).split("; ")) == 2


def test_how_to_install_what_is_missing_is_said_in_full() -> None:
    line = f"m4a files need PyAV; {install_hint('media')}"
    assert error_text(AudioFileError(line, code="missing_extra"), FOLDER).startswith(line)


def test_other_lines_stay() -> None:
    line = "/elsewhere/talk.wav: is cut short; 3 s are missing"
    assert plain(line, FOLDER) == line
