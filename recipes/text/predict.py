"""Held-out predictions as mel files beside their recordings, and how good they are.

    python recipes/text/predict.py runs/text/data runs/text/pred runs/text/ref --model runs/text/model

The text-to-mel model speaks the prompts that it did not learn from, in the time of the recording (and with
its pitch, unless ``--pitch planned``): mels as imperfect as such models make them, with a natural reference
NAME.wav, sample for sample. Prints a table: L1 of the log mels in nepers, also of the recording's mean
spectrum for comparison, and PESQ and ESTOI of the inversion of the prediction and of the recording's own mel.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import acoustic
import numpy as np
import soundfile
import torch
from train import load_data, pitched

from audiodiff.evaluation.intelligibility import stoi
from audiodiff.evaluation.pesq import Pesq
from audiodiff.evaluation.score import Score, Unscored
from audiodiff.io.mel_file import write_mel
from audiodiff.signal.mel import mel
from audiodiff.signal.mel_inversion import invert

COLUMNS = ("mel L1", "mel L1 of the mean", "PESQ-WB", "ESTOI", "PESQ-WB, own mel", "ESTOI, own mel")


def timed(model: acoustic.TextToMel, phones: acoustic.Phones, planned_pitch: bool) -> acoustic.Phones:
    """The phones of a recording with its durations, and its pitch or the model's."""
    if planned_pitch:
        plan = model.planned(phones.ids, phones.cues)
        return acoustic.Phones(phones.ids, phones.cues, phones.frames, plan.log_f0)
    return pitched(phones, float(model.f0[0]))


def scores(
    predicted: torch.Tensor, recording: np.ndarray, model: acoustic.TextToMel, pesq: Pesq
) -> list[Score]:
    """Log mel L1 of the prediction and of the mean spectrum; PESQ and ESTOI of both inversions."""
    own = mel(torch.from_numpy(recording), model.spec)
    constant = own.mean(1, keepdim=True)
    found: list[Score] = [(x - own).abs().mean().item() for x in (predicted, constant)]
    for values in (predicted, own):
        heard = invert(values, model.spec).numpy()
        found.append(pesq.score(recording, heard, model.spec.sample_rate))
        found.append(stoi(recording, heard, model.spec.sample_rate))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="what prepare.py wrote")
    parser.add_argument("predictions", type=Path, help="folder for NAME.npz")
    parser.add_argument("references", type=Path, help="folder for NAME.wav")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "model")
    parser.add_argument("--pitch", choices=("recorded", "planned"), default="recorded")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = acoustic.load(args.model)
    examples, facts = load_data(args.data)
    symbols = facts["symbols"]
    rows = []
    for folder in (args.predictions, args.references):
        folder.mkdir(parents=True, exist_ok=True)
    print(line("prompt", list(COLUMNS)))
    print("|---" * (len(COLUMNS) + 1) + "|")
    with Pesq() as pesq:
        for name in facts["held_out"]:
            phones = examples[name][0]
            ids = model.numbers(
                tuple(symbols[i] for i in phones.ids)
            )  # the model's data may have been others
            phones = acoustic.Phones(ids, phones.cues, phones.frames, phones.log_f0)
            values = model.mel(timed(model, phones, args.pitch == "planned"))
            source = args.data / "held_out" / f"{name}.wav"
            write_mel(args.predictions / f"{name}.npz", values.numpy(), model.spec, overwrite=True)
            shutil.copyfile(source, args.references / source.name)
            rows.append(scores(values, soundfile.read(source, dtype="float32")[0], model, pesq))
            print(line(name, rows[-1]), flush=True)
    columns = [[x for x in column if not isinstance(x, Unscored)] for column in zip(*rows, strict=True)]
    print(line("mean", [float(np.mean(c)) for c in columns]))


def line(name: str, row: list[Score] | list[str]) -> str:
    cells = [f"{x:.3f}" if isinstance(x, float) else "-" if isinstance(x, Unscored) else x for x in row]
    return f"| {' | '.join([name, *cells])} |"


if __name__ == "__main__":
    main()
