"""Score models on dev mixtures of a packed store: what every choice of the denoiser is made by.

    python benchmarks/dev_mixtures.py corpus/store48 --model podcast runs/podcast/model --steps 1 2 --items 60

Speakers, noises and rooms are the store's dev split, the same mixtures for the same store. Prints means of
PESQ-WB, ESTOI and SI-SDR, and the bias of the magnitude where speech is active, per band.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from audiodiff import Denoiser
from audiodiff.data.dataset import DevMixture, dev_set
from audiodiff.data.store import Store
from audiodiff.training.feed import DEV_SEED
from audiodiff.training.validate import score, validate


def row(name: str, found: dict[str, Any]) -> str:
    parts = " / ".join(f"{part['pesq_wb']:.3f}" for _, part in sorted(found["parts"].items()))
    bias = " ".join("-" if db is None else f"{db:+.1f}" for db in found.get("bias_db", ()))
    cells = [f"{found['pesq_wb']:.3f}", parts, f"{found['estoi']:.3f}", f"{found['si_sdr']:.2f}", bias]
    return "| " + " | ".join([name, *cells]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", nargs="+", default=["podcast"])
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--items", type=int, default=60)
    arguments = parser.parse_args()
    store = Store(arguments.store)
    items = dev_set(store, arguments.items, DEV_SEED)
    columns = ("", "PESQ-WB", "full band / narrow", "ESTOI", "SI-SDR dB", "bias by band, dB")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    noisy, _ = score(items, [item.noisy for item in items], store.sample_rate)
    print(row("noisy", noisy))
    for model in arguments.model:
        for steps in arguments.steps:
            denoiser = Denoiser(model, steps=steps)

            def make(item: DevMixture, denoiser: Denoiser = denoiser) -> Any:
                return denoiser.denoise(item.noisy, store.sample_rate)

            print(row(f"{model}, {steps}", validate(items, make, store.sample_rate)), flush=True)


if __name__ == "__main__":
    main()
