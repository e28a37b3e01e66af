"""Keep some of the room: half strength, or a limit of 12 dB on how far the noise is turned down."""

import sys
from pathlib import Path

import numpy as np
import soundfile

from audiodiff import Denoiser, load_model

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
audio, sample_rate = soundfile.read("samples/interview_noisy.flac", dtype="float32")
model = load_model("podcast")
choices = {"full": {}, "half": {"strength": 0.5}, "at_most_12_db": {"max_reduction_db": 12.0}}
for name, choice in choices.items():
    result = Denoiser(model, **choice).denoise(audio, sample_rate)
    pause_db = 20 * np.log10(np.std(result[-sample_rate // 4 :]) + 1e-9)
    soundfile.write(out / f"{name}.flac", result, sample_rate)
    print(f"{name}: the last quarter of a second lies at {pause_db:.1f} dBFS")
