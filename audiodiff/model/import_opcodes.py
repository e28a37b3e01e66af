"""Interprets the few instructions of a torch checkpoint that make plain values and tensors.

A checkpoint is a program for a stack machine, which may call anything that can be imported. This interpreter
imports nothing for it: it knows an ordered dictionary, a tensor on a storage and the storages by name, makes
them itself, and refuses every other name. The standard library's `pickletools` decodes the instructions; it
runs none.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from audiodiff.errors import ModelError

MAX_INSTRUCTIONS = 1_000_000
"""Far above any checkpoint of speech models (a tensor takes about 25)."""

_MAX_LENGTH = 2**31

STORAGES: Final[Mapping[str, torch.dtype]] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
"""Storage classes of torch and what they hold."""

_ORDERED = "collections OrderedDict"
_REBUILD = "torch._utils _rebuild_tensor_v2"

StorageReader = Callable[[str, torch.dtype, int], Tensor]
"""(key, dtype, number of values) -> the values [n] of one storage of the archive."""


@dataclass(frozen=True)
class _Name:
    """An allowed global, until it is used."""

    name: str


class _Mark:
    """Where the items of the next collection begin."""


def refused(what: str) -> ModelError:
    """The error of everything that is not allowed."""
    return ModelError(f"the checkpoint holds {what}; only tensors and plain values are read", code="refused")


def interpret(program: bytes, read_storage: StorageReader) -> Any:
    """Run a checkpoint's program.

    Args:
        program: The bytes of ``data.pkl``.
        read_storage: Gives the values of a storage.

    Returns:
        Plain values (None, bool, int, float, str, list, tuple, dict) and tensors.

    Raises:
        ModelError: An instruction or a name that is not allowed, or a damaged program; code ``refused`` or
            ``damaged``.
    """
    machine = _Machine(read_storage)
    count = 0
    try:
        for instruction, argument, _ in _decoded(program):
            count += 1
            if count > MAX_INSTRUCTIONS:
                raise refused(f"more than {MAX_INSTRUCTIONS} instructions")
            if instruction == "STOP":
                return machine.result()
            machine.run(instruction, argument)
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"the checkpoint is damaged ({error}); get it again", code="damaged") from None
    raise ModelError("the checkpoint is cut short; get it again", code="damaged")


def _decoded(program: bytes) -> Iterator[tuple[str, Any, int | None]]:
    for instruction, argument, place in pickletools.genops(program):
        yield instruction.name, argument, place


@dataclass
class _Machine:
    """Stack and memo of the program."""

    read_storage: StorageReader
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def result(self) -> Any:
        """What the program leaves behind."""
        if len(self.stack) != 1 or isinstance(self.stack[0], _Name | _Mark):
            raise ValueError("it ends with more or less than one value")
        return self.stack[0]

    def run(self, instruction: str, argument: Any) -> None:
        """One instruction."""
        if instruction in ("PROTO", "FRAME"):
            return
        if instruction in _CONSTANTS:
            self.stack.append(_CONSTANTS[instruction])
        elif instruction in _LITERALS:
            self.stack.append(argument)
        elif instruction in _COLLECTIONS:
            self._collect(instruction)
        elif instruction in _CHANGES:
            self._change(instruction)
        elif instruction in _MEMO:
            self._remember(instruction, argument)
        else:
            self._call(instruction, argument)

    def _items(self) -> list[Any]:
        """Everything above the last mark."""
        items: list[Any] = []
        while not isinstance(top := self.stack.pop(), _Mark):
            items.append(top)
        return items[::-1]

    def _collect(self, instruction: str) -> None:
        match instruction:
            case "MARK":
                self.stack.append(_Mark())
            case "EMPTY_DICT":
                self.stack.append({})
            case "EMPTY_LIST":
                self.stack.append([])
            case "EMPTY_TUPLE":
                self.stack.append(())
            case "TUPLE":
                self.stack.append(tuple(self._items()))
            case _:
                size = int(instruction[-1])
                items = [self.stack.pop() for _ in range(size)]
                self.stack.append(tuple(items[::-1]))

    def _change(self, instruction: str) -> None:
        match instruction:
            case "APPEND":
                items = [self.stack.pop()]
            case "SETITEM":
                items = [self.stack.pop(), self.stack.pop()][::-1]
            case _:
                items = self._items()
        if any(isinstance(item, _Name | _Mark) for item in items):
            raise refused("a class or a function")
        target = self.stack[-1]
        if isinstance(target, list) and instruction.startswith("APPEND"):
            target.extend(items)
        elif isinstance(target, dict) and instruction.startswith("SET"):
            for key, value in zip(items[::2], items[1::2], strict=True):
                if not isinstance(key, str | int | float | bool | None):
                    raise refused(f"a key of type {type(key).__name__}")
                target[key] = value
        else:
            raise TypeError(f"{instruction} on a {type(target).__name__}")

    def _remember(self, instruction: str, argument: Any) -> None:
        match instruction:
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case _:
                self.memo[argument] = self.stack[-1]

    def _call(self, instruction: str, argument: Any) -> None:
        match instruction:
            case "GLOBAL":
                self.stack.append(_allowed(argument))
            case "STACK_GLOBAL":
                name, module = self.stack.pop(), self.stack.pop()
                if type(name) is not str or type(module) is not str:
                    raise TypeError("a name that is no text")
                self.stack.append(_allowed(f"{module} {name}"))
            case "BINPERSID":
                self.stack.append(self._storage(self.stack.pop()))
            case "REDUCE":
                arguments, name = self.stack.pop(), self.stack.pop()
                self.stack.append(_reduce(name, arguments))
            case "BUILD":
                # a state_dict carries its version numbers as an attribute: read over, it means nothing here
                state = self.stack.pop()
                if not isinstance(self.stack[-1], dict) or not isinstance(state, dict):
                    raise refused("an object with a state of its own")
            case _:
                raise refused(f"the instruction {instruction}")

    def _storage(self, place: Any) -> Tensor:
        kind, cls, key, _, count = place
        if kind != "storage" or not isinstance(cls, _Name) or type(key) is not str or type(count) is not int:
            raise refused("something kept outside that is no tensor")
        storage = cls.name.removeprefix("torch ")
        if storage not in STORAGES:
            raise refused(f"a storage of {cls.name}")
        return self.read_storage(key, STORAGES[storage], count)


def _allowed(name: str) -> _Name:
    module, _, attribute = name.partition(" ")
    if name in (_ORDERED, _REBUILD) or (module == "torch" and attribute in STORAGES):
        return _Name(name)
    raise refused(f"the name {module}.{attribute}")


def _reduce(name: Any, arguments: Any) -> Any:
    """The two calls there are: an empty ordered dictionary, and a tensor on a storage."""
    match name:
        case _Name(name=n) if n == _ORDERED and arguments == ():
            return {}
        case _Name(name=n) if n == _REBUILD:
            return _rebuild(*arguments[:4])
        case _Name(name=n):
            raise refused(f"a call of {n.replace(' ', '.')}")
    raise refused("a call of something without a name")


def _rebuild(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """What a tensor shows of a storage, without a copy; outside the storage is refused."""
    if not isinstance(storage, Tensor) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise TypeError("a tensor on something that is no storage")
    numbers = (offset, *size, *stride)
    good = all(type(number) is int and 0 <= number < _MAX_LENGTH for number in numbers)
    if len(size) != len(stride) or not good:
        raise ValueError("a tensor with impossible sizes")
    count, last = 1, offset
    for length, step in zip(size, stride, strict=True):
        count *= length
        last += max(length - 1, 0) * step
    # more values than the storage has: a view that repeats them, which no parameter is
    if count > storage.numel() or (count and last >= storage.numel()):
        raise ValueError(f"a tensor of size {size} on a storage of {storage.numel()} values")
    return torch.as_strided(storage, size, stride, offset)


_CONSTANTS: Final[Mapping[str, bool | None]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS: Final = frozenset(
    "BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8".split()
)
_COLLECTIONS: Final = frozenset("MARK EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3".split())
_CHANGES: Final = frozenset("APPEND APPENDS SETITEM SETITEMS".split())
_MEMO: Final = frozenset("BINPUT LONG_BINPUT BINGET LONG_BINGET MEMOIZE".split())
