"""Compare samplers and numbers of steps on the sample recording; one step is enough for this model."""

import sys
from dataclasses import replace
from pathlib import Path

import soundfile

from audiodiff import Denoiser, load_model
from audiodiff.evaluation.waveform import si_sdr
from audiodiff.model.config import Presets, SamplerPreset

(noisy, rate), (clean, _) = (soundfile.read(f"samples/interview_{n}.flac") for n in ("noisy", "clean"))
model, lines = load_model("podcast"), ["sampler steps SI-SDR", f"none 0 {si_sdr(clean, noisy):.2f} dB"]
for sampler, steps in (("ddim", 1), ("ddim", 2), ("ddim", 4), ("heun", 4), ("dpmpp_2m", 4)):
    preset = SamplerPreset(steps=steps, sampler=sampler, start_noise=0.0)
    config = model.config.model_copy(update={"presets": Presets(fast=preset, balanced=preset, best=preset)})
    score = si_sdr(clean, Denoiser(replace(model, config=config)).denoise(noisy, rate))
    lines.append(f"{sampler} {steps} {score:.2f} dB")
Path(sys.argv[1], "samplers.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
