"""Draw how much of the clean signal (a), the recording (b) and noise (s) three processes mix at a time t."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from audiodiff.diffusion.bridges import BrownianBridge, SchroedingerBridge
from audiodiff.diffusion.ouve import OUVE

t = torch.linspace(0, 1, 201, dtype=torch.float64)
figure, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True, layout="constrained")
for axis, process in zip(axes, (BrownianBridge(), SchroedingerBridge(), OUVE()), strict=True):
    for name, values in zip("abs", process.coeffs(t), strict=True):
        axis.plot(t, values, label=name)
    axis.set(title=type(process).__name__, xlabel="t: data at 0, start of sampling at 1")
axes[0].legend()
figure.savefig(Path(sys.argv[1], "processes.png"), dpi=150)
