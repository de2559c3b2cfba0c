"""Files that are written beside their place and then take its name: a reader finds the old one or the new one."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

LONGEST_BEGIN = 200
"""Bytes of a file's name that its temporary neighbour's begins with; names end at 255 bytes."""


def write_beside(target: Path, fill: Callable[[BinaryIO], object]) -> Path:
    """Write a new file in the folder of another, down to the disk; `os.replace` then gives it the other's name.

    It has the mode of the other, or that which the umask leaves.

    Args:
        target: the other, with links followed.
        fill: writes the content.

    Returns:
        The new file, which is the caller's to move or remove.

    Raises:
        OSError: no room or no leave; nothing is left behind, as with whatever `fill` raises.
    """
    begin = os.fsdecode(os.fsencode(target.name)[:LONGEST_BEGIN])
    file = target.with_name(f".{begin}.{secrets.token_hex(6)}.tmp")
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            os.chmod(file, stat.S_IMODE(target.stat().st_mode))
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return file


def replace_by(target: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all; errors as of `write_beside`."""
    file = write_beside(target, fill)
    try:
        os.replace(file, target)
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make new names in a folder outlast a fall of the machine, where the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
