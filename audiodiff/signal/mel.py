"""Mel spectrograms: the only implementation, for every convention of `mel_presets.PRESETS`.

Letters in shapes: T samples, F = n_fft/2 + 1 frequency bins, M mel bands, N frames; ``...`` leading axes.
"""

from __future__ import annotations

import math
from dataclasses import fields
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from audiodiff.errors import MelError, ShapeError
from audiodiff.signal.mel_bands import mel_filters
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_presets import PRESETS
from audiodiff.signal.stft import transform_frames

__all__ = [
    "PRESETS",
    "MelSpec",
    "analysis_window",
    "convert",
    "difference",
    "filterbank",
    "from_linear_mel",
    "mel",
    "stft",
    "to_linear_mel",
]

_FRAMES_AT_ONCE = 4096
_LOG_UNIT = {"ln": 1.0, "log10": math.log(10), "db": math.log(10) / 20}  # nepers of one unit of the logarithm


def analysis_window(spec: MelSpec) -> Tensor:
    """The convention's window in the middle of its transform, float64 [n_fft]."""
    periodic = spec.window == "hann"
    window = torch.hann_window(spec.win, periodic=periodic, dtype=torch.float64)
    left = (spec.n_fft - spec.win) // 2
    return functional.pad(window, (left, spec.n_fft - spec.win - left))


@lru_cache(maxsize=32)
def filterbank(spec: MelSpec) -> Tensor:
    """The filters of `mel_bands.mel_filters`: float32 [M, F], shared by all callers, not to be written to."""
    with torch.inference_mode(False):  # whoever asks first: a training may ask after a validation
        return _filters(spec).float()


def _filters(spec: MelSpec) -> Tensor:
    return torch.from_numpy(mel_filters(spec))


def stft(wave: Tensor, spec: MelSpec) -> Tensor:
    """Short-time Fourier transform with the convention's window, frames and padding.

    Args:
        wave: Real samples [..., T].

    Returns:
        Complex [..., F, N] with N = spec.n_frames(T), scaled as ``torch.stft(normalized=False)``.

    Raises:
        ShapeError: If there are no samples.
    """
    return _transform(_padded(wave, spec), spec, 0, spec.n_frames(wave.shape[-1]))


def mel(wave: Tensor, spec: MelSpec) -> Tensor:
    """The mel spectrogram in the convention's own numbers.

    No clip is too short. A recording that is shorter than the mirror image that the convention asks for is
    mirrored again and again (a single sample is repeated); with ``edge`` framing a recording shorter than
    one hop is filled up to one hop with zeros first, so that there is a frame.

    Args:
        wave: float32 or float64 samples [..., T] at spec.sample_rate, full scale 1.

    Returns:
        [..., M, N] with N = spec.n_frames(T), of the type of wave.

    Raises:
        ShapeError: If there are no samples.
    """
    padded = _padded(wave, spec)
    n_frames = spec.n_frames(wave.shape[-1])
    filters = _filters(spec).to(wave)
    # In pieces, or an hour of audio would take gigabytes: every sample lies in several windows.
    pieces = [
        from_linear_mel(
            filters @ _spectrum(_transform(padded, spec, i, min(i + _FRAMES_AT_ONCE, n_frames)), spec), spec
        )
        for i in range(0, n_frames, _FRAMES_AT_ONCE)
    ]
    return torch.cat(pieces, dim=-1)


def _spectrum(z: Tensor, spec: MelSpec) -> Tensor:
    """What the filter bank weighs, in the unit of the plain transform: |X| or |X|^2 with its safeguards."""
    if not (spec.epsilon or spec.power_floor or spec.power == 2):
        return z.abs()  # the root of a sum of squares would lose small magnitudes in float32
    power = z.real.square() + z.imag.square()
    power = power.clamp_min(spec.power_floor) + spec.epsilon
    return power.sqrt() if spec.power == 1 else power


def _padded(wave: Tensor, spec: MelSpec) -> Tensor:
    """The samples with what the convention puts before and after them."""
    if wave.ndim == 0 or wave.shape[-1] == 0:
        raise ShapeError("a mel spectrogram needs at least one sample, got none")
    if spec.framing == "edge":
        wave = functional.pad(wave, (0, max(0, spec.hop - wave.shape[-1])))
    if spec.padding == "zeros":
        return functional.pad(wave, (spec.pad, spec.pad))
    n = wave.shape[-1]
    before = _mirrored(torch.arange(-spec.pad, 0, device=wave.device), n)
    after = _mirrored(torch.arange(n, n + spec.pad, device=wave.device), n)
    return torch.cat([wave[..., before], wave, wave[..., after]], dim=-1)


def _mirrored(index: Tensor, n: int) -> Tensor:
    """Positions outside 0..n-1, mirrored at the first and last sample as often as it takes."""
    period = max(2 * (n - 1), 1)
    folded = index.remainder(period)
    return torch.where(folded < n, folded, period - folded)


def _transform(padded: Tensor, spec: MelSpec, first: int, stop: int) -> Tensor:
    """Frames first..stop of the padded samples, complex [..., F, stop - first]."""
    part = padded[..., first * spec.hop : (stop - 1) * spec.hop + spec.n_fft]
    return transform_frames(part, analysis_window(spec).to(part), spec.n_fft, spec.hop)


def to_linear_mel(values: Tensor, spec: MelSpec) -> Tensor:
    """Linear band values filterbank(spec) @ |X|^power, X the plain transform of `stft`.

    Undoes `from_linear_mel`. What lay at the floor or beyond a cut comes back as that limit; epsilon and
    power_floor, which act before the filter bank, stay in the values.

    Args:
        values: [..., M, N] in the convention's own numbers.

    Returns:
        [..., M, N], not negative.

    Raises:
        ShapeError: If there are not M bands on the second last axis.
    """
    _check_bands(values, spec)
    linear = torch.exp((values * spec.std + spec.mean) * _LOG_UNIT[spec.log])
    if spec.floor_rule == "add":
        linear = (linear - spec.floor).clamp_min(0)
    return linear * _unit(spec)


def from_linear_mel(linear_mel: Tensor, spec: MelSpec) -> Tensor:
    """The convention's own numbers for linear band values; undoes `to_linear_mel`.

    Args:
        linear_mel: [..., M, N], not negative, in the unit of `to_linear_mel`.

    Returns:
        [..., M, N].

    Raises:
        ShapeError: If there are not M bands on the second last axis.
    """
    _check_bands(linear_mel, spec)
    linear = linear_mel / _unit(spec)
    linear = linear.clamp_min(spec.floor) if spec.floor_rule == "max" else linear + spec.floor
    values = (torch.log(linear) / _LOG_UNIT[spec.log] - spec.mean) / spec.std
    return values if spec.low is None and spec.high is None else values.clamp(spec.low, spec.high)


def _unit(spec: MelSpec) -> float:
    """Plain band value of 1 in the convention's unit: (sum of squared window)^(power / 2) if normalized."""
    if not spec.normalized:
        return 1.0
    energy = float(analysis_window(spec).square().sum())
    return energy if spec.power == 2 else math.sqrt(energy)


def _check_bands(values: Tensor, spec: MelSpec) -> None:
    if values.ndim < 2 or values.shape[-2] != spec.n_mels:
        raise ShapeError(
            f"expected a mel [..., {spec.n_mels} bands, frames], got shape {list(values.shape)}; transpose?"
        )


_FRAMES = "the frames see other stretches of the recording"
_MIXTURE = "the bands are other mixtures of frequencies"
_REFUSED = {
    "sample_rate": _FRAMES,
    "n_fft": _FRAMES,
    "hop": _FRAMES,
    "win": _FRAMES,
    "n_mels": _MIXTURE,
    "f_min": _MIXTURE,
    "f_max": _MIXTURE,
    "scale": _MIXTURE,
    "norm": _MIXTURE,
    "filter_rate": _MIXTURE,
    "power": "a sum of squares is not the square of a sum",
}
"""What no arithmetic on the numbers can change, and why."""


def difference(a: MelSpec, b: MelSpec) -> list[str]:
    """What separates two conventions.

    Returns:
        One line a difference, such as ``hop: 256 against 300``; empty for the same convention.
    """
    return [f"{name}: {_word(a, name)} against {_word(b, name)}" for name in _differing(a, b)]


def _differing(a: MelSpec, b: MelSpec) -> list[str]:
    return [f.name for f in fields(MelSpec) if _value(a, f.name) != _value(b, f.name)]


def _value(spec: MelSpec, name: str) -> object:
    if name == "filter_rate" and spec.bank_rate == spec.sample_rate:
        return "its own"
    return getattr(spec, name)


def _word(spec: MelSpec, name: str) -> str:
    value = _value(spec, name)
    return f"{value:g}" if isinstance(value, float) else str(value)


def convert(values: Tensor, source: MelSpec, target: MelSpec) -> tuple[Tensor, bool, str]:
    """Rewrite a mel in the numbers of another convention, where that is possible.

    Exact means that every band has the value that the other convention computes, up to the larger of the
    two floors; where the frame grids lie half a hop apart, for the recording shifted by that half hop. The
    result is approximate if the windows or what lies outside the recording differ, or if cells lie at a
    limit of the source that the target does not have.

    Args:
        values: [..., M, N] in the numbers of source.

    Returns:
        The new values [..., M, N], whether they are exact, and one line that says what was done.

    Raises:
        MelError: Code ``convention``: there is no such map; the line says why and what to do.
        ShapeError: If there are not M bands on the second last axis.
    """
    _check_bands(values, source)
    apart = _differing(source, target)
    refused = [name for name in apart if name in _REFUSED]
    if refused:
        lines = [f"{name} {_word(source, name)} against {_word(target, name)}" for name in refused]
        why = " and ".join(dict.fromkeys(_REFUSED[name] for name in refused))
        raise MelError(
            f"this mel cannot be rewritten in the other convention: {', '.join(lines)}; {why}: "
            "rebuild the waveform from it and compute the mel anew",
            code="convention",
        )
    if not apart:
        return values, True, "exact: the same convention"
    wide = values.double()
    # Not below what the other convention makes of silence: its safeguards lift every band.
    linear = torch.maximum(to_linear_mel(wide, source), _silence(target))
    losses = _approximations(wide, source, target)
    notes = _exact_steps(source, target, apart) + losses
    kind = "approximate" if losses else "exact"
    return from_linear_mel(linear, target).to(values.dtype), not losses, f"{kind}: {'; '.join(notes)}"


def _silent_bands(spec: MelSpec) -> Tensor:
    """Band values of digital silence before floor and logarithm, float64 [M, 1]: the root's safeguards."""
    zero = torch.zeros(spec.n_bins, 1, dtype=torch.complex128)
    return _filters(spec) @ _spectrum(zero, spec)


def _silence(spec: MelSpec) -> Tensor:
    """The smallest plain band values that the convention can tell, float64 [M, 1]."""
    return to_linear_mel(from_linear_mel(_silent_bands(spec), spec), spec)


def _exact_steps(source: MelSpec, target: MelSpec, apart: list[str]) -> list[str]:
    notes = []
    if {"log", "floor", "floor_rule", "mean", "std", "low", "high", "normalized"} & set(apart):
        notes.append("logarithm, floor and scaling rewritten")
    if {"epsilon", "power_floor"} & set(apart):
        moved = float((_silent_bands(source) - _silent_bands(target)).abs().max())
        notes.append(f"the safeguard of the root differs and moves no band by more than {moved:.1g}")
    if "framing" in apart:
        half = source.hop // 2
        way = "later" if target.framing == "edge" else "earlier"
        edge = -(-source.n_fft // 2 // source.hop)
        notes.append(
            f"read as {target.framing}-framed, the frames are those of the recording {half} samples "
            f"({1000 * half / source.sample_rate:.1f} ms) {way}, the first and last {edge} frames excepted"
        )
    return notes


def _approximations(wide: Tensor, source: MelSpec, target: MelSpec) -> list[str]:
    notes = []
    if source.window != target.window:
        notes.append("the windows differ, bands by 0.1 % on average, more where a frame is quiet")
    if source.padding != target.padding:
        notes.append("what lies outside the recording differs, so do the first and last frames")
    linear, lowest = to_linear_mel(wide, source), _silence(source)
    lost = (linear <= lowest * (1 + 1e-5)) & (lowest > _silence(target) * (1 + 1e-5))
    if bool(lost.any()):
        notes.append(
            f"{int(lost.sum())} of {lost.numel()} cells lie at the source's floor, "
            f"band value {float(lowest.max()):.1g}, and stay there"
        )
    if source.high is not None and _ceiling(source) < _ceiling(target) * (1 - 1e-5):
        cut = int((wide >= source.high).sum())
        notes += [f"{cut} of {wide.numel()} cells lie at the source's upper cut and stay there"] * (cut > 0)
    return notes


def _ceiling(spec: MelSpec) -> float:
    """The largest plain band value that the convention can tell."""
    if spec.high is None:
        return math.inf
    return math.exp((spec.high * spec.std + spec.mean) * _LOG_UNIT[spec.log]) * _unit(spec)
