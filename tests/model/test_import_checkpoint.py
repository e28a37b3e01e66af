"""Promise: a torch checkpoint is read within size limits, runs nothing, and fails in one line."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from audiodiff.errors import ModelError
from audiodiff.model import import_diffwave
from audiodiff.model.import_diffwave import convert, read_checkpoint
from tests.errors import refused

pytestmark = pytest.mark.slow


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
    ],
)
def test_everything_else_is_refused_by_name(tmp_path: Path, value: Any, name: str) -> None:
    torch.save({"step": 1, "more": [value]}, tmp_path / "a.pt")
    with refused(ModelError, "refused", tmp_path / "a.pt", name):
        read_checkpoint(tmp_path / "a.pt")


def test_nothing_is_run(tmp_path: Path) -> None:
    torch.save({"model": Evil(tmp_path / "trace")}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"write_text|getattr"):
        read_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02ccollections\nOrderedDict\n(K\x01K\x02tR.",
        b"\x80\x02K\x01K\x02R.",
        b"\x80\x02(i__main__\nX\n.",
        b"\x80\x02h\x07.",
        b"\x80\x02K\x01",
        b"\x80\x02}K\x01a.",
        b"\x80\x02]q\x00}h\x00K\x01s.",
        b"\x80\x02X\xff\xff\xff\x7fab",
        b"",
    ],
)
def test_broken_and_hostile_programs(tmp_path: Path, program: bytes) -> None:
    torch.save(1, tmp_path / "a.pt")
    rewrite(tmp_path / "a.pt", {"data.pkl": program})
    with pytest.raises(ModelError) as caught:
        read_checkpoint(tmp_path / "a.pt")
    assert caught.value.code == ("refused" if b"system" in program else "damaged")


@pytest.mark.parametrize("name", [b"builtins\neval", b"__builtin__\nbytearray", b"torch\nTensor"])
def test_names_that_run_code_or_take_memory_are_refused(tmp_path: Path, name: bytes) -> None:
    torch.save(1, tmp_path / "a.pt")
    rewrite(tmp_path / "a.pt", {"data.pkl": b"\x80\x02c" + name + b"\n\x8a\x06\0\0\0\0\0\1\x85R."})
    with refused(ModelError, "refused", name.replace(b"\n", b".").decode()):
        read_checkpoint(tmp_path / "a.pt")


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
    ("change", "code"),
    [({"data/0": b"1234"}, "damaged"), ({"data/0": None}, "damaged"), ({"data.pkl": None}, "refused")],
)
def test_damaged_archives(tmp_path: Path, change: dict[str, bytes | None], code: str) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.ones(6), path)
    rewrite(path, change)
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    assert (caught.value.code, str(caught.value).startswith(str(path))) == (code, True)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.ones(600), path)
    for name in ("MAX_PROGRAM", "MAX_BYTES", "MAX_MEMBERS"):
        with monkeypatch.context() as patch:
            patch.setattr(import_diffwave, name, 1)
            with refused(ModelError, "refused", path):
                read_checkpoint(path)
    rewrite(path, {}, zipfile.ZIP_DEFLATED)
    with refused(ModelError, "refused", path, "compressed"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x06\x85", b"K\x07\x85"),
        (b"K\x00K\x06", b"K\x01K\x06"),
        (b"K\x06\x85", b"J\x00\x00\x00\x70\x85"),
        (b"K\x06\x85", b"J\x00\x00\x00\x80\x85"),
    ],
)
def test_tensors_stay_inside_their_storage(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.ones(6), path)
    with zipfile.ZipFile(path) as saved:
        program = saved.read(next(name for name in saved.namelist() if name.endswith("data.pkl")))
    assert program.count(old) == 1
    rewrite(path, {"data.pkl": program.replace(old, new)})
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    assert caught.value.code == "damaged"


def test_repeating_views_are_refused(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.ones(1).expand(10**9)}}, tmp_path / "a.pt")
    with refused(ModelError, "refused", "parameter a"):
        convert(tmp_path / "a.pt", tmp_path / "m", "CC0-1.0")


def test_what_is_no_archive(tmp_path: Path) -> None:
    old = tmp_path / "old.pt"
    torch.save(torch.ones(3), old, _use_new_zipfile_serialization=False)
    with refused(ModelError, "damaged", "old.pt", "1.6"):
        read_checkpoint(old)
    with refused(ModelError, "missing", "none.pt"):
        read_checkpoint(tmp_path / "none.pt")
