"""Turn a mel spectrogram into speech: by the model `voice`, and by plain inversion without a model."""

import sys
from pathlib import Path

import soundfile
import torch

from audiodiff import Vocoder
from audiodiff.signal.mel import PRESETS, mel
from audiodiff.signal.resample import resample

out, spec = Path(sys.argv[1]), PRESETS["hifigan"]  # 22050 Hz, 80 bands
audio, sample_rate = soundfile.read("samples/interview_clean.flac", dtype="float32")
values = mel(torch.from_numpy(resample(audio[None], sample_rate, spec.sample_rate)[0]), spec).numpy()
for model in ("voice", "inversion"):
    speech = Vocoder(model).vocode(values, "hifigan")
    soundfile.write(out / f"{model}.wav", speech, spec.sample_rate)
    print(f"{model}: {values.shape[1]} frames to {len(speech) / spec.sample_rate:.2f} s")
