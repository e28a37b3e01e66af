"""The wording of what the command line refuses, all in one table: `refusals.txt`, which `record` writes anew.

Other tests ask for codes and values alone, so that a line can be put better in one place.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import soundfile

from tests.errors import refusal

TABLE = Path(__file__).with_name("refusals.txt")
COMMANDS = """
denoise
denoise none.wav
denoise empty.wav
denoise text.wav
denoise channels.wav
denoise cut.wav --strict
denoise talk.wav -o talk.wav --overwrite
denoise talk.wav -o there.wav
denoise talk.wav -o there.wav/b.wav
denoise talk.wav -o b.xyz
denoise talk.wav -o b.mp3 --format wav
denoise talk.wav --max-hours 0
denoise talk.wav --model podcats
denoise talk.wav --model shows
denoise talk.wav --device tpu
denoise talk.wav --start soon
denoise talk.wav --start 2 --end 1
denoise talk.wav --start 90
denoise talk.wav --preview --end 3
denoise talk.wav --bitrate high
denoise talk.wav --bitrate 192k --format flac
denoise talk.wav --true-peak -2
denoise talk.wav --residual --lufs -16
denoise talk.wav --overwrite --skip-existing
denoise talk.wav --report page.txt
denoise talk.wav --report there.html
denoise talk.wav --report-seeds 3
denoise talk.wav --shard 3/2
denoise talk.wav --engine ray
denoise talk.wav --address here:1
denoise - -o - --report page.html
denoise shows
denoise shows/none
denoise talk.wav text.wav -o -
denoise talk.wav text.wav -o there.wav
vocode square.npy --mel hifigan
vocode bands.npy --mel hifigan
vocode bands.npy --mel hifigen
vocode nan.npy --mel hifigan
vocode talk.wav --model podcast
vocode cut.wav --model inversion --quality fast --mel vocos --strict
mel compute talk.wav --mel hifigen
mel compute talk.wav text.wav --mel hifigan -o none
mel convert bands.npy --to vocos --mel hifigan
info none.wav
models list none
models info podcats
evaluate
evaluate talk.wav none.wav
evaluate talk.wav there.wav there.wav
evaluate talk.wav there.wav --transcripts shows
evaluate talk.wav there.wav --csv there.html
evaluate talk.wav there.wav --csv new --markdown ./new
train none.toml
train broken.toml
train unknown.toml
prepare store
prepare store --noisy shows
prepare store --leave-out ann
prepare store --speech none
prepare store --speech shows
mix shows -o set
pairs none pairs
schedule podcast --data shows
schedule podcast --data shows --save shows
export podcats out
convert text.wav out
denois
""".strip().splitlines()


def make_files() -> None:
    """The files that the commands name, in this folder."""
    rng = np.random.default_rng(0)
    voice = 0.1 * rng.standard_normal(8000)
    soundfile.write("talk.wav", voice, 16000)
    soundfile.write("there.wav", voice[:4000], 16000)
    soundfile.write("channels.wav", np.zeros((9, 64)), 16000)
    Path("cut.wav").write_bytes(Path("talk.wav").read_bytes()[:9000])
    Path("empty.wav").touch()
    for name in ("text.wav", "there.html"):
        Path(name).write_text("these are words " * 40, encoding="utf-8")
    Path("shows").mkdir()
    mel = -4 + rng.standard_normal((80, 60)).astype(np.float32)
    np.save("square.npy", mel[:, :40].repeat(2, axis=1))
    np.save("bands.npy", mel[:79])
    np.save("nan.npy", np.where(mel > -3, mel, np.float32("nan")))
    Path("broken.toml").write_text("[model\n", encoding="utf-8")
    Path("unknown.toml").write_text("[modle]\nsample_rate = 16000\n", encoding="utf-8")


def lines(folder: Path) -> list[str]:
    """Each command with its exit code, its code and its line, as run in a new folder."""
    with contextlib.chdir(folder):
        make_files()
        found = [(command, *refusal(*command.split())) for command in COMMANDS]
    return [f"{command}\n    {status} {code}: {line}" for command, status, code, line in found]


def table(folder: Path) -> str:
    """The text of the table."""
    return "\n".join(lines(folder)).replace(os.fspath(folder), "FOLDER") + "\n"
