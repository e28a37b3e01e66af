r"""Make the shipped model folder of a trained run: its weights, its settings, a complete card.

    python recipes/ship.py RUN/model audiodiff/model/pretrained/podcast \
        --recipe recipes/podcast --scores scores.md

``--steps`` are the presets fast, balanced (the default) and best, ``--inversion`` the iterations of the start
of a vocoder, both as the run has them unless given; ``--scores`` is the Markdown that the benchmark printed
for this very model; the recipe's ``card_data.md`` tells what it learned from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from audiodiff.model.config import Presets
from audiodiff.model.folder import load, save, verify
from audiodiff.networks import complete


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trained", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--recipe", type=Path, required=True, help="folder of the recipe")
    parser.add_argument("--steps", type=int, nargs=3)
    parser.add_argument("--inversion", type=int)
    parser.add_argument("--scores", type=Path, required=True)
    arguments = parser.parse_args()
    model = load(arguments.trained)
    names = ("fast", "balanced", "best")
    trained = {name: getattr(model.config.presets, name) for name in names}
    steps = arguments.steps or [trained[name].steps for name in names]
    presets = {
        name: trained[name].model_copy(update={"steps": n}) for name, n in zip(names, steps, strict=True)
    }
    update = {"presets": Presets(**presets), "network": complete(model.config.network)}
    if arguments.inversion is not None:
        update["inversion"] = arguments.inversion
    config = model.config.model_copy(update=update)
    card = "\n".join(
        [
            (arguments.trained / "card.md").read_text(encoding="utf-8"),
            "## Scores",
            "",
            arguments.scores.read_text(encoding="utf-8"),
            (arguments.recipe / "card_data.md").read_text(encoding="utf-8"),
        ]
    )
    save(arguments.target, config, model.net.state_dict(), card)
    verify(arguments.target)
    print(f"{arguments.target}: {sum(p.numel() for p in model.net.parameters()):,} parameters")


if __name__ == "__main__":
    main()
