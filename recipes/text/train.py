"""Train the text-to-mel model on what prepare.py wrote, on one thread.

    python recipes/text/train.py runs/text/data runs/text/model

The averaged weights are written at every validation, so that an interrupted run leaves a model. The
validation, mel L1 in nepers on the held-out prompts, is looked at by people alone: nothing is chosen by it.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from acoustic import Phones, TextToMel, filled, joined, save
from torch import Tensor

from audiodiff.signal.mel import MelSpec

WARM_UP = 50
PEAK_RATE = 2e-3
AVERAGE = 0.99
PROSODY_WEIGHT = 0.3

Example = tuple[Phones, Tensor]
"""A recording: phones as it says them (pitch NaN without voice), mel [M, N] in the convention's numbers."""


def load_data(folder: Path) -> tuple[dict[str, Example], dict[str, object]]:
    """All recordings by name, and data.json."""
    examples = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as a:
            phones = Phones(a["ids"], a["cues"], a["frames"], a["log_f0"])
            examples[path.stem] = phones, torch.from_numpy(a["mel"].astype(np.float32))
    return examples, json.loads((folder / "data.json").read_text(encoding="utf-8"))


def pitched(phones: Phones, default: float) -> Phones:
    """With a pitch for every phone."""
    log_f0 = filled(phones.log_f0, phones.frames, default)
    return Phones(phones.ids, phones.cues, phones.frames, log_f0)


def set_statistics(model: TextToMel, examples: list[Example]) -> None:
    """Means and deviations of the training recordings."""
    mels = torch.cat([values for _, values in examples], 1)
    model.mel_mean.copy_(mels.mean(1, keepdim=True))
    model.mel_std.copy_((mels - model.mel_mean).std())
    log_f0 = np.concatenate([p.log_f0 for p, _ in examples])
    model.f0.copy_(torch.tensor([np.nanmean(log_f0), np.nanstd(log_f0)]))
    pace = [np.log(p.frames) - p.cues[:, 0] for p, _ in examples]
    model.pace.fill_(float(np.concatenate(pace).mean()))


def loss_of(model: TextToMel, batch: list[Example]) -> Tensor:
    """L1 of the normalised mel, and a share of that of the prosody."""
    default = float(model.f0[0])
    made, thought = model(joined([pitched(p, default) for p, _ in batch]))
    values = model.normalised(torch.cat([v for _, v in batch], 1))
    wanted = model.wanted(joined([p for p, _ in batch]))
    known = torch.isfinite(wanted)
    prosody = (thought - wanted)[known].abs().mean()
    return (made - values).abs().mean() + PROSODY_WEIGHT * prosody


def validate(model: TextToMel, examples: list[Example]) -> dict[str, float]:
    """Mel L1 in nepers; mean errors of the planned durations in milliseconds and pitch in semitones."""
    default = float(model.f0[0])
    hop_ms = 1000 * model.spec.hop / model.spec.sample_rate
    mels, lengths, pitches = [], [], []
    for phones, values in examples:
        mels.append((model.mel(pitched(phones, default)) - values).abs().mean().item())
        planned = model.planned(phones.ids, phones.cues)
        lengths.append(np.abs(planned.frames - phones.frames).mean() * hop_ms)
        pitches.append(np.nanmean(np.abs(planned.log_f0 - phones.log_f0)) * 12 / math.log(2))
    scores = {"mel_l1": mels, "duration_ms": lengths, "pitch_semitones": pitches}
    return {name: round(float(np.mean(v)), 4) for name, v in scores.items()}


@dataclass(frozen=True)
class Plan:
    """How long to train.

    Attributes:
        steps: At most so many.
        minutes: By the clock, at most; the learning rate falls with whichever is nearer to its end.
        batch: Recordings a step.
    """

    steps: int
    minutes: float
    batch: int

    def progress(self, step: int, begin: float) -> float:
        """From 0 to 1, the end."""
        return min(max(step / self.steps, (time.monotonic() - begin) / (60 * self.minutes)), 1.0)


def train(model: TextToMel, data: list[Example], dev: list[Example], folder: Path, plan: Plan) -> None:
    """Train, validate ten times, write model and log."""
    rng = np.random.default_rng(0)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.01, betas=(0.9, 0.98))
    average = copy.deepcopy(model).eval()
    losses: list[float] = []
    begin, step, done, tenths = time.monotonic(), 0, 0.0, 0
    while done < 1:
        step, done = step + 1, plan.progress(step + 1, begin)
        rate = PEAK_RATE * min(step / WARM_UP, 1) * (0.02 + 0.98 * math.cos(0.5 * math.pi * done) ** 2)
        optimiser.param_groups[0]["lr"] = rate
        chosen = rng.choice(len(data), min(plan.batch, len(data)), replace=False)
        loss = loss_of(model, [data[i] for i in chosen])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        follow(average, model, min(AVERAGE, step / (step + 10)))
        if int(10 * done) > tenths:
            tenths = int(10 * done)
            row = {"step": step, "loss": round(float(np.mean(losses)), 4), **validate(average, dev)}
            row["cpu_minutes"] = round(time.process_time() / 60, 2)
            print(row, flush=True)
            save(folder, average)
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            losses = []


@torch.no_grad()
def follow(average: TextToMel, model: TextToMel, keep: float) -> None:
    """Move the averaged weights towards the new ones."""
    for mine, new in zip(average.parameters(), model.parameters(), strict=True):
        mine.lerp_(new, 1 - keep)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=1000.0, help="end by then, too")
    parser.add_argument("--batch", type=int, default=8, help="recordings a step")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.random.default_generator.manual_seed(0)
    examples, facts = load_data(args.data)
    held_out = facts["held_out"]
    data = [example for name, example in examples.items() if name not in held_out]
    dev = [example for name, example in examples.items() if name in held_out]
    if not data or not dev:
        parser.error(f"{args.data} needs recordings to learn from and held-out ones; run prepare.py")
    model = TextToMel(facts["symbols"], MelSpec.from_dict(facts["mel_spec"]))
    set_statistics(model, data)
    size = sum(p.numel() for p in model.parameters())
    print(f"{size:,} parameters, {len(data)} recordings, {len(dev)} held out")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "log.jsonl").unlink(missing_ok=True)
    train(model, data, dev, args.out, Plan(args.steps, args.minutes, args.batch))


if __name__ == "__main__":
    main()
