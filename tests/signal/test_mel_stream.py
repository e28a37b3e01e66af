"""Promise: the mel of a recording that comes in blocks is the mel of the whole."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from audiodiff.signal import mel_stream
from audiodiff.signal.mel import PRESETS, mel
from audiodiff.signal.mel_stream import mel_blocks


@pytest.mark.parametrize("name", ["hifigan", "vocos", "wavegrad", "fastdiff"])
@pytest.mark.parametrize("n_samples", [1, 255, 256, 9000, 24_000])
def test_blocks_equal_the_whole(name: str, n_samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mel_stream, "_PIECE", 10)
    spec = PRESETS[name]
    wave = 0.1 * torch.randn(n_samples, generator=torch.Generator().manual_seed(n_samples))
    whole = torch.cat(list(mel_blocks([wave], spec)), dim=1)
    cut = torch.split(wave, [n_samples // 3, 0, n_samples - n_samples // 3])
    parts = torch.cat(list(mel_blocks(cut, spec)), dim=1)
    assert torch.equal(whole, parts)
    assert_close(whole, mel(wave, spec), atol=1e-4, rtol=1e-4)


def test_nothing_gives_nothing() -> None:
    assert list(mel_blocks([], PRESETS["hifigan"])) == []
