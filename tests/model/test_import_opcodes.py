"""Promise: the reader of torch checkpoints gives back what was saved, runs nothing, refuses the rest."""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from audiodiff.errors import ModelError
from audiodiff.model import import_archive
from audiodiff.model.import_archive import read_checkpoint
from audiodiff.model.import_opcodes import interpret

pytestmark = pytest.mark.slow

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 300), inner, max_size=4)
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return isinstance(right, Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return (
            type(left) is type(right)
            and len(left) == len(right)
            and all(same(a, b) for a, b in zip(left, right, strict=True))
        )
    return type(left) is type(right) and bool(left == right)


def no_storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
    raise AssertionError(f"storage {key} of {count} {dtype} was asked for")


@given(PLAIN)
def test_plain_values_come_back(value: Any) -> None:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    with zipfile.ZipFile(buffer) as saved:
        (name,) = (name for name in saved.namelist() if name.endswith("data.pkl"))
        assert same(interpret(saved.read(name), no_storage), value)


def test_tensors_of_every_kind_come_back(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=generator)
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8]
    saved: dict[str, Any] = {str(kind): (9 * base).to(kind) for kind in [*kinds, torch.uint8, torch.bool]}
    saved |= {
        "turned": base.t()[1:4],
        "shared": [base, base[2], base.flatten()[5:]],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }
    torch.save(saved, tmp_path / "a.pt")
    assert same(read_checkpoint(tmp_path / "a.pt"), saved)


def test_a_training_state_comes_back(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 3)).sum().backward()
    optimiser.step()
    saved = {"model": net.state_dict(), "optimizer": optimiser.state_dict(), "step": 3}
    torch.save(saved, tmp_path / "a.pt")
    found = read_checkpoint(tmp_path / "a.pt")
    assert same(OrderedDict(found["model"]), net.state_dict())
    assert same(found, {**saved, "model": dict(net.state_dict())})


class Evil:
    """Would write a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "evil")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (torch.nn.Parameter(torch.ones(2)), "torch._utils._rebuild_parameter"),
        (torch.float32, "torch.float32"),
        (Path("x"), "PosixPath"),
        ({1, 2}, "set"),
        (print, "print"),
        (b"bytes", "_codecs.encode"),
        (OrderedDict, "a class or a function"),
        ({(1, 2): 3}, "a key of type tuple"),
    ],
)
def test_everything_else_is_refused_by_name(tmp_path: Path, value: Any, name: str) -> None:
    torch.save({"step": 1, "more": [value] if not isinstance(value, dict) else value}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match="only tensors and plain values are read") as caught:
        read_checkpoint(tmp_path / "a.pt")
    assert name in str(caught.value)
    assert str(tmp_path / "a.pt") in str(caught.value)
    assert caught.value.code == "refused"


def test_nothing_is_run(tmp_path: Path) -> None:
    torch.save({"model": Evil(tmp_path / "trace")}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"write_text|getattr"):
        read_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("program", "line"),
    [
        (b"\x80\x02cbuiltins\neval\nq\x00.", "builtins.eval"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "damaged"),
        (b"\x80\x02ccollections\nOrderedDict\n(K\x01K\x02tR.", "a call of collections.OrderedDict"),
        (b"\x80\x02K\x01K\x02R.", "without a name"),
        (b"\x80\x02(i__main__\nX\n.", "the instruction INST"),
        (b"\x80\x02h\x07.", "damaged"),
        (b"\x80\x02K\x01", "damaged"),
        (b"\x80\x02K\x01K\x01.", "more or less than one value"),
        (b"\x80\x02}K\x01a.", "APPEND on a dict"),
        (b"\x80\x02}q\x00}b.", ""),
        (b"", "damaged|cut short"),
        (b"\x80\x02X\xff\xff\xff\x7fab", "damaged"),
    ],
)
def test_broken_and_hostile_programs(program: bytes, line: str) -> None:
    if not line:  # the state of a dictionary is read over
        assert interpret(program, no_storage) == {}
        return
    with pytest.raises(ModelError, match=line):
        interpret(program, no_storage)


def outcome(program: bytes) -> str:
    try:
        interpret(program, no_storage)
    except ModelError as error:
        return error.code
    return "value"


@given(st.binary(max_size=60))
def test_any_bytes_end_in_a_value_or_a_refusal(program: bytes) -> None:
    assert outcome(b"\x80\x02" + program) in {"value", "refused", "damaged"}


def test_endless_programs_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiodiff.model.import_opcodes.MAX_INSTRUCTIONS", 10)
    with pytest.raises(ModelError, match="more than 10 instructions"):
        interpret(b"\x80\x02" + b"K\x01" * 20 + b".", no_storage)


def rewrite(path: Path, change: dict[str, bytes | None], compression: int = zipfile.ZIP_STORED) -> None:
    """The archive again with some parts replaced, added or (None) left out."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    folder = next(iter(parts)).split("/")[0]
    for name, content in change.items():
        parts.pop(f"{folder}/{name}", None)
        if content is not None:
            parts[f"{folder}/{name}"] = content
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in parts.items():
            new.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"data/0": b"1234"}, r"data/0 has 4 bytes, expected 24"),
        ({"data/0": None}, r"data/0 is missing"),
        ({"data.pkl": None}, r"no data\.pkl"),
        ({"byteorder": b"big"}, "big-endian"),
    ],
)
def test_damaged_archives(tmp_path: Path, change: dict[str, bytes | None], line: str) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.ones(6), path)
    rewrite(path, change)
    with pytest.raises(ModelError, match=line):
        read_checkpoint(path)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.ones(600), path)
    for name, line in (
        ("MAX_PROGRAM", "too large"),
        ("MAX_BYTES", "too large"),
        ("MAX_MEMBERS", "parts, more"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(import_archive, name, 1)
            with pytest.raises(ModelError, match=line):
                read_checkpoint(path)
    rewrite(path, {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed, which torch never does"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (b"K\x06\x85", b"K\x07\x85", "size"),
        (b"K\x00K\x06", b"K\x01K\x06", "size"),
        (b"K\x06\x85", b"J\x00\x00\x00\x80\x85", "impossible"),
    ],
)
def test_tensors_stay_inside_their_storage(tmp_path: Path, old: bytes, new: bytes, line: str) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.ones(6), path)
    with zipfile.ZipFile(path) as saved:
        program = saved.read(next(name for name in saved.namelist() if name.endswith("data.pkl")))
    assert program.count(old) == 1
    rewrite(path, {"data.pkl": program.replace(old, new)})
    with pytest.raises(ModelError, match=line):
        read_checkpoint(path)


def test_repeating_views_are_refused(tmp_path: Path) -> None:
    torch.save(torch.ones(1).expand(10**9), tmp_path / "a.pt")
    with pytest.raises(ModelError, match="on a storage of 1 values"):
        read_checkpoint(tmp_path / "a.pt")


def test_what_is_no_archive(tmp_path: Path) -> None:
    old = tmp_path / "old.pt"
    torch.save(torch.ones(3), old, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match=r"older than torch 1\.6 must be saved again"):
        read_checkpoint(old)
    with pytest.raises(ModelError, match="cannot be read"):
        read_checkpoint(tmp_path / "none.pt")
