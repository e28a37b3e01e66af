"""DNSMOS P.835 with a network that the user gives: three opinions without a reference.

Reddy et al. 2022, "DNSMOS P.835". The network, ``sig_bak_ovr.onnx`` of Microsoft's DNS Challenge, is not part
of audiodiff and is not downloaded. Around it stand the published steps: 16 kHz, windows of 9.01 s every
second, short recordings repeated, one polynomial an opinion, the mean over windows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audiodiff.errors import ConfigError
from audiodiff.evaluation.metrics import OF_DNSMOS
from audiodiff.evaluation.score import SAMPLE_RATE, Score, Signal, Unscored, at_16_khz

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FILE = "sig_bak_ovr.onnx"
WINDOW = 144_160
"""Samples of a window, 9.01 s."""

_POLYNOMIALS = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)
"""From what the network gives to an opinion, highest power first: speech, background, overall."""


class Dnsmos:
    """The network of a folder, ready to score; may be shared by threads.

    Args:
        folder: Holds ``sig_bak_ovr.onnx``.

    Raises:
        ConfigError: It does not, or the file is no such network.
    """

    names = tuple(metric.name for metric in OF_DNSMOS)

    def __init__(self, folder: Path) -> None:
        self._session = _session(folder / FILE)
        self._input = self._session.get_inputs()[0].name

    def score(self, x: NDArray[np.floating], sample_rate: int) -> dict[str, Score]:
        """Opinions of 1 to 5 by the names of their metrics.

        Args:
            x: Signal ``[T]``, full scale 1.
        """
        if x.size == 0 or not np.isfinite(x).all() or np.ptp(x) == 0:
            return dict.fromkeys(self.names, Unscored("silence", "no sound to give an opinion of"))
        raw = [self._raw(window) for window in _windows(at_16_khz(x.astype(np.float64), sample_rate))]
        columns = zip(self.names, _POLYNOMIALS, np.stack(raw).T, strict=True)
        return {name: float(np.polyval(p, values).mean()) for name, p, values in columns}

    def _raw(self, window: Signal) -> NDArray[np.float64]:
        (out,) = self._session.run(None, {self._input: window[None].astype(np.float32)})
        opinions: NDArray[np.float64] = np.asarray(out, dtype=np.float64)[0]
        return opinions


def _windows(x: Signal) -> list[Signal]:
    """Every window, one a second; as published, the last second or so of a recording may be in none."""
    while x.size < WINDOW:
        x = np.concatenate([x, x])
    count = int(x.size // SAMPLE_RATE - WINDOW / SAMPLE_RATE) + 1
    return [x[i * SAMPLE_RATE :][:WINDOW] for i in range(count)]


def _session(path: Path) -> InferenceSession:
    import onnxruntime

    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; give the folder that holds DNSMOS's {FILE}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  its exceptions have no common base but this
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{path}: cannot be run ({reason}); get DNSMOS's {FILE} again") from None
    shapes = [len(session.get_inputs()), len(session.get_outputs()), session.get_outputs()[0].shape[-1]]
    if shapes != [1, 1, len(_POLYNOMIALS)]:
        raise ConfigError(f"{path}: does not give three opinions of one sound; give DNSMOS's {FILE}")
    return session
