"""Names of the arrays that hold audio: [C, T], or [T] where a docstring says so, full scale 1."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Audio: TypeAlias = npt.NDArray[np.float32]

Samples: TypeAlias = npt.NDArray[np.floating[Any]]
"""float32, or float64 where a file holds more than float32 does."""
