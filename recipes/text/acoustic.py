"""A tiny text-to-mel model: convolutions over phones, then over the frames that the phones last.

Not autoregressive. The pitch of every phone enters as a contour through the middles of the phones, from which
every low band is told where it lies between two harmonics. Letters in shapes: P phones, N frames, M bands.
Batches are recordings one after another, with their pauses between: no padding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from audiodiff.signal.mel import MelSpec, filterbank

COMB_HZ = 2000.0
"""Bands below it are told the harmonics."""

PITCH_HZ = (70.0, 450.0)
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, eq=False)
class Phones:
    """What is to be said and how.

    Attributes:
        ids: Numbers of the symbols, int64 [P].
        cues: float32 [P, 2]: logarithm of the seconds of espeak-ng, and 1 where a word begins.
        frames: How long each lasts, int64 [P], at least 1.
        log_f0: Natural logarithm of the pitch in Hz, float32 [P].
    """

    ids: NDArray[np.int64]
    cues: NDArray[np.float32]
    frames: NDArray[np.int64]
    log_f0: NDArray[np.float32]


def joined(parts: list[Phones]) -> Phones:
    """Several texts as one."""
    arrays = [(p.ids, p.cues, p.frames, p.log_f0) for p in parts]
    return Phones(*(np.concatenate(column) for column in zip(*arrays, strict=True)))


def pitch(samples: NDArray[np.float32], rate: int, hop: int, n_frames: int) -> NDArray[np.float64]:
    """Pitch by the autocorrelation of windows of three of the longest periods, divided by the window's own.

    Of the peaks that reach nine tenths of the highest, the one of the shortest period is taken, or the pitch
    would be an octave low (Boersma 1993 has a cost for that).

    Args:
        samples: [T].
        rate: Hz.
        hop: Samples from frame to frame; frame k is centred at (k + 1/2) hop.
        n_frames: N.

    Returns:
        Hz [N], NaN where there is no voice.
    """
    low, high = int(rate / PITCH_HZ[1]), int(rate / PITCH_HZ[0])
    size = 3 * high
    padded = np.pad(samples.astype(np.float64), (size, size + hop * n_frames))
    starts = size + hop // 2 - size // 2 + hop * np.arange(n_frames)
    cut = np.lib.stride_tricks.sliding_window_view(padded, size)[starts]
    window = np.hanning(size)
    cut = (cut - cut.mean(1, keepdims=True)) * window
    n_fft = 2 ** (2 * size - 1).bit_length()

    def correlation(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.fft.irfft(np.square(np.abs(np.fft.rfft(x, n_fft))))[..., : high + 2]

    own, power = correlation(window), correlation(cut)
    curve = power / np.maximum(power[:, :1], 1e-9) / (own / own[0])
    inner = curve[:, low : high + 1]
    peak = (inner >= curve[:, low - 1 : high]) & (inner >= curve[:, low + 1 : high + 2])
    heights = np.where(peak, inner, 0.0)
    top = heights.max(1)
    first = np.argmax(heights >= 0.9 * top[:, None], axis=1)
    loud = power[:, 0] > 1e-3 * np.quantile(power[:, 0], 0.95)
    return np.where((top > 0.5) & loud, rate / (low + first), np.nan)


def phone_pitch(f0: NDArray[np.float64], frames: NDArray[np.int64]) -> NDArray[np.float32]:
    """Logarithm of the median pitch of every phone [P], NaN where less than a third of it has voice."""
    values = np.full(len(frames), np.nan, dtype=np.float32)
    for i, part in enumerate(np.split(f0, np.cumsum(frames)[:-1])):
        voiced = part[np.isfinite(part)]
        if voiced.size >= 2 and 3 * voiced.size >= part.size:
            values[i] = np.log(np.median(voiced))
    return values


def filled(log_f0: NDArray[np.float32], frames: NDArray[np.int64], default: float) -> NDArray[np.float32]:
    """The same with straight lines in time through phones without voice."""
    known = np.isfinite(log_f0)
    if not known.any():
        return np.full_like(log_f0, default)
    middles = np.cumsum(frames) - frames / 2
    return np.interp(middles, middles[known], log_f0[known]).astype(np.float32)


class _Block(nn.Module):
    """Residual: normalise, convolve over time, activate, mix."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.spread = nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[1, width, any] to the same."""
        # Over the channels alone: what is said elsewhere in a batch must not matter.
        variance, mean = torch.var_mean(x, dim=1, keepdim=True)
        y = nn.functional.gelu(self.spread((x - mean) * torch.rsqrt(variance + 1e-5)))
        mixed: Tensor = x + self.dropout(self.mix(y))
        return mixed


class TextToMel(nn.Module):
    """Phones to a mel and to the prosody that it lacks when nothing is recorded.

    Attributes:
        symbols: The phones that it knows; their numbers are their places.
        spec: The convention of its mels.
    """

    def __init__(self, symbols: list[str], spec: MelSpec, width: int = 112, frame_width: int = 96) -> None:
        super().__init__()
        self.symbols, self.spec = symbols, spec
        self.embed = nn.Embedding(len(symbols), width)
        self.cue = nn.Linear(2, width)
        self.encoder = nn.Sequential(*(_Block(width, 1, 0.1) for _ in range(3)))
        self.prosody = nn.Sequential(nn.Conv1d(width, 64, 3, padding=1), nn.GELU(), nn.Conv1d(64, 2, 1))
        hz = torch.arange(spec.n_bins) * (spec.sample_rate / spec.n_fft)
        bank = filterbank(spec)
        centres = (bank @ hz) / bank.sum(1)
        self.centres: Tensor
        self.pace: Tensor
        self.register_buffer("centres", centres[centres < COMB_HZ], persistent=False)
        n_comb = int((centres < COMB_HZ).sum())
        self.enter = nn.Conv1d(width + 4 + n_comb, frame_width, 1)
        self.decoder = nn.Sequential(*(_Block(frame_width, d, 0.0) for d in (1, 2, 4, 1)))
        self.leave = nn.Conv1d(frame_width, spec.n_mels, 1)
        self.mel_mean: Tensor
        self.mel_std: Tensor
        self.f0: Tensor
        self.register_buffer("mel_mean", torch.zeros(spec.n_mels, 1))
        self.register_buffer("mel_std", torch.ones(()))
        self.register_buffer("f0", torch.tensor([5.2, 0.2]))  # mean and deviation of ln Hz
        self.register_buffer("pace", torch.tensor(4.5))  # mean ln of frames a second of espeak-ng

    def _encoded(self, phones: Phones) -> Tensor:
        """What the phones are among their neighbours, [1, width, P]."""
        cues = torch.from_numpy(phones.cues)
        cues = torch.stack([cues[:, 0] + 2.5, cues[:, 1]], 1)  # ln of a phone's seconds lies about -2.5
        embedded = self.embed(torch.from_numpy(phones.ids)) + self.cue(cues)
        encoded: Tensor = self.encoder(embedded.T[None])
        return encoded

    def forward(self, phones: Phones) -> tuple[Tensor, Tensor]:
        """The mel and what the model thinks of durations and pitch.

        Args:
            phones: Timed and pitched.

        Returns:
            Normalised mel [M, N]; [2, P]: ln of frames over espeak-ng's seconds minus `pace`, and pitch in
            deviations from the mean.
        """
        encoded = self._encoded(phones)
        frames = torch.from_numpy(phones.frames)
        owner = torch.repeat_interleave(frames)
        along = torch.arange(len(owner)) - (torch.cumsum(frames, 0) - frames)[owner] + 0.5
        last = frames[owner].float()
        log_f0 = torch.from_numpy(self._contour(phones))
        comb = torch.cos(2 * torch.pi * self.centres[:, None] / torch.exp(log_f0))
        clues = torch.stack([along / last, along.log() - 1, (last - along).log() - 1, self._scaled(log_f0)])
        frame = torch.cat([encoded[0][:, owner], clues, comb])[None]
        return self.leave(self.decoder(self.enter(frame)))[0], self.prosody(encoded)[0]

    def _contour(self, phones: Phones) -> NDArray[np.float32]:
        """Logarithm of the pitch [N], straight from middle to middle of the phones."""
        ends = np.cumsum(phones.frames)
        middles = ends - phones.frames / 2
        return np.interp(np.arange(ends[-1]) + 0.5, middles, phones.log_f0).astype(np.float32)

    def _scaled(self, log_f0: Tensor) -> Tensor:
        return (log_f0 - self.f0[0]) / self.f0[1]

    def normalised(self, values: Tensor) -> Tensor:
        """Mel in the convention's numbers [M, N] as the model makes it."""
        return (values - self.mel_mean) / self.mel_std

    def wanted(self, phones: Phones) -> Tensor:
        """What `forward` should think of the prosody of a recording [2, P]; NaN for phones without voice."""
        pace = torch.from_numpy(phones.frames).log() - torch.from_numpy(phones.cues[:, 0]) - self.pace
        return torch.stack([pace, self._scaled(torch.from_numpy(phones.log_f0))])

    @torch.inference_mode()
    def mel(self, phones: Phones) -> Tensor:
        """Mel [M, N] in the convention's numbers, timed and pitched as the phones say."""
        return self(phones)[0] * self.mel_std + self.mel_mean

    @torch.inference_mode()
    def planned(self, ids: NDArray[np.int64], cues: NDArray[np.float32]) -> Phones:
        """Phones with the model's own durations and pitch."""
        bare = Phones(ids, cues, np.ones_like(ids), np.zeros(len(ids), np.float32))
        pace, pitch = self.prosody(self._encoded(bare))[0]
        frames = torch.exp(pace + self.pace + torch.from_numpy(cues[:, 0])).round().clamp(1, 200).long()
        log_f0 = (pitch.clamp(-3, 3) * self.f0[1] + self.f0[0]).float()
        return Phones(ids, cues, frames.numpy(), log_f0.numpy())

    def numbers(self, symbols: tuple[str, ...]) -> NDArray[np.int64]:
        """Numbers of symbols [P]; one without its last marks where it is unknown.

        Raises:
            ValueError: If a phone never came up in the training.
        """
        return np.array([self._number(s) for s in symbols])

    def _number(self, symbol: str) -> int:
        for end in range(len(symbol), 0, -1):
            if symbol[:end] in self.symbols:
                return self.symbols.index(symbol[:end])
        if symbol == "":
            return self.symbols.index("")
        raise ValueError(f"the phone {symbol!r} is not among those that the model learnt; use other words")


def save(folder: Path, model: TextToMel) -> None:
    """Write weights in half precision with symbols and convention."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.half().contiguous() for k, v in model.state_dict().items()}
    metadata = {"symbols": json.dumps(model.symbols), "mel_spec": json.dumps(model.spec.as_dict())}
    safetensors.torch.save_file(tensors, folder / WEIGHTS, metadata)


def load(folder: Path) -> TextToMel:
    """Read what `save` wrote.

    Raises:
        OSError: If there is no such file.
    """
    with safetensors.safe_open(folder / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    model = TextToMel(json.loads(metadata["symbols"]), MelSpec.from_dict(json.loads(metadata["mel_spec"])))
    model.load_state_dict(tensors)
    return model.eval()
