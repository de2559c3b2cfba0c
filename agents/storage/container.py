"""Files of named arrays with a JSON head: safetensors, whose reader checks sizes and knows no code.

A file says what it is (`kind`) and of which version. What is opened is a file of its own, no link or device, and of a
size that its reader allows; names and shapes are known before an array is read, and all arrays together are no larger
than the file.
"""

from __future__ import annotations

import csv
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

VERSION = 1
"""Of the format of all kinds; another one is not read."""
LARGEST_JSON = 16 * 2**20
"""Bytes that JSON may have, as a file or as the head of one."""
LARGEST_STATE = 4 * 2**30
"""Bytes that a model, or the state in a checkpoint, may have."""
HEAD, ARRAY = "stormgym", "$array"
DTYPES = {
    "BOOL": "bool",
    **{
        f"{letter}{bits}": f"{name}{bits}" for letter, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
    },
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
}
"""Kinds of numbers that files hold: as safetensors writes them, and NumPy's name."""


class UnreadableFile(ValueError):
    """A file that is not what it should be; the message is one sentence that names it."""


@dataclass(frozen=True)
class Stored:
    """An array of a file: what there is to know before it is read."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True)
class Contents:
    """A file whose head has been read, and its arrays not yet."""

    file: Path
    head: dict[str, Any]
    arrays: Mapping[str, Stored]

    def read(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """The arrays whose names begin so, by the rest of their names."""
        with readable(self.file), safe_open(self.file, framework="np") as opened:
            return {
                name.removeprefix(prefix): opened.get_tensor(name) for name in self.arrays if name.startswith(prefix)
            }

    def tree(self, key: str) -> Any:
        """What `write_file` was given under a key of the head, with its arrays."""
        with readable(self.file), safe_open(self.file, framework="np") as opened:
            return _unpacked(self.head[key], opened)


WRONG = (
    SafetensorError,
    csv.Error,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
)
"""What reading, and making what was read, may raise: of files, JSON, NumPy, torch and Stable-Baselines3."""


@contextmanager
def cured_by(cure: str) -> Iterator[None]:
    """Add to the message of an `UnreadableFile` what its reader can do, as a sentence without its full stop."""
    try:
        yield
    except UnreadableFile as error:
        raise UnreadableFile(f"{error}. {cure}") from error


@contextmanager
def readable(
    file: Path, what: str = "a file of stormgym", wrong: tuple[type[Exception], ...] = WRONG
) -> Iterator[None]:
    """Turn what goes wrong while a file is read, errors of the kinds `wrong`, into `UnreadableFile`."""
    try:
        yield
    except UnreadableFile:
        raise
    except RecursionError:
        raise UnreadableFile(f"{file} cannot be read as {what}: it is nested too deeply") from None
    except MemoryError:
        raise UnreadableFile(f"{file} cannot be read as {what}: it asks for more memory than there is") from None
    except wrong as error:
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UnreadableFile(f"{file} cannot be read as {what}: {text}") from error


def check_file(file: Path, largest: int) -> None:
    """Raise unless it is a file of its own, of a size that may be read.

    Raises:
        FileNotFoundError: there is nothing of that name.
        UnreadableFile: a folder, a link, a device, or too large.
    """
    found = os.lstat(file)
    if stat.S_ISLNK(found.st_mode):
        raise UnreadableFile(f"{file} is a link, and a run folder holds files of its own; copy what it leads to")
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no plain file"
        raise UnreadableFile(f"{file} is {what}; a file of a run was expected there")
    if found.st_size > largest:
        raise UnreadableFile(f"{file} has {found.st_size:,} bytes, and at most {largest:,} are read of such a file")


def read_json(file: Path, what: str, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """Read an object from a JSON file.

    Raises:
        FileNotFoundError: there is nothing of that name.
        UnreadableFile: anything but a file that holds one JSON object.
    """
    check_file(file, largest)
    with readable(file, what):
        found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise UnreadableFile(f"{file} cannot be read as {what}: it holds no object {{...}}")
    return found


def write_file(
    file: Path, kind: str, head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None
) -> Path:
    """Write a file.

    Args:
        file: where it goes.
        kind: what it is, such as "model".
        head: numbers, words, None, and lists and dicts (with words for keys) of them; arrays in it are named by the way
            to them, as "env/actions".
        arrays: further ones by name.

    Raises:
        TypeError: something else is in it.
        OSError: no room or no leave.
    """
    named = {name: np.asarray(array, order="C") for name, array in (arrays or {}).items()}
    plain = {key: _packed(value, key, named) for key, value in head.items()}
    for name, array in named.items():
        if str(array.dtype) not in DTYPES.values():
            raise TypeError(f"{name} of a file must be an array of numbers; got {array.dtype}")
    text = json.dumps({"kind": kind, "version": VERSION, **plain})
    try:
        save_file(named, file, metadata={HEAD: text})
    except SafetensorError as error:  # how its library tells of a full disk
        raise OSError(f"{file} cannot be written: {error}") from error
    return file


def open_file(file: Path, kind: str, largest: int = LARGEST_STATE) -> Contents:
    """Read the head of a file, and what arrays there are.

    Raises:
        FileNotFoundError: there is nothing of that name.
        UnreadableFile: another file, of another kind or version, truncated, or too large.
    """
    check_file(file, largest)
    what = f"a {kind} of stormgym"
    with file.open("rb") as stream:
        if int.from_bytes(stream.read(8), "little") > LARGEST_JSON:
            raise UnreadableFile(f"{file} cannot be read as {what}: it does not begin with a head of a sensible length")
    with readable(file, what), safe_open(file, framework="np") as opened:
        metadata = opened.metadata() or {}
        if HEAD not in metadata:
            raise UnreadableFile(f"{file} cannot be read as {what}: stormgym did not write it")
        head = json.loads(metadata[HEAD])
        if head["kind"] != kind:
            raise UnreadableFile(f"{file} is a {str(head['kind'])[:40]} where a {kind} was expected")
        if head["version"] != VERSION:
            raise UnreadableFile(
                f"{file} is of version {str(head['version'])[:40]} of the format; this stormgym reads {VERSION}"
            )
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  # no mapping
        arrays = {name: Stored(DTYPES[part.get_dtype()], tuple(part.get_shape())) for name, part in slices.items()}
    return Contents(file, head, arrays)


def check_arrays(file: Path, found: Mapping[str, Stored], wanted: Mapping[str, Stored]) -> None:
    """Raise `UnreadableFile` unless the same names have the same kinds of numbers and shapes."""
    for name in (*wanted, *found):
        if name not in found or name not in wanted or found[name] != wanted[name]:
            has, fits = found.get(name), wanted.get(name)
            raise UnreadableFile(
                f"{file} does not fit: {name[:80]!r} is {has or 'missing'} in it, {fits or 'nothing'} was expected"
            )


def n_bytes(arrays: Mapping[str, Stored]) -> int:
    """Bytes of some arrays together."""
    return sum(math.prod(array.shape) * np.dtype(array.dtype).itemsize for array in arrays.values())


def _packed(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    if hasattr(value, "detach"):  # a tensor; torch is not loaded for those who read settings alone
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        arrays[name] = np.asarray(value, order="C")
        return {ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _packed(item, f"{name}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
    raise TypeError(f"{name} of a file must be numbers, words, arrays, lists or dicts; got {type(value).__name__}")


def _unpacked(value: Any, opened: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {ARRAY}:
            return opened.get_tensor(value[ARRAY])
        return {key: _unpacked(item, opened) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpacked(item, opened) for item in value]
    return value
