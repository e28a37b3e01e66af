"""Kill the cleaning of an archive at random moments, resume it each time, compare with an undisturbed run.

    python benchmarks/archive_kill.py ARCHIVE WORK [--kills 20] [--jobs 2] [--model podcast] [-- OPTION...]

ARCHIVE comes from archive.py. Everything after -- goes to `audiodiff denoise`. Prints a markdown table; exit
code 1 if a hash differs, a file is missing, a broken file was not reported as such, or a kill left a file
behind that is not a result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SEED = 7


def command(args: argparse.Namespace, output: Path) -> list[str]:
    base = [sys.executable, "-m", "audiodiff", "denoise", str(args.archive), "-o", str(output)]
    return [*base, "-m", args.model, "--jobs", str(args.jobs), "--json", "-q", *args.options]


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".audiodiff" not in path.parts
    }


def whole(words: list[str]) -> tuple[list[dict[str, Any]], int, list[float]]:
    """Events, exit code, and the seconds at which each event came."""
    started = time.perf_counter()
    events, times = [], []
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        for line in child.stdout:
            events.append(json.loads(line))
            times.append(time.perf_counter() - started)
    return events, child.returncode, times


def kill_after(words: list[str], n_events: int, seconds: float) -> bool:
    """Run, and kill so many seconds after so many new results; whether it was still running.

    Its workers end with it.
    """
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    while n_events and (line := child.stdout.readline()):
        n_events -= json.loads(line).get("status") != "skipped"
    try:
        child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return True
    finally:
        child.stdout.close()
    return False


def wrong_codes(archive: Path, events: list[dict[str, Any]]) -> list[str]:
    told = {
        os.path.relpath(event["in"], archive): (event["error"] or {}).get("code")
        for event in events
        if event["event"] == "file"
    }
    content = json.loads((archive / "archive.json").read_text())
    expected = {facts["name"]: None for facts in content["good"]}
    expected |= {facts["name"]: facts["code"] for facts in content["broken"]}
    return [
        f"{name}: expected {code}, found {told.get(name, 'nothing')}"
        for name, code in expected.items()
        if told.get(name, "nothing") != code
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive", type=Path)
    parser.add_argument("work", type=Path, help="new folder for the results")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--model", default="podcast")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    args.work.mkdir()
    truth_folder, folder = args.work / "undisturbed", args.work / "killed"
    events, code, times = whole(command(args, truth_folder))
    faults = wrong_codes(args.archive, events)
    truth = hashes(truth_folder)
    rng = np.random.default_rng(SEED)
    kills, strangers, there = 0, 0, []
    while kills < args.kills:
        # every third kill at any time before the first new result, the others after some more of them
        n_events = 0 if kills % 3 == 2 else int(rng.integers(1, 2 + 3 * len(events) // args.kills))
        pause = times[0] if n_events == 0 else (times[-1] - times[0]) / len(events)
        delay = float(rng.random()) * pause
        if not kill_after(command(args, folder), n_events, delay):
            shutil.rmtree(folder)  # it was through: begin again
            continue
        kills += 1
        found = hashes(folder) if folder.exists() else {}
        there.append(len(found))
        strangers += sum(truth.get(name) != content for name, content in found.items())
        if len(found) == len(truth) and kills < args.kills:
            shutil.rmtree(folder)  # nothing is left to disturb: begin again
    last, last_code, _ = whole(command(args, folder))
    skipped = next((event["skipped"] for event in last if event["event"] == "summary"), 0)
    same = hashes(folder) == truth
    rows = (
        (
            "recordings, good results, reported broken",
            f"{len(events) - 1}, {len(truth)}, {events[-1]['failed']}",
        ),
        ("exit code, seconds, undisturbed", f"{code}, {times[-1]:.1f}"),
        ("wrong outcomes", "; ".join(faults) or "none"),
        ("kills; results that stood after each", f"{kills}; {', '.join(map(str, there))}"),
        ("files that were no result", f"{strangers}"),
        ("last run: exit code, already done", f"{last_code}, {skipped}"),
        ("all hashes as undisturbed", "yes" if same else "NO"),
    )
    print("| | |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")
    return 0 if same and not strangers and not faults and last_code == code else 1


if __name__ == "__main__":
    sys.exit(main())
