"""How large the values in a network get: what graphs in integers must leave room for."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiodiff.inference.denoiser import Denoiser
from audiodiff.io.reader import read
from audiodiff.model.folder import open_model
from audiodiff.model.graph import Range

if TYPE_CHECKING:
    from torch import Tensor, nn


def measured(
    model: str | os.PathLike[str], recordings: Sequence[Path], allow_code: bool = False
) -> dict[str, Range]:
    """The range of every dense layer of a denoiser while it cleans recordings.

    Args:
        model: Name of a shipped model, or path of a model folder.
        recordings: Files like those that it will clean; a few minutes of many voices and noises.
        allow_code: Run the code that the model brings.

    Returns:
        By the names of the layers.

    Raises:
        ModelError: As `open_model`.
        AudioFileError: A file cannot be read.
    """
    from torch import nn

    loaded = open_model(model, allow_code)
    denoiser = Denoiser(loaded, runtime="torch", device="cpu", quality="best")
    found: dict[str, Range] = {}
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    assert isinstance(loaded.net, nn.Module)
    with ExitStack() as hooks:
        for name, layer in loaded.net.named_modules():
            if isinstance(layer, kinds):
                hooks.callback(layer.register_forward_hook(_widening(found, name)).remove)
        for path in recordings:
            samples, rate = read(path)
            denoiser.denoise(samples.T, rate)
    return found


def _widening(found: dict[str, Range], name: str) -> Any:
    """A hook that widens the range of a layer by each call."""

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001
        known = found.get(name, Range(math.inf, -math.inf, math.inf, -math.inf))
        found[name] = Range(
            min(known.in_low, float(inputs[0].min())),
            max(known.in_high, float(inputs[0].max())),
            min(known.out_low, float(output.min())),
            max(known.out_high, float(output.max())),
        )

    return hook
