"""Errors of a command line: a wrong name, path or option says what was wrong and what there is, without a traceback."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stormgym.agents.files import is_plain, try_writing


class UsageError(Exception):
    """A wrong name, path or option on a command line; the message says what was wrong and what there is."""


WRONG_USE = (KeyError, ValueError, TypeError, OSError)
"""Errors of a wrong name, path or option."""


@contextmanager
def usage_errors(kinds: tuple[type[Exception], ...] = WRONG_USE) -> Iterator[None]:
    """Turn errors of these kinds into `UsageError`."""
    try:
        yield
    except kinds as error:
        raise UsageError(words_of(error)) from error


def words_of(error: Exception) -> str:
    """What an error says, and what was noted on its way; a `KeyError` alone would put it in quotes."""
    said = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return "; ".join((said, *getattr(error, "__notes__", ())))


def check_writable(file: Path | None) -> None:
    """Raise, before the work and not after it, where a file cannot be written; None is no file.

    Raises:
        ValueError: it is a folder.
        OSError: its folder cannot be made or written to, or the disk is full.
    """
    if file is None:
        return
    if file.is_dir():
        raise ValueError(f"{file} is a folder; name a file in it")
    try_writing(file)


def check_outputs(files: Mapping[str, Path | None]) -> None:
    """Check the files that options name (see `check_writable`), before the work.

    Raises:
        ValueError: two options name one file, so that one output would overwrite the other; or a file cannot be
            written, for a reason of the system's.
    """
    taken: dict[str, str] = {}
    for option, file in files.items():
        real = "" if file is None else os.path.realpath(file)
        if file is not None and real in taken and _may_be_plain(file):
            raise ValueError(f"{taken[real]} and {option} both name {file}; give each a file of its own")
        taken[real] = option
    for option, file in files.items():
        try:
            check_writable(file)
        except OSError as error:
            told = f"{file} cannot be written ({error.strerror}); {_cure_of(error)}" if error.strerror else error
            raise ValueError(f"{option} {told}") from error


def _may_be_plain(file: Path) -> bool:
    try:
        return is_plain(file)
    except OSError:  # such as a file in the place of its folder; `check_writable` says so
        return True


def _cure_of(error: OSError) -> str:
    cures = {errno.ENOSPC: "make room, or name another file", errno.ENAMETOOLONG: "give it a shorter name"}
    return cures.get(error.errno or 0, "name another file")


class Outputs:
    """Files at the end of a command, as a context: each is written at once, whatever becomes of the others.

    The lines that say where they are come when the context ends, after what is printed within it. What cannot be
    written where it should goes to a folder for temporary files, and the end says so by a `UsageError`.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lines: list[str] = []
        self._failed: list[str] = []

    def write(self, what: str, file: Path | None, write: Callable[[Path], Path]) -> None:
        """Write one; None is no file."""
        if file is None:
            return
        try:
            self._lines.append(f"{what}: {write(file)}")
        except OSError as error:
            reason = error.strerror or str(error)
            try:
                kept = write(Path(tempfile.mkdtemp(prefix="stormgym-")) / (file.name or "output"))
                self._failed.append(f"{file} could not be written ({reason}); it was written to {kept} instead")
            except OSError:
                self._failed.append(f"{file} could not be written ({reason}); make room or name another file")

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        for line in self._lines:
            self._say(line)
        if self._failed and error is None:
            raise UsageError("; ".join(self._failed))
