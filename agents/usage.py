"""Errors of a command line: a wrong name, path or option says what was wrong and what there is, without a traceback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise UsageError(str(text)) from error


def check_writable(file: Path | None) -> None:
    """Raise, before the work and not after it, where a file cannot be written; None is no file.

    Raises:
        ValueError: it is a folder.
        OSError: its folder cannot be made or written to.
    """
    if file is None:
        return
    if file.is_dir():
        raise ValueError(f"{file} is a folder; name a file in it")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=file.parent):  # a folder without leave to write raises here
        pass
