"""Write what the denoiser took away, to check by ear that no speech went with it."""

import sys
from pathlib import Path

import numpy as np
import soundfile

from audiodiff import Denoiser

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
audio, sample_rate = soundfile.read("samples/interview_noisy.flac", dtype="float32")
clean = Denoiser().denoise(audio, sample_rate)
removed = audio - clean
soundfile.write(out / "removed.flac", removed, sample_rate)
print(f"largest error of clean + removed: {np.abs(clean + removed - audio).max():.1e}")
print(f"removed: {20 * np.log10(np.std(removed) / np.std(audio)):.1f} dB relative to the recording")
