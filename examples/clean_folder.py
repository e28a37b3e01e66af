"""Clean a folder with the command and read its results as data: a JSON line a file, a sidecar an output."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

out = Path(sys.argv[1])
(out / "shows" / "may").mkdir(parents=True, exist_ok=True)
for name in ("one.flac", "may/two.flac"):
    shutil.copy("samples/interview_noisy.flac", out / "shows" / name)
command = [sys.executable, "-m", "audiodiff", "denoise", out / "shows", "-o", out / "clean", "--json"]
run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
*files, summary = (json.loads(line) for line in run.stdout.splitlines())
for file in files:
    sidecar = json.loads(Path(file["out"] + ".audiodiff.json").read_text(encoding="utf-8"))
    print(f"{file['out']}: {file['status']}, {file['seconds']} s, model {sidecar['model']['name']}")
print(f"{summary['done'] + summary['skipped']} of {summary['files']} files are clean")
