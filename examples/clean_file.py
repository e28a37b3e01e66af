"""Clean one recording in Python: read it, denoise it, write the result."""

import sys
from pathlib import Path

import soundfile

from audiodiff import Denoiser

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
audio, sample_rate = soundfile.read("samples/interview_noisy.flac", dtype="float32")
clean = Denoiser().denoise(audio, sample_rate)
soundfile.write(out / "clean.flac", clean, sample_rate)
print(f"{len(clean) / sample_rate:.1f} s cleaned: {out / 'clean.flac'}")
