"""The standard streams of a command: what cannot be shown stops no work and loses no result."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

LEAST_COLUMNS = 20
"""Below this width of the terminal, help would be laid out without end."""


class SteadyStream:
    """A text stream that drops what it cannot write, and remembers why; all else is the stream's own.

    A reader that went away (`| head -1`), a terminal that was closed or a full disk thus end no training and cost no
    evaluation its files. A character that the stream's encoding lacks is written as an escape such as `\\xfc`.

    Args:
        stream: where texts go; None, for a stream that was closed before the start, drops them all.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream: TextIO = stream if stream is not None else open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        self.error: OSError | None = None
        """Why the first text was dropped; None while all were written."""
        if getattr(self._stream, "errors", None) == "strict" and hasattr(self._stream, "reconfigure"):
            self._stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or drop it; return its length."""
        if self.error is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._drop(error)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._drop(error)

    def _drop(self, error: OSError) -> None:
        """Send the rest nowhere: the interpreter would try what is left once more at its end, and complain."""
        self.error = error
        with suppress(OSError, ValueError):  # a stream of a caller's own has no descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def steady_streams() -> Iterator[tuple[SteadyStream, SteadyStream]]:
    """Standard output and error that stop no work (`SteadyStream`), in a terminal wide enough for help.

    Yields the two streams; what they were comes back at the end.
    """
    _open_closed()
    before, columns = (sys.stdout, sys.stderr), os.environ.get("COLUMNS")
    out, err = SteadyStream(before[0]), SteadyStream(before[1])
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    if shutil.get_terminal_size().columns < LEAST_COLUMNS:
        os.environ["COLUMNS"] = str(LEAST_COLUMNS)
    try:
        yield out, err
    finally:
        for stream, old in zip((out, err), before, strict=True):
            stream.flush()
            if old is None:
                stream.close()
        sys.stdout, sys.stderr = before
        if columns is not None:
            os.environ["COLUMNS"] = columns
        else:
            os.environ.pop("COLUMNS", None)


def _open_closed() -> None:
    """Open descriptors 0 to 2 that are closed: a file opened later would take the number and get what is printed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def unshown(stream: SteadyStream) -> str | None:
    """Why texts were dropped, in words; None where all were written, or where the reader had enough of them."""
    if stream.error is None or stream.error.errno == errno.EPIPE:
        return None
    return stream.error.strerror or str(stream.error)
