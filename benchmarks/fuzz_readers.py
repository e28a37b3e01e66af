"""Coverage-guided fuzzing of everything that audiodiff reads, with atheris (`pip install atheris`).

    python benchmarks/fuzz_readers.py [--seconds 600] [--work DIR] [TARGET...]

Each target runs in a process of its own for its share of the time, from small seeds that are made here. The
only good outcomes of an input are a result and an AudiodiffError; what else happens (another exception, a
crash of the process, more than 20 s or 4 GB) is printed with its place and kept in WORK/TARGET/crashes. Exit
code 1 if there was any. The addresses of a process are limited too, so that a file that asks for too much
memory is noticed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import atheris

with atheris.instrument_imports(include=["audiodiff", "pickletools"]):
    import audiodiff
    from audiodiff import networks
    from audiodiff.batch import journal, naming, sidecar
    from audiodiff.cli.info import look
    from audiodiff.errors import AudiodiffError
    from audiodiff.io import mel_file, tag_copy
    from audiodiff.io.formats import AudioInfo
    from audiodiff.io.reader import probe
    from audiodiff.model import import_diffwave
    from audiodiff.model.config import CompressionSettings, ModelConfig, Presets, SamplerPreset, StftSettings
    from audiodiff.model.folder import load, save
    from audiodiff.signal.mel_presets import PRESETS

import numpy as np
import soundfile
import torch

Target = Callable[[Path, bytes], None]

MAX_INPUT = 8192
SECONDS_AN_INPUT = 20
ADDRESS_SPACE = 12 << 30
"""Torch and ffmpeg reserve some 6 GB of addresses without using them."""

CONTAINERS = {b"RIFF": "WAV", b"RF64": "RF64", b"FORM": "AIFF", b"fLaC": "FLAC", b"OggS": "OGG"}
SOUND = {"WAV": "PCM_16", "RF64": "PCM_16", "AIFF": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": None}
MEL_SUFFIXES = (".npy", ".npz", ".safetensors")


def audio(folder: Path, data: bytes) -> None:
    """Header, samples and tags, as `audiodiff info` reads them."""
    path = folder / "input.wav"
    path.write_bytes(data)
    probe(path)
    look(path)


def tags(folder: Path, data: bytes) -> None:
    """Tags and chunks collected from one file, and put into another of the same kind and of another one."""
    path = folder / "input.wav"
    path.write_bytes(data)
    container = CONTAINERS.get(data[:4], "MP3")
    header = AudioInfo(path, 16000, 1, 100, container, "PCM_16")
    for other in {container, "FLAC", "WAV"}:
        packed = tag_copy.collect_tags(header, other, "processed", len(data) % 2 == 0)
        finished = folder / f"finished.{other}"
        finished.write_bytes(SOUNDS[other])
        fd = os.open(finished, os.O_RDWR)
        try:
            packed.write_to(finished, fd)
        finally:
            os.close(fd)
        with soundfile.SoundFile(finished) as file:
            assert file.frames == FRAMES[other], "tags changed the samples"


def mel(folder: Path, data: bytes) -> None:
    """Mel files; the first byte decides the suffix."""
    path = folder / f"mel{MEL_SUFFIXES[data[0] % 3] if data else '.npy'}"
    path.write_bytes(data[1:])
    mel_file.read_mel(path)


def model(folder: Path, data: bytes) -> None:
    """Model folders whose hashes are right; the first byte decides which file is the input."""
    place = folder / "model"
    place.mkdir(exist_ok=True)
    files = dict(MODEL)
    files["weights.safetensors" if data and data[0] % 4 == 0 else "config.json"] = data[1:]
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name, content in {**files, "hashes.json": json.dumps(hashes).encode()}.items():
        (place / name).write_bytes(content)
    load(place)


def record(folder: Path, data: bytes) -> None:
    """Records of what has been done, and sidecars."""
    target = folder / "done.wav"
    target.write_bytes(b"some bytes")
    place = folder / journal.FOLDER / journal.JOURNAL
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(data)
    found = journal.Record((target,), "key")
    found.standing(target)
    _ = found.seconds
    found.begin(target, {})
    naming.sidecar_path(target).write_bytes(data)
    sidecar.read_sidecar(target)


def checkpoint(folder: Path, data: bytes) -> None:
    """Checkpoints: an even first byte makes the rest the program of a whole archive."""
    path = folder / "checkpoint.pt"
    if data and data[0] % 2 == 0:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", data[1:])
            for number in range(3):
                archive.writestr(f"x/data/{number}", bytes(64))
    else:
        path.write_bytes(data[1:])
    import_diffwave.convert(path, folder / "converted", "CC0-1.0")


TARGETS: dict[str, Target] = {
    "audio": audio,
    "tags": tags,
    "mel": mel,
    "model": model,
    "record": record,
    "checkpoint": checkpoint,
}


def sounds() -> dict[str, bytes]:
    """A tenth of a second in each container, with a few texts where it holds some."""
    x = 0.3 * np.sin(np.arange(1600) / 7)
    made = {}
    for container, subtype in SOUND.items():
        file = io.BytesIO()
        with soundfile.SoundFile(file, "w", 16000, 1, subtype, format=container) as sound:
            sound.title, sound.comment = "A title", "A comment"
            sound.write(x)
        made[container] = file.getvalue()
    return made


SOUNDS = sounds()
FRAMES = {name: soundfile.info(io.BytesIO(data)).frames for name, data in SOUNDS.items()}


def model_files() -> dict[str, bytes]:
    """The three hashed files of a tiny model."""
    network = networks.complete(
        {
            "kind": "spectral",
            "n_bins": 65,
            "low_bins": 32,
            "high_pool": 8,
            "channels": [2, 2, 4],
            "squeeze": 2,
            "width": 4,
            "layers": 1,
            "head": 2,
            "detail": 2,
        }
    )
    net = networks.build(network)
    preset = SamplerPreset(steps=1)
    config = ModelConfig(
        sample_rate=16000,
        level_db=-25.0,
        stft=StftSettings(n_fft=128, hop=64),
        compression=CompressionSettings(exponent=0.5, scale=0.33),
        process={"kind": "brownian", "rho": 0.3},
        network=network,
        presets=Presets(fast=preset, balanced=preset, best=preset),
        reach_encode=net.reach_encode,
        reach_step=net.reach_step,
        licence="CC0-1.0",
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        save(folder, config, net.state_dict(), "# tiny\n")
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "hashes.json"}


MODEL = model_files()


def seeds(name: str) -> list[bytes]:
    """Valid inputs of a target."""
    if name in ("audio", "tags"):
        return [*SOUNDS.values(), *_media()]
    if name == "mel":
        return [*_mels(), b"\0\x93NUMPY\1\0\x10\0{"]
    if name == "model":
        return [b"\1" + MODEL["config.json"], b"\0" + MODEL["weights.safetensors"]]
    if name == "record":
        return _records()
    return _checkpoints()


def _media() -> list[bytes]:
    """An m4a and a Matroska file, where PyAV is installed."""
    try:
        import av
    except ImportError:
        return []
    made = []
    for kind, codec in (("ipod", "aac"), ("matroska", "libopus")):
        file = io.BytesIO()
        with av.open(file, "w", format=kind) as out:
            stream = cast(av.AudioStream, out.add_stream(codec, rate=48000, layout="mono"))
            wave = (0.3 * np.sin(np.arange(4800) / 7)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
            frame.sample_rate = 48000
            out.mux(stream.encode(av.AudioResampler(stream.format, "mono", 48000).resample(frame)[0]))
            out.mux(stream.encode())
        made.append(file.getvalue())
    return made


def _mels() -> list[bytes]:
    spec = PRESETS["tacotron2"] if "tacotron2" in PRESETS else next(iter(PRESETS.values()))
    made = []
    with tempfile.TemporaryDirectory() as place:
        for number, suffix in enumerate(MEL_SUFFIXES):
            path = Path(place) / f"mel{suffix}"
            mel_file.write_mel(path, np.zeros((spec.n_mels, 3), np.float32), spec)
            made.append(bytes([number]) + path.read_bytes())
    return made


def _records() -> list[bytes]:
    content = {"size": 10, "mtime_ns": 0, "sha256": hashlib.sha256(b"some bytes").hexdigest()}
    names = {"v": 2, "target": "done.wav", "key": "key"}
    stored = {**names, "source": content, "outputs": {"done.wav": content}, "seconds": 1.0}
    fact = {"name": "a", "sha256": None, "seconds": 1.0, "sample_rate": 16000, "channels": 1}
    told = {
        "task": "denoise",
        "model": {"name": "m", "sha256": None, "licence": "x"},
        "options": {},
        "seed": 0,
    }
    return [json.dumps(stored).encode() + b"\n", json.dumps({**told, "input": fact, "output": fact}).encode()]


def _checkpoints() -> list[bytes]:
    file = io.BytesIO()
    torch.save({"model": {"a": torch.zeros(4, 2)}, "step": 3, "params": {"noise_schedule": [0.1, 0.2]}}, file)
    whole = file.getvalue()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return [b"\1" + whole, b"\0" + archive.read(name)]


def fuzz(name: str, work: Path, seconds: int) -> None:
    """Run one target until its time is over; does not return."""
    corpus, crashes = work / name / "corpus", work / name / "crashes"
    for folder in (corpus, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed{number}").write_bytes(seed)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    warnings.simplefilter("ignore")
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
    known: set[str] = set()
    target = TARGETS[name]

    def one(data: bytes) -> None:
        try:
            target(scratch, data)
        except AudiodiffError:
            pass
        except BaseException as error:  # noqa: BLE001  every other exception is a finding
            place = _place(error)
            if place not in known:
                known.add(place)
                kept = crashes / hashlib.sha256(data).hexdigest()[:16]
                kept.write_bytes(data)
                print(f"FOUND {name}: {place}: {error} ({kept})", file=sys.stderr, flush=True)

    limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS_AN_INPUT}", "-rss_limit_mb=4096"]
    arguments = [*limits, f"-max_len={MAX_INPUT}", f"-artifact_prefix={crashes}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *arguments, "-close_fd_mask=0", str(corpus)], one)
    atheris.Fuzz()


def _place(error: BaseException) -> str:
    """The innermost line of audiodiff that an error came through."""
    root = str(Path(audiodiff.__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(root)]
    last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {os.path.relpath(last.filename, root)}:{last.lineno}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--work", type=Path, default=Path("fuzz"))
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    names = args.targets or list(TARGETS)
    if args.alone:
        fuzz(names[0], args.work, args.seconds)
    bad = False
    for name in names:
        share = str(max(1, args.seconds // len(names)))
        words = [sys.executable, __file__, name, "--alone", "--seconds", share, "--work", str(args.work)]
        done = subprocess.run(words, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        lines = done.stderr.splitlines()
        told = [
            line for line in lines if line.startswith(("FOUND", "stat::number_of_executed", "==", "SUMMARY"))
        ]
        covered = [line for line in lines if " cov: " in line][-1:]
        print(f"## {name}: exit code {done.returncode}", *told, *covered, sep="\n", flush=True)
        bad = bad or done.returncode != 0 or any(line.startswith("FOUND") for line in told)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
