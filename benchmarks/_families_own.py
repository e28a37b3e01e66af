"""Three families that audiodiff is not made of, small and plain: a GAN, a VAE and an autoregressive model.

All three are the spectral network of the diffusion families with something else in the place of the state,
on the same compressed spectra. Letters: B items, F bins, N frames, L latent values; a spectrum is
``[B, F, N, 2]``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from audiodiff import networks
from audiodiff.networks.layers import FrameBlock

L1_WEIGHT = 10.0
"""Of the GAN; a tenth of pix2pix's."""
LATENT = 16
LEAST_SCALE = 1e-3
"""Of the autoregressive model's Gaussian, in compressed units; speech is about 1 where it is loud."""

Update = tuple[int, Tensor]
"""Which part learns (its number in `parts`), and from what; the caller makes the step before it goes on."""


class OwnFamily(Protocol):
    """A family with a trainer of its own."""

    def parts(self) -> tuple[nn.Module, ...]:
        """What is trained, an optimiser each; the first is what also samples."""
        ...

    def updates(self, y: Tensor, x_0: Tensor, mask: Tensor, random: torch.Generator) -> Iterator[Update]:
        """The updates of one batch, in order.

        Args:
            y: The recordings.
            x_0: The truth.
            mask: ``[B, F, 1, 1]``, which bins the truth speaks about.
            random: The random numbers of this step.
        """
        ...

    def sample(self, y: Tensor, random: torch.Generator, scale: float = 1.0) -> Tensor:
        """One sample for each recording; a scale of 0 takes the middle of what is drawn from."""
        ...


class SpectralFamily(nn.Module):
    """What the three share: the network, and where it computes.

    Args:
        network: Section ``[network]`` of the diffusion families, complete.
        bf16: Whether training runs under bfloat16 autocast, as theirs does.
    """

    def __init__(self, network: dict[str, Any], bf16: bool) -> None:
        super().__init__()
        self.net: Any = networks.build(network)
        self.bf16 = bf16

    def predict(self, state: Tensor, time: float, y: Tensor) -> Tensor:
        """The network at one fixed time: 0 lets the state through its own mask, 1 hides it there."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16 and self.training):
            t = torch.full((len(y),), time)
            found: Tensor = self.net(state, t, self.net.encode(y))
        return found.float()


class Gan(SpectralFamily):
    """A conditional GAN (Isola et al. 2017, "pix2pix"): the generator hears the recording and noise.

    Least squares in the place of the logarithm (Mao et al. 2017, "LSGAN", equation 9), critics at three
    scales (Wang et al. 2018, "pix2pixHD"), and an L1 error of small weight.
    """

    def __init__(self, network: dict[str, Any], bf16: bool) -> None:
        super().__init__(network, bf16)
        self.critics = nn.ModuleList(_critic() for _ in range(3))

    def parts(self) -> tuple[nn.Module, ...]:
        """See `OwnFamily`."""
        return self.net, self.critics

    def updates(self, y: Tensor, x_0: Tensor, mask: Tensor, random: torch.Generator) -> Iterator[Update]:
        """See `OwnFamily`."""
        fake = self.predict(_noise(y, random), 0.0, y) * mask
        true = self._judged(x_0 * mask, y)
        false = self._judged(fake.detach(), y)
        pairs = zip(true, false, strict=True)
        yield 1, _mean([(t - 1).square().mean() + f.square().mean() for t, f in pairs])
        fooled = _mean([(f - 1).square().mean() for f in self._judged(fake, y)])
        yield 0, fooled + L1_WEIGHT * (fake - x_0 * mask).abs().mean()

    def sample(self, y: Tensor, random: torch.Generator, scale: float = 1.0) -> Tensor:
        """See `OwnFamily`."""
        return self.predict(scale * _noise(y, random), 0.0, y)

    def _judged(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """What the critics say of spectra, at full, half and quarter resolution."""
        both = torch.cat([_planes(x), _planes(y)], dim=1)
        said = []
        for critic in self.critics:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16 and self.training):
                judged = critic(both)
            said.append(judged.float())
            both = functional.avg_pool2d(both, 2)
        return said


class Vae(SpectralFamily):
    """A conditional VAE (Kingma and Welling 2014; Sohn et al. 2015): a small latent a frame, prior N(0, I).

    The decoder is the network, its state a linear map of the latent; its Gaussian has one variance for all
    bins at its best value, the mean squared error (Rybkin et al. 2021, "sigma-VAE", equation 6). A sample is
    the decoder's mean, as is usual.
    """

    WIDTH = 64

    def __init__(self, network: dict[str, Any], bf16: bool) -> None:
        super().__init__(network, bf16)
        n_bins = int(network["n_bins"])
        self.to_state = nn.Linear(LATENT, 2 * n_bins)
        self.posterior = nn.Sequential(
            nn.Linear(4 * n_bins, self.WIDTH),
            FrameBlock(self.WIDTH, 1),
            FrameBlock(self.WIDTH, 2),
            nn.Linear(self.WIDTH, 2 * LATENT),
        )

    def parts(self) -> tuple[nn.Module, ...]:
        """See `OwnFamily`."""
        return (self,)

    def updates(self, y: Tensor, x_0: Tensor, mask: Tensor, random: torch.Generator) -> Iterator[Update]:
        """See `OwnFamily`; the negative evidence bound in nats a number of a frame."""
        both = torch.cat([x_0 * mask, y], dim=-1).permute(0, 2, 1, 3).flatten(2)
        mean, log_variance = self.posterior(both).chunk(2, dim=-1)
        log_variance = log_variance.clamp(-10, 10)
        drawn = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=random)
        error = (self._decode(drawn, y) - x_0) * mask
        numbers = 2 * y.shape[1]
        told = 0.5 * numbers * error.square().mean().clamp_min(1e-8).log()
        paid = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        yield 0, (told + paid) / numbers

    def sample(self, y: Tensor, random: torch.Generator, scale: float = 1.0) -> Tensor:
        """See `OwnFamily`."""
        drawn = torch.randn((len(y), y.shape[2], LATENT), generator=random)
        return self._decode(scale * drawn, y)

    def _decode(self, latent: Tensor, y: Tensor) -> Tensor:
        """Latents ``[B, N, L]`` to spectra."""
        state = self.to_state(latent).unflatten(-1, (-1, 2)).permute(0, 2, 1, 3)
        return self.predict(state, 0.0, y)


class Autoregressive(SpectralFamily):
    """Frame after frame: a Gaussian for each, given the recording and the frames before.

    p(x | y) = prod_n N(x_n; m(x_{n-c..n-1}, y), sigma_n) as in van den Oord et al. 2016 ("WaveNet", equation
    1), over frames of a spectrum. The network is causal because its state is the truth so many frames later
    that its reach ends at the frame before. sigma is log-linear, bin by bin, in the magnitudes of mean and
    recording.
    """

    def __init__(self, network: dict[str, Any], bf16: bool) -> None:
        super().__init__(network, bf16)
        slopes = torch.zeros(3, int(network["n_bins"]))
        slopes[0] = math.log(0.1)
        self.slopes = nn.Parameter(slopes)

    def parts(self) -> tuple[nn.Module, ...]:
        """See `OwnFamily`."""
        return (self,)

    def means(self, x_0: Tensor, y: Tensor) -> Tensor:
        """The mean of every frame, given the true frames before it."""
        late = self.net.reach_step + 1
        return self.predict(functional.pad(x_0[:, :, :-late], (0, 0, late, 0)), 1.0, y)

    def updates(self, y: Tensor, x_0: Tensor, mask: Tensor, random: torch.Generator) -> Iterator[Update]:  # noqa: ARG002  nothing is drawn
        """See `OwnFamily`; the negative log likelihood in nats a number of a frame, without its constant."""
        mean = self.means(x_0, y)
        log_scale = self._log_scale(mean, y)
        error = (mean - x_0).square().mean(-1) * (-2 * log_scale).exp()
        yield 0, ((0.5 * error + log_scale) * mask[..., 0]).sum() / (mask.sum() * y.shape[2])

    def sample(self, y: Tensor, random: torch.Generator, scale: float = 1.0) -> Tensor:
        """See `OwnFamily`; one evaluation a frame, of the few frames that it depends on."""
        reach, n_frames = self.net.reach_step, y.shape[2]
        late = reach + 1
        recording, *features = self.net.encode(y)
        t = torch.ones(len(y))
        x = functional.pad(torch.zeros_like(y), (0, 0, late, 0))  # frame n lies at n + late
        for n in range(n_frames):
            first, stop = max(0, n - reach), min(n_frames, n + late)
            h = (recording[:, :, first:stop], *(part[..., first:stop] for part in features))
            mean = self.net(x[:, :, first:stop], t, h)[:, :, n - first : n - first + 1]
            spread = self._log_scale(mean, y[:, :, n : n + 1]).exp()[..., None]
            x[:, :, n + late : n + late + 1] = mean + scale * spread * torch.randn(
                mean.shape, generator=random
            )
        return x[:, :, late:]

    def _log_scale(self, mean: Tensor, y: Tensor) -> Tensor:
        """Logarithm of the standard deviation of every real number ``[B, F, N]``."""
        sizes = [(part.square().sum(-1) + LEAST_SCALE**2).sqrt().log() for part in (mean.detach(), y)]
        constant, on_mean, on_recording = self.slopes[:, :, None]
        log_scale: Tensor = constant + on_mean * sizes[0] + on_recording * sizes[1]
        return log_scale.clamp(math.log(LEAST_SCALE), 1.0)


OWN: dict[str, type[Gan] | type[Vae] | type[Autoregressive]] = {
    "gan": Gan,
    "vae": Vae,
    "ar": Autoregressive,
}


def _noise(like: Tensor, random: torch.Generator) -> Tensor:
    """Complex noise of variance 1."""
    return torch.randn(like.shape, generator=random) * math.sqrt(0.5)


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def _planes(spectrum: Tensor) -> Tensor:
    """Real part, imaginary part and magnitude as channels ``[B, 3, F, N]``."""
    parts = spectrum.permute(0, 3, 1, 2)
    return torch.cat([parts, (parts.square().sum(1, keepdim=True) + 1e-6).sqrt()], dim=1)


def _critic() -> nn.Module:
    """Says of every patch of a spectrum and its recording whether it is true."""
    widths = (6, 16, 32, 64)
    layers: list[nn.Module] = []
    for into, out in pairwise(widths):
        layers += [nn.Conv2d(into, out, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))
