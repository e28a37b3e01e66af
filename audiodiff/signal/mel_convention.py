"""The tuple that says what the numbers of a mel spectrogram mean.

Imports no torch, so that commands and model folders can name a convention cheaply.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from audiodiff.errors import ConfigError, MelError
from audiodiff.settings import parse


@dataclass(frozen=True)
class MelSpec:
    """A mel convention, complete: two mels may be compared if and only if these values agree.

    The numbers of a mel are made in this order, for every frame of the short-time Fourier transform X:
    s = sqrt(max(|X|^2, power_floor) + epsilon)^power, divided by (sum of squared window)^(power/2) if
    `normalized`; b = filter bank times s; l = log of max(b, floor) (or of b + floor); the value is
    (l - mean) / std, cut to [low, high].

    Attributes:
        n_fft: Transform length in samples, even.
        hop: Distance of two frames in samples.
        win: Window length in samples, at most n_fft; shorter windows lie in the middle of the transform.
        f_min: Lower edge of the lowest band in Hz.
        f_max: Upper edge of the highest band in Hz.
        n_mels: M, the number of bands.
        scale: Mel scale; ``slaney``: linear below 1 kHz; ``htk``: 2595 log10(1 + f / 700).
        norm: ``slaney``: triangles of unit area over Hz; ``none``: triangles of unit height.
        framing: ``centre``: frame k is centred on sample k hop, T samples have 1 + T // hop frames;
            ``edge``: frame k is centred on sample k hop + hop / 2, T samples have T // hop frames.
        padding: What lies outside the recording: its mirror image or zeros.
        window: Hann window, periodic or (``hann_symmetric``) with equal ends.
        filter_rate: Sample rate that the filter bank was laid out for in Hz; 0 means `sample_rate`.
        power: 1 for magnitudes, 2 for powers.
        epsilon: Added to |X|^2 before the root.
        power_floor: Lower limit of |X|^2 before the root.
        normalized: Whether the spectrum is divided by the window's root energy.
        log: ``ln``, ``log10`` or ``db``, which is 20 log10.
        floor: Smallest band value, positive.
        floor_rule: ``max``: larger of band and floor; ``add``: their sum.
        mean: Subtracted from the logarithm.
        std: Positive divisor after that.
        low: Lower cut of the final value, or None.
        high: Upper cut of the final value, or None.

    Raises:
        MelError: Values that do not fit together.
    """

    sample_rate: int
    n_fft: int
    hop: int
    win: int
    f_min: float
    f_max: float
    n_mels: int
    scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney", "none"] = "slaney"
    framing: Literal["centre", "edge"] = "centre"
    padding: Literal["reflect", "zeros"] = "reflect"
    window: Literal["hann", "hann_symmetric"] = "hann"
    filter_rate: int = 0
    power: int = 1
    epsilon: float = 0.0
    power_floor: float = 0.0
    normalized: bool = False
    log: Literal["ln", "log10", "db"] = "ln"
    floor: float = 1e-5
    floor_rule: Literal["max", "add"] = "max"
    mean: float = 0.0
    std: float = 1.0
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for wrong, line in _range_faults(self):
            if wrong:
                raise MelError(f"not a mel convention: {line}")

    @property
    def n_bins(self) -> int:
        """F, the number of frequency bins."""
        return self.n_fft // 2 + 1

    @property
    def bank_rate(self) -> int:
        """Sample rate in Hz that the filter bank is laid out for."""
        return self.filter_rate or self.sample_rate

    @property
    def pad(self) -> int:
        """Samples that are added at each end before the first transform."""
        return self.n_fft // 2 if self.framing == "centre" else (self.n_fft - self.hop) // 2

    @property
    def first_centre(self) -> int:
        """Sample on which frame 0 is centred; frame k is centred on first_centre + k hop."""
        return 0 if self.framing == "centre" else self.hop // 2

    def n_frames(self, n_samples: int) -> int:
        """N, the frames of a recording of n_samples samples; at least 1, see `audiodiff.signal.mel.mel`."""
        whole = n_samples // self.hop
        return 1 + whole if self.framing == "centre" else max(1, whole)

    def span(self, n_frames: int) -> int:
        """Samples that n_frames frames span: from the first centre to the last, or from edge to edge."""
        return (n_frames - 1 if self.framing == "centre" else n_frames) * self.hop

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the SHA-256 of all values; equal for equal conventions."""
        values = self.as_dict() | {"filter_rate": self.bank_rate}
        # 80 and 80.0 are one value: numbers count as floats.
        same = {k: float(v) if isinstance(v, int | float) else v for k, v in values.items()}
        text = json.dumps(same, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def describe(self) -> str:
        """One line with every value that is not the usual one."""
        floor = f"max(x, {self.floor:g})" if self.floor_rule == "max" else f"x + {self.floor:g}"
        unit = "magnitude" if self.power == 1 else "power"
        parts = [
            f"{self.sample_rate} Hz",
            f"n_fft {self.n_fft} hop {self.hop} win {self.win} {self.window}",
            f"{self.framing} {self.padding}",
            f"{self.n_mels} bands {self.f_min:g}-{self.f_max:g} Hz {self.scale}/{self.norm}",
            unit + (" / window energy" if self.normalized else ""),
            f"{self.log} {floor}",
        ]
        if self.bank_rate != self.sample_rate:
            parts.append(f"filters laid out for {self.bank_rate} Hz")
        if self.epsilon:
            parts.append(f"|X|^2 + {self.epsilon:g}")
        if self.power_floor:
            parts.append(f"|X|^2 >= {self.power_floor:g}")
        if (self.mean, self.std) != (0, 1):
            parts.append(f"(log - {self.mean:g}) / {self.std:g}")
        if self.low is not None or self.high is not None:
            parts.append(f"cut to [{self.low}, {self.high}]")
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in the order of the attributes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MelSpec:
        """Undo `as_dict`.

        Args:
            values: Names and values; what has a default may be missing.

        Raises:
            MelError: An unknown or missing name, a wrong type or a value out of range.
        """
        try:
            return parse(cls, values, "not a mel convention")
        except ConfigError as error:
            raise MelError(str(error)) from None


def _range_faults(spec: MelSpec) -> list[tuple[bool, str]]:
    top = spec.bank_rate / 2
    return [
        (spec.sample_rate < 1 or spec.filter_rate < 0, "sample rates must be positive"),
        (spec.n_fft < 2 or spec.n_fft % 2 != 0, f"n_fft must be even and positive, got {spec.n_fft}"),
        (not 1 <= spec.win <= spec.n_fft, f"win must lie in 1..n_fft = {spec.n_fft}, got {spec.win}"),
        (not 1 <= spec.hop <= spec.n_fft, f"hop must lie in 1..n_fft = {spec.n_fft}, got {spec.hop}"),
        (spec.framing == "edge" and spec.hop % 2 != 0, f"edge framing needs an even hop, got {spec.hop}"),
        (
            not 0 <= spec.f_min < spec.f_max <= top,
            f"0 <= f_min < f_max <= {top:g} Hz does not hold for {spec.f_min:g}, {spec.f_max:g}",
        ),
        (spec.power not in (1, 2), f"power must be 1 or 2, got {spec.power}"),
        (spec.n_mels < 1, f"n_mels must be positive, got {spec.n_mels}"),
        (not spec.floor > 0, f"the floor must be positive, got {spec.floor:g}"),
        (not spec.std > 0, f"std must be positive, got {spec.std:g}"),
        (spec.epsilon < 0 or spec.power_floor < 0, "epsilon and power_floor must not be negative"),
        (
            spec.low is not None and spec.high is not None and spec.low >= spec.high,
            f"low {spec.low} must lie under high {spec.high}",
        ),
    ]
