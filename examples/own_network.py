"""Write a network of your own, hold it to the contract, and run it as a denoiser."""

import soundfile
import torch
from torch import nn

from audiodiff import Denoiser, load_model
from audiodiff.model.model import assemble
from tests.networks.contract_checks import check


class Smoother(nn.Module):
    """Predicts the clean spectrum as a weighted mean of each bin over five frames."""

    reach_encode, reach_step = 2, 0  # frames on either side that `encode` and one step look at

    def __init__(self, n_bins):
        super().__init__()
        self.mean = nn.Conv1d(2 * n_bins, 2 * n_bins, 5, padding=2, groups=2 * n_bins, bias=False)
        nn.init.dirac_(self.mean.weight, groups=2 * n_bins)  # untrained, it changes nothing
        self.share = nn.Parameter(torch.zeros(()))

    def encode(self, cond):  # once a recording: its spectrum [B, F, N, 2]
        rows = cond.transpose(2, 3).flatten(1, 2)
        return (self.mean(rows).unflatten(1, (-1, 2)).transpose(2, 3),)

    def forward(self, x_t, t, h):  # once a step: the state [B, F, N, 2], its time [B], the features
        return h[0] + self.share * t[:, None, None, None] * (x_t - h[0])


net = Smoother(n_bins=769)
check(net, n_bins=769)  # shape, silence, independent items, reach, gradients
change = {"network": {"kind": "smoother", "n_bins": 769}, "reach_encode": 2, "reach_step": 0}
model = assemble(load_model("podcast").config.model_copy(update=change), net)
audio, rate = soundfile.read("samples/interview_noisy.flac", dtype="float32")
change = abs(Denoiser(model).denoise(audio, rate) - audio).max()
print(f"largest change by the untrained network: {change:.1e}")
