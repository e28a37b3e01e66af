"""Draws the picture of docs/pages/how-it-works.md: a bridge from clean speech to the recording.

    python docs/draw_bridge.py

Above: the coefficients a, b and s over t.
Below: one value of a spectrum on its way, for twenty draws of noise.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from audiodiff.diffusion.bridges import BrownianBridge

PICTURE = Path(__file__).parent / "pages" / "bridge.png"
RHO, CLEAN, NOISY = 0.3, 0.2, 1.0
BLUE, ORANGE, GREEN = "#0b5fa5", "#c4560a", "#2b7a2b"


def coefficients(axis: Axes, t: torch.Tensor) -> None:
    """The curves a(t), b(t) and s(t), each with its name beside it."""
    a, b, s = BrownianBridge(RHO).coeffs(t)
    named = (("a: clean speech", a, BLUE, 0.09, 0.96), ("b: recording", b, ORANGE, 0.66, 0.93))
    for name, values, colour, x, y in (*named, ("s: added noise", s, GREEN, 0.42, 0.2)):
        axis.plot(t, values, color=colour, linewidth=2.5)
        axis.text(x, y, name, color=colour, fontsize=13)
    axis.set(ylabel="coefficient", ylim=(-0.03, 1.08))


def paths(axis: Axes, t: torch.Tensor) -> None:
    """Twenty draws of the way from x_0 to y, with the band of one standard deviation."""
    a, b, s = (values.numpy() for values in BrownianBridge(RHO).coeffs(t))
    mean = a * CLEAN + b * NOISY
    steps = np.random.default_rng(3).standard_normal((20, len(t))) * np.sqrt(np.gradient(t.numpy()))
    motion = np.cumsum(steps, axis=1) - steps[:, :1]
    for way in RHO * (motion - t.numpy() * motion[:, -1:]):
        axis.plot(t, mean + way, color="0.6", linewidth=0.7)
    axis.fill_between(t, mean - s, mean + s, color=GREEN, alpha=0.18, linewidth=0)
    axis.plot(t, mean, color="black", linewidth=2)
    axis.plot([0], [CLEAN], "o", color=BLUE, markersize=11, clip_on=False, zorder=5)
    axis.plot([1], [NOISY], "o", color=ORANGE, markersize=11, clip_on=False, zorder=5)
    axis.text(0.03, CLEAN - 0.2, "x_0: clean", color=BLUE, fontsize=13)
    axis.text(0.87, NOISY - 0.5, "y: noisy", color=ORANGE, fontsize=13)
    axis.annotate(
        "the denoiser walks back",
        xy=(0.3, -0.12),
        xytext=(0.62, -0.12),
        fontsize=13,
        va="center",
        arrowprops={"arrowstyle": "->", "linewidth": 1.5},
    )
    axis.set(xlabel="t", ylabel="one value of x_t", xlim=(0, 1), ylim=(-0.3, 1.35))


def main() -> None:
    """Draw it."""
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    with plt.rc_context({"font.size": 12}):
        figure, axes = plt.subplots(2, 1, figsize=(8.3, 6.4), sharex=True, layout="constrained")
        coefficients(axes[0], t)
        paths(axes[1], t)
        figure.savefig(PICTURE, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
