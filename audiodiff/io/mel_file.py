"""Mel spectrograms in files: ``.npz`` and ``.safetensors`` carry their convention, ``.npy`` is a bare array.

Nothing is ever unpickled. Files get their name when they are complete, as audio files do.
"""

from __future__ import annotations

import io
import json
import os
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
import torch

from audiodiff.errors import AudioFileError, MelError
from audiodiff.io.byte_edit import cannot_open, open_binary
from audiodiff.io.formats import display_path
from audiodiff.io.output_checks import check_existing, small_output
from audiodiff.signal.mel import difference
from audiodiff.signal.mel_convention import MelSpec
from audiodiff.signal.mel_guess import Guess, conventions_of, guess, looks_like, too_loud
from audiodiff.signal.mel_presets import PRESETS, get_convention, names_of

SUFFIXES = (".npz", ".safetensors", ".npy")
"""Suffixes of mel files."""

_VALUES, _SPEC = "values", "mel_spec"
_PICKLES = {".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
# What the readers raise for broken files; a header that lies about the size runs out of memory.
_DAMAGED = (
    ValueError,
    TypeError,
    EOFError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    RuntimeError,  # an encrypted archive
    SyntaxError,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
    safetensors.SafetensorError,
)
_SPEC_CHARACTERS = 10_000
_SHOWN = 6
# The year zip files begin with: equal mels give equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)

Values = npt.NDArray[np.float32]

Axes = Literal["bands-first", "frames-first"]
"""Which way a bare array lies: [bands, frames] or [frames, bands]."""


@dataclass(frozen=True)
class MelFile:
    """A mel read from a file.

    Attributes:
        values: float32 [M, N] in the convention's own numbers.
        stored: Whether the file named it; if not, it was given by the caller or guessed.
        guesses: For a guessed convention all guesses, the best first; else empty.
        note: One line: what was guessed, transposed or squeezed, and why; empty if nothing was.
    """

    values: Values
    spec: MelSpec
    stored: bool
    guesses: tuple[Guess, ...]
    note: str


def read_mel(path: Path, preset: str | None = None, axes: Axes | None = None) -> MelFile:
    """Read a mel file.

    Args:
        path: ``.npy`` (an array), ``.npz`` (``values``, ``mel_spec``; or one bare array) or ``.safetensors``
            (likewise, ``mel_spec`` in the metadata).
        preset: The convention of a bare array, a key of `PRESETS`; None lets a bare array be guessed.
        axes: How a bare array lies; None lets its shape tell, which a square one cannot.

    Returns:
        The mel, [bands, frames] whatever the orientation of a bare array was; `MelFile.note` says so.

    Raises:
        AudioFileError: The file cannot be read, or holds no finite mel.
        MelError: The file names another convention than preset, does not fit it, or fits none; code ``axes``
            for a square array of which nobody said how it lies.
    """
    given = None if preset is None else get_convention(preset)
    array, text = _load(path)
    array, notes = _two_axes(array, path)
    if text is not None:
        spec = _stored_spec(text, path)
        if given is not None and given.fingerprint != spec.fingerprint:
            lines = ", ".join(difference(spec, given))
            raise MelError(
                f"{display_path(path)}: the file's convention is not {preset}: {lines}; leave out the name"
            )
        if array.shape[0] != spec.n_mels:
            raise AudioFileError(
                f"{display_path(path)}: {array.shape[0]} rows where its convention has {spec.n_mels} bands; "
                "the file is damaged, compute it again"
            )
        return MelFile(array, spec, True, (), "; ".join(notes))
    array, turned = _laid(array, axes, given, path)
    notes += turned
    if given is not None:
        array, turned = _turned(array, given, axes, path)
        _check_level(array, given, preset, path)
        if seems := looks_like(array):
            turned.append(f"taken as {preset}, though {seems}")
        return MelFile(array, given, False, (), "; ".join([*notes, *turned]))
    guesses = tuple(guess(array, either_way=axes is None))
    if not guesses:
        raise MelError(
            f"{display_path(path)}: a bare array {list(array.shape)} with values from {array.min():.4g} to "
            f"{array.max():.4g} fits no known mel convention; {_advice(array)}"
        )
    best = guesses[0]
    array = array if best.orientation == "bands_first" else np.ascontiguousarray(array.T)
    seems = looks_like(array)
    notes += [guess_line(guesses), *([seems] if seems.startswith("it looks standardised") else [])]
    return MelFile(array, PRESETS[best.preset], False, guesses, "; ".join(notes))


def _advice(array: Values) -> str:
    """What to do with an array that fits no convention."""
    names = conventions_of(array)
    if not names:
        bands = sorted({spec.n_mels for spec in PRESETS.values()})
        return f"conventions have {', '.join(map(str, bands))} bands: compute the mel by one of them"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    listed = f"{', '.join(names[:_SHOWN])}{more}"
    known = f"bring it into the numbers of a convention with as many bands ({listed})"
    seems = looks_like(array)
    return f"{seems}; {known}" if seems else f"{known}, and name that"


def _check_level(array: Values, spec: MelSpec, name: str | None, path: Path) -> None:
    """Refuse numbers that are not of this scale, before an overflow looks like a fault of the processing."""
    if too_loud(torch.from_numpy(array), spec):
        raise MelError(
            f"{display_path(path)}: with values from {array.min():.4g} to {array.max():.4g} this is no mel "
            f"of {name}; {_advice(array)}"
        )


def guess_line(guesses: tuple[Guess, ...]) -> str:
    """What is told of a guessed convention.

    Returns:
        One line with the guess, its reason, the runner-up and what fits as well.
    """
    best, *others = guesses
    turn = "[bands, frames]" if best.orientation == "bands_first" else "[frames, bands], transposed"
    line = f"the convention is not stored, guessed: {best.preset} {turn} ({best.confidence:.0%}): {best.why}"
    if not others:
        return f"{line}; no other fits"
    line += f"; runner-up {others[0].preset} ({others[0].confidence:.0%}): {others[0].why}"
    near = [other.preset for other in others[1:] if other.confidence > 0.5 * best.confidence]
    return line + (f"; nearly as likely: {', '.join(near)}" if near else "")


def write_mel(path: Path, values: Values, spec: MelSpec, overwrite: bool = False) -> None:
    """Write a mel file; the old file or none stays if anything fails.

    Args:
        path: Target with a suffix of `SUFFIXES`; ``.npy`` cannot hold the convention. Its folder must exist.
        values: [M, N] in the convention's own numbers; stored as float32.
        overwrite: Whether an existing file may be replaced.

    Raises:
        AudioFileError: Codes ``format`` (the suffix), ``exists``, ``unwritable``.
        MelError: The values do not fit the convention, or are not finite.
    """
    if values.ndim != 2 or values.shape[0] != spec.n_mels or not np.isfinite(values).all():
        raise MelError(
            f"{display_path(path)}: not written, expected finite values [{spec.n_mels}, frames], "
            f"got shape {list(values.shape)}"
        )
    check_target(path, overwrite)
    data = _encoded(path.suffix.lower(), np.ascontiguousarray(values, dtype=np.float32), spec)
    with small_output(path, overwrite) as file:
        file.write(data)


def check_target(path: Path, overwrite: bool) -> None:
    """Refuse a target before any work is done for it."""
    if path.suffix.lower() not in SUFFIXES:
        raise AudioFileError(
            f"{display_path(path)}: mels are written to {', '.join(SUFFIXES)} files; use one of these "
            "suffixes",
            code="format",
        )
    check_existing(path, overwrite)


def _encoded(suffix: str, values: Values, spec: MelSpec) -> bytes:
    text = json.dumps(spec.as_dict())
    if suffix == ".safetensors":
        known = names_of(spec)
        extra = {"preset": known[0]} if known else {}
        metadata = {_SPEC: text, "fingerprint": spec.fingerprint, **extra}
        return _sorted_header(safetensors.numpy.save({_VALUES: values}, metadata=metadata))
    if suffix == ".npy":
        return _npy(values)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in ((_VALUES, values), (_SPEC, np.array(text))):
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, _npy(array))
    return buffer.getvalue()


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _load(path: Path) -> tuple[npt.NDArray[Any], str | None]:
    """The array of a file and the text of its convention, if it has one."""
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise AudioFileError(
            f"{display_path(path)}: {suffix} files are pickles, which are not opened; save the array as .npy"
        )
    if suffix not in SUFFIXES:
        raise AudioFileError(f"{display_path(path)}: not a mel file; expected {', '.join(SUFFIXES)}")
    try:
        if suffix == ".npy":
            return _load_npy(path), None
        arrays, text = _load_npz(path) if suffix == ".npz" else _load_safetensors(path)
    except OSError as error:
        if error.strerror is None:
            raise _unreadable(path, str(error)) from error
        raise cannot_open(path, error) from error
    except _DAMAGED as error:
        raise _unreadable(path, str(error)) from error
    name = _VALUES if _VALUES in arrays else next(iter(arrays), "")
    if not arrays or (name != _VALUES and len(arrays) > 1):
        found = ", ".join(arrays) or "none"
        raise AudioFileError(
            f"{display_path(path)}: expected one array or one called {_VALUES}, found {found}"
        )
    return arrays[name], text


def _load_npy(path: Path) -> npt.NDArray[Any]:
    with os.fdopen(open_binary(path), "rb") as file:
        loaded: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return loaded


def _load_npz(path: Path) -> tuple[dict[str, npt.NDArray[Any]], str | None]:
    # numpy leaves a file open that is no archive, if it opened it itself.
    with (
        os.fdopen(open_binary(path), "rb") as file,
        np.lib.npyio.NpzFile(file, allow_pickle=False) as archive,
    ):
        text = str(archive[_SPEC]) if _SPEC in archive.files else None
        wanted = [_VALUES] if _VALUES in archive.files else [n for n in archive.files if n != _SPEC]
        # More than one is refused by name: nothing that will not be used is unpacked.
        return {name: archive[name] if len(wanted) == 1 else np.empty(0) for name in wanted}, text


def _sorted_header(data: bytes) -> bytes:
    """The same safetensors file with its header's keys in order: the library leaves metadata in any order."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format aligns what follows
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def _load_safetensors(path: Path) -> tuple[dict[str, npt.NDArray[Any]], str | None]:
    with safetensors.safe_open(path, framework="pt") as file:  # numpy knows no bfloat16
        text = (file.metadata() or {}).get(_SPEC)
        wanted = [_VALUES] if _VALUES in file.keys() else list(file.keys())
        tensors = {name: file.get_tensor(name) for name in wanted}
        return {n: (x.float() if x.is_floating_point() else x).numpy() for n, x in tensors.items()}, text


def _unreadable(path: Path, reason: str) -> AudioFileError:
    return AudioFileError(f"{display_path(path)}: cannot be read as a mel file ({reason}); write it again")


def _stored_spec(text: str, path: Path) -> MelSpec:
    try:
        values = json.loads(text[:_SPEC_CHARACTERS])
        if not isinstance(values, dict):
            raise ValueError("not an object")
        return MelSpec.from_dict(values)
    except (ValueError, MelError) as error:
        raise MelError(
            f"{display_path(path)}: its stored convention is damaged ({error}); write it again"
        ) from error


def _two_axes(array: npt.NDArray[Any], path: Path) -> tuple[Values, list[str]]:
    """A finite float32 array of two axes and what was done for it."""
    notes = []
    if array.ndim > 2 and set(array.shape[:-2]) == {1}:
        notes.append(f"shape {list(array.shape)} taken as {list(array.shape[-2:])}")
        array = array.reshape(array.shape[-2:])
    if array.ndim != 2 or not array.size or array.dtype.kind not in "fiu":
        raise AudioFileError(
            f"{display_path(path)}: expected one mel [bands, frames] of numbers, found {array.dtype} "
            f"{list(array.shape)}; store one recording a file"
        )
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        raise AudioFileError(f"{display_path(path)}: contains NaN or infinity; compute it again")
    return values, notes


def _laid(array: Values, axes: Axes | None, spec: MelSpec | None, path: Path) -> tuple[Values, list[str]]:
    """A bare array as its user says that it lies, and what was done; a square one is asked about."""
    rows, columns = array.shape
    known = {spec.n_mels} if spec else {each.n_mels for each in PRESETS.values()}
    bare = f"{display_path(path)}: a bare array [{rows}, {columns}]"
    if axes is None:
        if rows == columns and rows in known:
            raise MelError(
                f"{bare} is square, so it does not tell which axis holds the bands; add --mel-axes "
                "bands-first if it is [bands, frames], as librosa and torchaudio give it, or --mel-axes "
                "frames-first",
                code="axes",
            )
        return array, []
    bands, frames = (rows, columns) if axes == "bands-first" else (columns, rows)
    if bands not in known and frames in known:
        raise MelError(
            f"{bare} has its {frames} bands along the other axis; leave out --mel-axes", code="axes"
        )
    if axes == "bands-first":
        return array, []
    return np.ascontiguousarray(array.T), ["taken as [frames, bands], transposed"]


def _turned(array: Values, spec: MelSpec, axes: Axes | None, path: Path) -> tuple[Values, list[str]]:
    """A bare array as [bands, frames] of a given convention."""
    rows, columns = array.shape
    if rows == spec.n_mels:
        return array, []
    if columns == spec.n_mels and axes is None:
        return np.ascontiguousarray(array.T), ["was [frames, bands], transposed"]
    raise MelError(
        f"{display_path(path)}: an array {list(array.shape)} has no axis of {spec.n_mels} bands; "
        "name the convention that it follows"
    )
