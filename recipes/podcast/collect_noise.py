"""Collect the noise recordings that the model card credits to public repositories and Debian packages.

    python collect_noise.py noise_more --mirror snapshots
    audiodiff prepare ... --library noise_more/noises.json

`noises.tsv` beside this script has one recording a line: its name, where it comes from, which files of it
(`|` between patterns), what sounds, which split it serves, licence and author. A repository is read from
a bare git snapshot, SNAPSHOTS/OWNER+NAME/repo or .../repo/.git, at its HEAD; a package is had by apt-get.
Whatever is missing or cannot be read is named and left out. Each recording becomes NAME.flac, mono,
48 kHz, 16 bit; noises.json is the list that `audiodiff prepare --library` reads.

Short takes, such as the keys of a keyboard, are strung together with pauses; since a denoiser's training
plays too short a noise backwards too, they are strung together anew in other orders up to 20 s.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE = 48000
LEVEL_DB, PEAK, FLOOR_DB = -26.0, 0.89, -90.0
LONGEST_S, STRUNG_S, GAP_S = 90.0, 20.0, (0.1, 0.3)

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """One recording to make: a line of the table, in its columns' order."""

    name: str
    origin: str
    patterns: str
    category: str
    split: str
    licence: str
    author: str

    def picks(self, path: str) -> bool:
        """Whether a file belongs to it; as in fnmatch a `*` runs over slashes too."""
        return any(fnmatchcase(path, pattern) for pattern in self.patterns.split("|"))


def output(*command: str, cwd: Path | None = None) -> bytes:
    """What a command prints; CalledProcessError if it fails."""
    # A partial clone would otherwise try to fetch what it lacks.
    environment = {**os.environ, "GIT_NO_LAZY_FETCH": "1"}
    return subprocess.run(command, capture_output=True, check=True, cwd=cwd, env=environment).stdout


class Snapshot:
    """A bare git repository at its HEAD; the largest files may be listed and yet absent."""

    def __init__(self, origin: str, mirror: Path) -> None:
        name, _, commit = origin.partition(" @")
        folder = mirror / name.replace("/", "+") / "repo"
        folder = folder / ".git" if (folder / ".git").is_dir() else folder
        if not folder.is_dir():
            raise FileNotFoundError(f"no snapshot {folder}")
        self.git = ("git", "-C", str(folder))
        head = output(*self.git, "rev-parse", "HEAD").decode().strip()
        if not head.startswith(commit):
            print(f"{name}: the snapshot is at {head[:12]}, not at {commit}")
        self.label = f"GitHub {name} @{head[:12]}"
        self.paths = output(*self.git, "ls-tree", "-r", "-z", "--name-only", "HEAD").decode().split("\0")

    def read(self, path: str) -> bytes:
        """Bytes of a file; CalledProcessError where the snapshot lacks it."""
        return output(*self.git, "cat-file", "blob", f"HEAD:{path}")


class Package:
    """A Debian package, downloaded and unpacked into a folder of its own."""

    def __init__(self, origin: str, folder: Path) -> None:
        name = origin.split()[1]
        output("apt-get", "download", name, cwd=folder)
        archive = str(next(folder.glob(f"{name}_*.deb")))
        self.root = folder / name
        output("dpkg-deb", "-x", archive, str(self.root))
        self.label = f"Debian {name} {output('dpkg-deb', '-f', archive, 'Version').decode().strip()}"
        self.paths = [str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file()]

    def read(self, path: str) -> bytes:
        """Bytes of a file."""
        return (self.root / path).read_bytes()


def decode(data: bytes) -> tuple[Audio, int]:
    """Mono samples and their rate, by libsndfile, or by FFmpeg what that cannot read."""
    try:
        audio, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        return audio.mean(axis=1), rate
    except soundfile.LibsndfileError:
        pass
    with av.open(io.BytesIO(data)) as container:
        if not container.streams.audio:
            raise ValueError("no sound in it")
        rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="fltp", rate=rate)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).mean(axis=0), rate


def block_levels(audio: Audio, seconds: float) -> Audio:
    """RMS of each whole block, dB."""
    size = round(seconds * RATE)
    blocks = audio[: audio.size // size * size].reshape(-1, size)
    return 10 * np.log10(np.mean(np.square(blocks, dtype=np.float64), axis=1) + 1e-20)


def active_level(audio: Audio) -> float:
    """Level of what sounds, dB: of the 20 ms blocks at most 20 dB below the loudest.

    A level over everything would be that of the pauses in between, and blow up sparse clicks.
    """
    levels = block_levels(audio, 0.02)
    return float(10 * np.log10(np.mean(10 ** (levels[levels > levels.max() - 20] / 10))))


def levelled(audio: Audio) -> Audio:
    """Active level LEVEL_DB, or as near as the peak allows."""
    gain = 10 ** ((LEVEL_DB - active_level(audio)) / 20)
    return audio * min(gain, PEAK / float(np.abs(audio).max()))


def take(data: bytes) -> tuple[Audio, int] | None:
    """One file at the working rate and level, silent ends cut off, with its own rate; None if silent."""
    audio, rate = decode(data)
    audio = soxr.resample(audio.astype(np.float32), rate, RATE, quality="VHQ")
    audio = np.pad(audio - audio.mean(), (0, max(0, RATE // 20 - audio.size)))
    if active_level(audio) < -75:
        return None
    size = RATE // 100
    loud = np.flatnonzero(block_levels(audio, 0.01) > active_level(audio) - 45)
    audio = audio[max(0, loud[0] - 2) * size : (loud[-1] + 3) * size].copy()
    fade = np.linspace(0, 1, RATE // 200, dtype=np.float32)
    audio[: fade.size] *= fade
    audio[-fade.size :] *= fade[::-1]
    return levelled(audio), rate


def strung(takes: list[Audio], name: str) -> Audio:
    """The takes one after the other with pauses; drawn by the name, so that a second run gives the same."""
    if len(takes) == 1:
        return takes[0][: round(LONGEST_S * RATE)]
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    parts: list[Audio] = []
    size, order = 0, list(range(len(takes)))
    while size < (LONGEST_S if order else STRUNG_S) * RATE:
        order = order or rng.permutation(len(takes)).tolist()
        pause = np.zeros(round(rng.uniform(*GAP_S) * RATE), dtype=np.float32)
        parts += [takes[order.pop(0)], pause]
        size += parts[-2].size + pause.size
    return np.concatenate(parts[:-1])[: round(LONGEST_S * RATE)]


def bandwidth(audio: Audio, source_rate: int) -> int:
    """The highest frequency at which the loudest hundredth of the spectra is above FLOOR_DB, Hz."""
    size = 2048
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, (0, size)), size)[:: size // 2]
    # Scaled so that a full-scale sine reads 0 dB.
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) / (size / 4)
    level = 20 * np.log10(np.percentile(power, 99, axis=0) + 1e-12)
    highest = int(np.flatnonzero(level > FLOOR_DB)[-1]) if (level > FLOOR_DB).any() else 1
    return max(1, min(highest * RATE // size, source_rate // 2))


def collect(row: Row, origin: Snapshot | Package, folder: Path) -> dict[str, object] | None:
    """Make one recording and its entry of the list; None, with the reason printed, if nothing is there."""
    takes: list[Audio] = []
    rates, used = [], []
    for path in sorted(path for path in origin.paths if row.picks(path)):
        if sum(t.size for t in takes) >= LONGEST_S * RATE:
            break
        try:
            found = take(origin.read(path))
        except (OSError, ValueError, subprocess.CalledProcessError, av.FFmpegError) as error:
            print(f"{row.name}: {path}: missing or not readable ({type(error).__name__})")
            continue
        if found is not None:
            takes.append(found[0])
            rates.append(found[1])
            used.append(path)
    if not takes:
        print(f"{row.name}: left out, nothing to read")
        return None
    audio = levelled(strung(takes, row.name))
    file = folder / f"{row.name}.flac"
    soundfile.write(file, audio, RATE, subtype="PCM_16")
    return {
        "file": file.name,
        "seconds": round(audio.size / RATE, 2),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "kind": "noise",
        "split": row.split,
        "class": row.category,
        "licence": row.licence,
        "author": row.author,
        "source": origin.label,
        "path": "|".join(used),
        "source_rate": max(rates),
        "bandwidth_hz": bandwidth(audio, max(rates)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the recordings and their list")
    parser.add_argument("--mirror", type=Path, required=True, help="folder of the git snapshots")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with Path(__file__).with_name("noises.tsv").open(encoding="utf-8", newline="") as table:
        rows = [Row(*line) for line in list(csv.reader(table, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]]
    entries: list[dict[str, object]] = []
    for name in dict.fromkeys(row.origin for row in rows):
        with tempfile.TemporaryDirectory() as folder:
            try:
                package = name.startswith("Debian ")
                origin = Package(name, Path(folder)) if package else Snapshot(name, args.mirror)
            except (OSError, subprocess.CalledProcessError, StopIteration) as error:
                print(f"{name}: left out with all its recordings ({error})")
                continue
            made = [collect(row, origin, args.out) for row in rows if row.origin == name]
        entries += [entry for entry in made if entry is not None]
        # After every origin, so that what is there can be used even if the rest is cut off.
        text = json.dumps(entries, indent=0, ensure_ascii=False) + "\n"
        (args.out / "noises.json").write_text(text, encoding="utf-8")
    print(f"{len(entries)} of {len(rows)} recordings")


if __name__ == "__main__":
    main()
