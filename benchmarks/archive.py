"""Make a folder of real mixed recordings, some of them broken, as an archive that grew over the years.

    python benchmarks/archive.py TARGET [--speech FOLDER] [--files 200] [--broken 10] [--longest 300]

Speech comes from samples/, or from the wav and flac files of a folder. Containers, depths, rates, channels,
lengths and noise change from file to file; the same arguments give the same sounds. TARGET/archive.json says
what each is, and which are broken in which way.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from audiodiff.signal.resample import resample

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SEED = 20261124
RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
LIMITS = {"MPEG_LAYER_III": (48000, 2), "VORBIS": (96000, 6), "OPUS": (48000, 6), "FLAC": (96000, 6)}
LIMITS["ALAC_16"] = (96000, 1)  # libsndfile 1.2.2 overruns its heap with more, see audiodiff.io.formats
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)

KINDS = (
    # suffix, libsndfile's container, sample format
    ("wav", "WAV", "PCM_16"),
    ("wav", "WAV", "PCM_24"),
    ("wav", "WAVEX", "FLOAT"),
    ("wav", "WAV", "PCM_U8"),
    ("wav", "WAV", "ULAW"),
    ("flac", "FLAC", "PCM_16"),
    ("flac", "FLAC", "PCM_24"),
    ("ogg", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
    ("aiff", "AIFF", "PCM_16"),
    ("aif", "AIFF", "PCM_24"),
    ("caf", "CAF", "ALAC_16"),
    ("caf", "CAF", "PCM_24"),
    ("w64", "W64", "PCM_16"),
    ("rf64", "RF64", "PCM_24"),
    ("au", "AU", "PCM_16"),
)
FOLDERS = ("", "2019", "2020/spring", "2020/autumn", "Gäste", "old tapes/side A", "old tapes/side B")

Wave = NDArray[np.float64]


def speech_of(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".wav", ".flac"})
    if not paths:
        raise SystemExit(f"{folder}: no wav or flac file in it; give another folder with --speech")
    return paths


def recording(paths: list[Path], seconds: float, rate: int, channels: int, rng: np.random.Generator) -> Wave:
    """[n, channels]: speech end to end, at another place and level in every channel, under noise."""
    n = max(1, round(seconds * rate))
    parts: list[NDArray[np.float32]] = []
    have = 0
    at = int(rng.integers(len(paths)))
    while have < n:
        x, source_rate = soundfile.read(paths[at % len(paths)], dtype="float32", always_2d=True)
        mono = x.mean(axis=1)[None]
        offset = int(rng.integers(max(1, mono.shape[1] // 2)))
        parts.append(resample(mono[:, offset:], source_rate, rate)[0])
        have += len(parts[-1])
        at += 1
    voice = np.concatenate(parts)[:n].astype(np.float64)
    level = 10 ** (rng.uniform(-30, -6) / 20) / max(1e-3, float(np.abs(voice).max()))
    pan = rng.uniform(0.4, 1.0, channels)
    noise = 10 ** (rng.uniform(-60, -35) / 20) * rng.standard_normal((n, channels))
    return np.clip(level * voice[:, None] * pan + noise, -1, 1)


def describe(number: int, longest: float) -> dict[str, object]:
    """What the file of a number is; every kind, rate and count of channels comes round."""
    rng = np.random.default_rng([SEED, number])
    suffix, container, subtype = KINDS[number % len(KINDS)]
    most_rate, most_channels = LIMITS.get(subtype, LIMITS.get(container, (96000, 6)))
    rates = OPUS_RATES if subtype == "OPUS" else tuple(rate for rate in RATES if rate <= most_rate)
    channels = (1, 2, 1, 2, 1, 6, 2, 3)[number % 8]
    return {
        "name": str(Path(FOLDERS[number % len(FOLDERS)]) / f"take {number:03d}.{suffix}"),
        "container": container,
        "subtype": subtype,
        "rate": rates[(number // len(KINDS) + number) % len(rates)],
        "channels": min(channels, most_channels),
        # from a tenth of a second to the longest, most of them short
        "seconds": round(0.1 * (longest / 0.1) ** float(rng.random()), 3),
    }


def write(target: Path, facts: dict[str, object], paths: list[Path], number: int) -> None:
    rng = np.random.default_rng([SEED, number, 1])
    rate, channels = int(str(facts["rate"])), int(str(facts["channels"]))
    x = recording(paths, float(str(facts["seconds"])), rate, channels, rng)
    target.parent.mkdir(parents=True, exist_ok=True)
    block = 1 << 16
    with soundfile.SoundFile(
        target, "w", rate, channels, str(facts["subtype"]), format=str(facts["container"])
    ) as file:
        for start in range(0, len(x), block):  # libsndfile overflows its stack on long Vorbis writes
            file.write(x[start : start + block])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("This was renamed by mistake.\n" * 40)


def _header_only(path: Path) -> None:
    soundfile.write(path, np.zeros((0, 1)), 16000, "PCM_16", format="WAV")


def _twenty_bytes(path: Path) -> None:
    path.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00")


def _nan(path: Path) -> None:
    x = 0.1 * np.random.default_rng(SEED).standard_normal(16000)
    x[12345] = np.nan
    soundfile.write(path, x, 16000, "FLOAT", format="WAV")


def _infinite(path: Path) -> None:
    x = 0.1 * np.random.default_rng(SEED).standard_normal(16000)
    x[123] = np.inf
    soundfile.write(path, x, 16000, "FLOAT", format="WAV")


def _noise_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(SEED).bytes(20_000))


def _many_channels(path: Path) -> None:
    soundfile.write(path, np.zeros((100, 64)), 16000, "PCM_16", format="WAV")


def _low_rate(path: Path) -> None:
    soundfile.write(path, np.zeros((1000, 1)), 2000, "PCM_16", format="WAV")


def _dangling(path: Path) -> None:
    path.symlink_to("moved-away.wav")


BROKEN: dict[str, tuple[str, Callable[[Path], None]]] = {
    "0 bytes": ("empty", _empty),
    "text": ("unreadable", _text),
    "header without samples": ("empty", _header_only),
    "20 bytes of a header": ("unreadable", _twenty_bytes),
    "not a number": ("nonfinite", _nan),
    "infinite": ("nonfinite", _infinite),
    "random bytes": ("unreadable", _noise_bytes),
    "64 channels": ("unsupported", _many_channels),
    "2000 Hz": ("unsupported", _low_rate),
    "dangling link": ("unreadable", _dangling),
}


def make(target: Path, speech: Path, n_files: int, n_broken: int, longest: float) -> dict[str, object]:
    """Make the archive and return what is in it; a folder of that name is replaced only if it is one."""
    if target.exists():
        if any(target.iterdir()) and not (target / "archive.json").is_file():
            raise SystemExit(f"{target}: holds something else; choose another folder")
        shutil.rmtree(target)
    target.mkdir(parents=True)
    paths = speech_of(speech)
    good, broken = [], []
    for number in range(n_files - n_broken):
        facts = describe(number, longest)
        write(target / str(facts["name"]), facts, paths, number)
        good.append(facts)
    for number, (way, (code, spoil)) in enumerate(list(BROKEN.items())[:n_broken]):
        path = target / FOLDERS[number % len(FOLDERS)] / f"broken {number:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        spoil(path)
        broken.append({"name": str(path.relative_to(target)), "way": way, "code": code})
    content: dict[str, object] = {"good": good, "broken": broken}
    (target / "archive.json").write_text(json.dumps(content, indent=1) + "\n")
    return content


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path)
    parser.add_argument("--speech", type=Path, default=SAMPLES)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--broken", type=int, default=10, help=f"at most {len(BROKEN)}")
    parser.add_argument("--longest", type=float, default=300.0, help="seconds")
    args = parser.parse_args()
    content = make(args.target, args.speech, args.files, min(args.broken, len(BROKEN)), args.longest)
    good = content["good"]
    assert isinstance(good, list)
    total = math.fsum(facts["seconds"] for facts in good)
    print(f"{args.target}: {args.files} files, {args.broken} of them broken, {total:.1f} s of audio")


if __name__ == "__main__":
    main()
