"""Score models on dev mixtures of a packed store: what every choice of the denoiser is made by.

    python benchmarks/dev_mixtures.py corpus/store48 --model podcast runs/podcast/model --steps 1 2 --items 48
    python benchmarks/dev_mixtures.py corpus/store48 --write mixtures           # for other denoisers:
    python benchmarks/peers.py dfn3 mixtures/podcast/noisy outputs/dfn3/podcast
    python benchmarks/dev_mixtures.py corpus/store48 --model --peer dfn3=outputs/dfn3

Two sets, `everyday` and `podcast` (`audiodiff.data.batches.dev_config`): speakers, noises and rooms are the
store's dev split, the same mixtures for the same split. Prints means of PESQ-WB, ESTOI and SI-SDR on each
set, PESQ-WB of its full-band and its narrow half, and the bias of the magnitude where speech is active, per
band.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from audiodiff import Denoiser
from audiodiff.data.batches import DEV_KINDS, DevMixture, dev_set, write_pairs
from audiodiff.data.store import Store
from audiodiff.training.loaders import DEV_SEED
from audiodiff.training.validation import score, validate

Audio = NDArray[np.float32]
Make = Callable[[DevMixture], Audio]


def cells(items: list[DevMixture], make: Make, sample_rate: int) -> list[str]:
    outputs = {item.name: make(item) for item in items}
    found: dict[str, Any] = validate(items, lambda item: outputs[item.name], sample_rate)
    halves = []
    for full_band in (True, False):
        half = [item for item in items if item.full_band == full_band]
        means = score(half, [outputs[item.name] for item in half], sample_rate)[0] if half else {}
        halves.append(f"{means['pesq_wb']:.2f}" if "pesq_wb" in means else "-")
    bias = " ".join("-" if db is None else f"{db:+.1f}" for db in found["bias_db"])
    scores = f"{found['pesq_wb']:.3f} / {found['estoi']:.3f} / {found['si_sdr']:.2f}"
    return [scores, " / ".join(halves), bias]


def ours(model: str, steps: int, sample_rate: int) -> Make:
    denoiser = Denoiser(model, steps=steps)
    return lambda item: denoiser.denoise(item.noisy, sample_rate)


def peer(folder: Path, kind: str) -> Make:
    def read(item: DevMixture) -> Audio:
        audio: Audio = soundfile.read(folder / kind / f"{item.name}.wav", dtype="float32")[0]
        return audio

    return read


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", nargs="*", default=["podcast"])
    parser.add_argument("--steps", nargs="+", type=int, default=[1])
    parser.add_argument("--items", type=int, default=48, help="of each set")
    parser.add_argument("--peer", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write the mixtures and end")
    arguments = parser.parse_args()
    store = Store(arguments.store)
    sets = {kind: dev_set(store, arguments.items, DEV_SEED, kind) for kind in DEV_KINDS}
    if arguments.write:
        for kind, items in sets.items():
            write_pairs(items, arguments.write / kind)
        return
    columns = ["PESQ-WB / ESTOI / SI-SDR dB", "PESQ-WB full band / narrow", "bias by band, dB"]
    header = ["", *(f"{kind}: {column}" for kind in sets for column in columns)]
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    rows: dict[str, Callable[[str], Make]] = {"noisy": lambda _: lambda item: item.noisy}
    for text in arguments.peer:
        name, folder = text.split("=", 1)
        rows[name] = lambda kind, folder=folder: peer(Path(folder), kind)  # type: ignore[misc]
    for model in arguments.model:
        for steps in arguments.steps:
            make = ours(model, steps, store.sample_rate)
            rows[f"{model}, {steps}"] = lambda _, make=make: make  # type: ignore[misc]
    for name, row in rows.items():
        found = [cell for kind, items in sets.items() for cell in cells(items, row(kind), store.sample_rate)]
        print("| " + " | ".join([name, *found]) + " |", flush=True)


if __name__ == "__main__":
    main()
