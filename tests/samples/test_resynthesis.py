"""Promise: pictures of resynthesis show the recording and each vocoder at one length, and tell the pauses."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`samples/resynthesis.py` with its folder on the path."""
    monkeypatch.syspath_prepend(str(SAMPLES))
    yield importlib.import_module("resynthesis")
    for name in ("resynthesis", "spectrograms"):
        sys.modules.pop(name, None)


def test_levels_of_pauses_by_hand(script: ModuleType) -> None:
    speech = np.ones(16000, dtype=np.float32)
    speech[:3200] = 0.01
    buzz = np.full(16000, 0.1, dtype=np.float32)
    assert script.quiet_db([speech, buzz, 0 * buzz], 16000) == pytest.approx([-40, -20, -120], abs=0.01)


def test_a_part_fades_and_is_where_it_was(script: ModuleType) -> None:
    wave = np.arange(16000, dtype=np.float32)
    cut = script.part(wave, 16000, [0.25, 0.75])
    assert (len(cut), cut[0], cut[-1]) == (8000, 0, 0)
    np.testing.assert_array_equal(cut[600:-600], wave[4600:11400])
    assert script.part(wave, 16000, None) is wave


def test_a_picture_for_every_mel(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [SAMPLES / "interview_clean.flac", tmp_path / "new", "--seconds", 1, 1.5, "--mel", "hifigan"]
    monkeypatch.setattr(sys, "argv", ["resynthesis.py", *map(str, words)])
    script.main()
    told = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["blurred_mel.png", "clean_mel.png"]
    assert told.count("inversion, 20 iterations: -") == 2
    monkeypatch.setattr(sys, "argv", ["resynthesis.py", *map(str, words[:2]), "--model", "podcast"])
    with pytest.raises(SystemExit, match="this model denoises"):
        script.main()
