"""Promise: whatever is done to a recording's bytes, reading gives samples or our error.

``AUDIODIFF_MUTATIONS=200`` sets the number of seeds for each container; the default takes seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff.io.av_library import available
from audiodiff.io.reader import probe, read_blocks
from tests import mutation

pytestmark = pytest.mark.slow

SEEDS = int(os.environ.get("AUDIODIFF_MUTATIONS", "12"))
SUBTYPES = {
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "aiff": ("AIFF", "PCM_24"),
    "caf": ("CAF", None),
}


def write(path: Path) -> None:
    """Half a second of two tones in the container of the suffix, with two texts where it can."""
    container = path.suffix[1:]
    time = np.arange(24000) / 48000
    x = 0.3 * np.stack([np.sin(2 * np.pi * 220 * time), np.sin(2 * np.pi * 330 * time)])
    if container == "m4a":
        import av

        with av.open(str(path), "w", format="ipod") as out:
            out.metadata["title"] = "A title"
            stream = out.add_stream("aac", rate=48000, layout="stereo")
            frame = av.AudioFrame.from_ndarray(x.astype(np.float32), "fltp", "stereo")
            frame.sample_rate = 48000
            out.mux(stream.encode(frame))
            out.mux(stream.encode())
        return
    kind, subtype = SUBTYPES.get(container, (container.upper(), None))
    with soundfile.SoundFile(path, "w", 48000, 2, subtype, format=kind) as file:
        file.title, file.comment = "A title", "A comment"
        file.write(x.T)


@pytest.mark.timeout(60 + 2 * SEEDS)
@pytest.mark.parametrize("container", mutation.CONTAINERS)
def test_damaged_files_give_samples_or_our_error(container: str, tmp_path: Path) -> None:
    if container == "m4a" and not available():
        pytest.skip("PyAV is not installed (pip install av)")
    write(tmp_path / f"whole.{container}")
    words = [sys.executable, "-m", "tests.mutation", container, "0", str(SEEDS), str(tmp_path)]
    root = Path(__file__).parents[1]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=root, errors="replace")
    lines = done.stdout.splitlines()
    assert lines[-1:] == ["end"], (
        f"seed {lines[-1:]} ended with code {done.returncode}: {done.stderr[-2000:]}"
    )
    assert "Traceback" not in done.stderr  # libmpg123 tells there how it finds its way
    outcomes = Counter(line.split()[1] for line in lines[:-1])
    assert outcomes.total() == SEEDS
    assert len(outcomes) > 1, outcomes  # some are damaged beyond reading, some are not


def test_a_small_file_of_endless_silence_is_read_in_flat_memory(tmp_path: Path) -> None:
    """A decompression bomb: 35 kB of FLAC that hold an hour; what reads it decides when to stop."""
    path = tmp_path / "bomb.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(np.zeros(60 * 8000, dtype=np.int16))
    assert path.stat().st_size < 150_000
    assert probe(path).seconds == 3600
    with read_blocks(path) as reader:
        assert next(reader).shape == (1, 1 << 16)


def test_no_reader_trusts_an_announced_length_with_memory(tmp_path: Path) -> None:
    """A header that announces 2^36 samples, which is the most that FLAC can, costs nothing."""
    path = tmp_path / "x.flac"
    soundfile.write(path, np.zeros(1000), 8000)
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    with read_blocks(path) as reader:
        assert reader.info.n_samples == 0  # more than its bytes can hold: as if it were not said
        assert next(reader).shape == (1, 1000)
