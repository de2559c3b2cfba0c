"""Writing of files and folders: a reader finds the old one or the new one, never half of one."""

from __future__ import annotations

import csv
import errno
import io
import os
import secrets
import shutil
import stat
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from stormgym.envs.whole_files import replace_by, sync_folder, write_beside

KEPT_BY_THE_SYSTEM = (Path("/dev"), Path("/proc"))
"""Folders whose files are names of something else, such as the standard output; none of them is ever replaced."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet runs as a formula."""


def is_plain(path: Path) -> bool:
    """Whether a path names a file that can be replaced, or nothing yet: no device, pipe or socket."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True
    return regular and not any(folder in path.absolute().parents for folder in KEPT_BY_THE_SYSTEM)


def write_atomically(file: str | os.PathLike[str], text: str) -> Path:
    """Write text to a file by way of a temporary one beside it; the folder is made when it is missing.

    A link is followed: its target is replaced. What cannot be replaced (a device, a pipe, a file in a folder without
    leave to write) is written through instead. A new file has the mode that the umask leaves, another keeps its own.

    Raises:
        OSError: no room or no leave. The old file is whole, and nothing else is left behind.
    """
    path = Path(file)
    data = text.encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not is_plain(path):
        _write_through(path, data)
        return path
    target = Path(os.path.realpath(path))
    try:
        replace_by(target, lambda stream: stream.write(data))
    except PermissionError:
        if not target.is_file():
            raise
        _write_through(target, data)
        return path
    sync_folder(target.parent)
    return path


def try_writing(file: Path, size: int = 1 << 16) -> None:
    """Raise `OSError` where `write_atomically` could not write so many bytes; the file itself stays as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not os.access(file, os.W_OK):
        raise PermissionError(f"{file} may not be written; name another file or change its mode")
    if not is_plain(file):
        return
    target = Path(os.path.realpath(file))
    try:
        write_beside(target, lambda stream: stream.write(bytes(size))).unlink(missing_ok=True)
    except PermissionError:
        if not target.is_file():  # else it is written in place
            raise


def _write_through(path: Path, data: bytes) -> None:
    with os.fdopen(_open_through(path), "wb", buffering=0) as stream:
        rest = memoryview(data)
        while rest:
            rest = rest[stream.write(rest) :]


def _open_through(path: Path) -> int:
    """A descriptor that writes to what is there; a pipe that nobody reads yet is waited for, with a warning."""
    flags = os.O_WRONLY | os.O_TRUNC
    if not stat.S_ISFIFO(path.stat().st_mode):
        return os.open(path, flags)
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        warnings.warn(f"{path} is a pipe that nobody reads yet; the output waits for a reader", stacklevel=4)
        return os.open(path, flags)
    os.set_blocking(descriptor, True)
    return descriptor


def write_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """Make a folder whole or not at all: `fill` writes into a temporary one, which then takes the name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _new_folder(target.parent, ".new-")
    try:
        fill(temporary)
        _sync_files(temporary)
        if target.exists():
            old = _new_folder(target.parent, ".old-")
            os.replace(target, old / target.name)
            os.replace(temporary, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(target.parent)
    return target


def _new_folder(parent: Path, prefix: str) -> Path:
    """A new folder with the mode that the umask leaves."""
    folder = parent / f"{prefix}{secrets.token_hex(6)}"
    folder.mkdir()
    return folder


def _sync_files(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def csv_for_people(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as the text of a CSV file that people open in a spreadsheet.

    A text that the spreadsheet would run as a formula gets an apostrophe in front; numbers stay as they are.
    """
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(FORMULA_STARTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
