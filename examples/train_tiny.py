"""Make data, pack it, train the tiny recipe for six steps, and clean a recording with the new model."""

import subprocess
import sys
from pathlib import Path

import soundfile

from audiodiff import Denoiser, cli

out = Path(sys.argv[1])
data, store, run = str(out / "data"), str(out / "data" / "store"), str(out / "run")
subprocess.run([sys.executable, "recipes/tiny/make_data.py", data], check=True)
lists = ["--corpus", f"{data}/speech.jsonl", "--library", f"{data}/noise.json"]
assert cli.run(["prepare", store, *lists, "--sample-rate", "16000", "--rooms", "0"]) == 0
changes = [f"data.store={store}", "optim.steps=6", "run.validate_minutes=0", "run.log_every=1"]
assert cli.run(["train", "recipes/tiny/recipe.toml", *changes, "-o", run]) == 0
audio, rate = soundfile.read("samples/interview_noisy.flac", dtype="float32")
soundfile.write(out / "after_six_steps.flac", Denoiser(f"{run}/model").denoise(audio, rate), rate)
