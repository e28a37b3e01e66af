"""What the log of a run is also told to: a table for spreadsheets, and TensorBoard if that is wanted."""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from audiodiff.extras import install_hint

COLUMNS = (
    "kind", "step", "minutes", "loss", "trivial", "lr", "grad_norm", "audio_per_s", "data_wait",
    "pesq_wb", "estoi", "si_sdr",
)  # fmt: skip
"""Of the table; a field is empty where an entry has no such number. What nests stays in the log alone."""
_KINDS = ("step", "valid")


class Mirror(Protocol):
    """Takes every entry that the log takes."""

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """Take one entry."""
        ...

    def close(self) -> None:
        """Bring what was taken to the disk."""
        ...


class Table:
    """``log.csv``: the numbers of steps and validations, a row each."""

    def __init__(self, path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
        """Begin the table anew with the entries that a resumed run keeps."""
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.DictWriter(self._file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        self._rows.writeheader()
        for entry in entries:
            self.write(entry["kind"], entry)

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """See `Mirror`."""
        if kind in _KINDS:
            self._rows.writerow({**values, "kind": kind})
            self._file.flush()

    def close(self) -> None:
        """See `Mirror`."""
        self._file.close()


class Board:
    """TensorBoard events of the same numbers, as ``step/loss``, ``valid/pesq_wb`` and so on."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Write to a folder; what an earlier run wrote there from `first_step` on is hidden."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=first_step)

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """See `Mirror`."""
        if kind not in _KINDS:
            return
        for name in COLUMNS[2:]:
            if isinstance(number := values.get(name), int | float):
                self._writer.add_scalar(f"{kind}/{name}", number, values["step"])

    def close(self) -> None:
        """See `Mirror`."""
        self._writer.close()


def open_mirrors(folder: Path, entries: Sequence[Mapping[str, Any]], with_board: bool) -> list[Mirror]:
    """The mirrors of a run's log; where TensorBoard is wanted and missing, a line says so.

    Args:
        folder: The run's folder.
        entries: What the log holds already.
        with_board: Whether TensorBoard is wanted.
    """
    mirrors: list[Mirror] = [Table(folder / "log.csv", entries)]
    if with_board and importlib.util.find_spec("tensorboard") is None:
        hint = install_hint("board")
        sys.stderr.write(f"audiodiff: no TensorBoard events: tensorboard is not installed; {hint}\n")
    elif with_board:
        first = 1 + max((entry["step"] for entry in entries if entry["kind"] in _KINDS), default=0)
        mirrors.append(Board(folder / "tensorboard", first))
    return mirrors
