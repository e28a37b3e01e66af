"""Clean a stereo recording with one gain for both channels, so that voices stay where they are."""

import sys
from pathlib import Path

import numpy as np
import soundfile

from audiodiff import Denoiser

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
voice, sample_rate = soundfile.read("samples/interview_clean.flac", dtype="float32")
hiss = 0.01 * np.random.default_rng(0).standard_normal((len(voice), 2)).astype(np.float32)
stereo = np.stack([voice, 0.5 * voice], axis=1) + hiss  # the voice is 6 dB louder on the left
for channels in ("each", "linked"):
    clean = Denoiser(channels=channels).denoise(stereo, sample_rate)
    soundfile.write(out / f"{channels}.flac", clean, sample_rate)
    print(f"{channels}: left over right {20 * np.log10(np.divide(*np.std(clean, axis=0))):.2f} dB")
