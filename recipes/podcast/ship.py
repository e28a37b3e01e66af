"""Make the shipped model folder of a trained run: its weights, its settings, a complete card.

    python recipes/podcast/ship.py RUN/model audiodiff/models/podcast --steps 1 2 4 --scores scores.md

``--steps`` are the presets fast, balanced (the default) and best; ``--scores`` is the Markdown that
benchmarks/panel.py printed for this very model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from audiodiff.config import Presets
from audiodiff.model import load, save, verify
from audiodiff.networks import complete

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trained", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--steps", type=int, nargs=3, default=(1, 2, 4))
    parser.add_argument("--scores", type=Path, required=True)
    arguments = parser.parse_args()
    model = load(arguments.trained)
    names = ("fast", "balanced", "best")
    presets = {
        name: getattr(model.config.presets, name).model_copy(update={"steps": steps})
        for name, steps in zip(names, arguments.steps, strict=True)
    }
    update = {"presets": Presets(**presets), "network": complete(model.config.network)}
    config = model.config.model_copy(update=update)
    card = "\n".join(
        [
            (arguments.trained / "card.md").read_text(encoding="utf-8"),
            "## Scores",
            "",
            arguments.scores.read_text(encoding="utf-8"),
            (HERE / "card_data.md").read_text(encoding="utf-8"),
        ]
    )
    save(arguments.target, config, model.net.state_dict(), card)
    verify(arguments.target)
    print(f"{arguments.target}: {sum(p.numel() for p in model.net.parameters()):,} parameters")


if __name__ == "__main__":
    main()
