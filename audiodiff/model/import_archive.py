"""Reads what ``torch.save`` wrote (a zip archive, torch 1.6 and newer) without running anything in it."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audiodiff.errors import ModelError
from audiodiff.model.import_opcodes import interpret

MAX_MEMBERS = 65_536
MAX_PROGRAM = 16 * 2**20
"""Bytes of the program; a checkpoint of 254 tensors with its optimiser takes 80 kB."""
MAX_BYTES = 4 * 2**30
"""Bytes of all storages together."""
# What zipfile raises for broken archives: names that are no text, sizes and places that cannot be.
_DAMAGED = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


def read_checkpoint(path: Path) -> Any:
    """The tensors and plain values of a torch checkpoint.

    Args:
        path: File written by ``torch.save``.

    Returns:
        What was saved, with dictionaries for ordered ones.

    Raises:
        ModelError: The file cannot be read (code ``missing``), is damaged or of an older format
            (``damaged``), or holds or asks for anything but tensors and plain values (``refused``).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            storages = _Storages(archive, members)
            if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
                raise ModelError("the checkpoint is big-endian; save it on another machine", code="refused")
            return interpret(archive.read(members["data.pkl"]), storages.read)
    except ModelError as error:
        raise ModelError(f"{path}: {error}", code=error.code) from None
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror or error}); check the path", code="missing"
        ) from None
    except _DAMAGED as error:
        raise ModelError(
            f"{path}: is no zip archive of torch ({error}); files older than torch 1.6 must be saved again",
            code="damaged",
        ) from None


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's files by their names below its one folder, all sizes within bounds."""
    found = archive.infolist()
    if len(found) > MAX_MEMBERS:
        raise ModelError(f"the checkpoint has {len(found)} parts, more than {MAX_MEMBERS}", code="refused")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in found:
        _, _, name = info.filename.partition("/")
        # torch stores without compression, so a part is never larger than the file that holds it
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ModelError(f"part {name} is compressed, which torch never does", code="refused")
        if name in members:
            raise ModelError(f"part {name} is there twice", code="refused")
        members[name] = info
    if "data.pkl" not in members:
        raise ModelError("there is no data.pkl in it; is it a checkpoint of torch?", code="refused")
    sizes = members["data.pkl"].file_size, sum(info.file_size for info in found)
    if sizes[0] > MAX_PROGRAM or sizes[1] > MAX_BYTES:
        raise ModelError(f"the checkpoint is too large: {sizes[0]} and {sizes[1]} bytes", code="refused")
    return members


@dataclass
class _Storages:
    """The storages of an archive, each read once."""

    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]
    read_before: dict[str, Tensor] = field(default_factory=dict)

    def read(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        """The values [count] of a storage; see `opcodes.StorageReader`."""
        if key not in self.read_before:
            name = f"data/{key}"
            if name not in self.members:
                raise ModelError(f"part {name} is missing; get the checkpoint again", code="damaged")
            expected, found = count * dtype.itemsize, self.members[name].file_size
            if found != expected:
                raise ModelError(f"part {name} has {found} bytes, expected {expected}", code="damaged")
            raw = bytearray(self.archive.read(self.members[name]))
            self.read_before[key] = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        values = self.read_before[key]
        if values.dtype != dtype or values.numel() != count:
            raise ModelError(f"storage {key} is read in two ways", code="damaged")
        return values
