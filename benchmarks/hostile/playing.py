"""One hostile input: a good folder, one edit of one file, and what a reader makes of it."""

from __future__ import annotations

import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hostile.edits import CLASSES
from benchmarks.hostile.readers import Read, Reader

SLOW_S = 20
"""Seconds after which a reader has run away."""
SHORTEST = 30
"""Characters of a sentence that says what is wrong."""
OUTCOMES: dict[str, str] = {
    "the same": "read as if nothing had been done",
    "other values": "read, with values that can be right",
    "flagged": "read, with a named warning or more faults flagged",
    "refused": "refused by a sentence that names the file",
    "unclear": "refused by a sentence that names no file",
    "broken": "any other error, or more than 20 s",
}
"""What can become of an input, the last two are mistakes of ours."""
MISTAKES = ("unclear", "broken")


class RanAwayError(Exception):
    """A reader took too long."""


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    kind: str
    """One of `OUTCOMES`."""
    told: str = ""
    """The error's words, or where another error came from."""


@contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Raise `RanAwayError` in the block after some seconds (in the main thread only)."""

    def ring(signum: int, frame: Any) -> None:
        raise RanAwayError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(reader: Reader, folder: Path) -> Read:
    """Read a folder; what it warns of is counted.

    Raises:
        RuntimeWarning: a warning of another kind than `UserWarning`.
    """
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("error")
        for kind in (UserWarning, DeprecationWarning):
            warnings.simplefilter("always", kind)
        found = reader.read(folder)
    return replace(found, n_warnings=sum(issubclass(w.category, UserWarning) for w in heard))


def outcome_of(reader: Reader, folder: Path, good: Read) -> Outcome:
    """Let a reader read a folder in which one file is spoilt."""
    try:
        with alarm(SLOW_S):
            found = read(reader, folder)
    except ValueError as error:  # DataError is one
        told = str(error)
        named = any(name in told for name in reader.files) or folder.name in told
        return Outcome("refused" if named and len(told) >= SHORTEST else "unclear", told)
    except (OSError, KeyError) as error:
        return Outcome("refused" if any(name in str(error) for name in reader.files) else "unclear", str(error))
    except Exception as error:
        return Outcome("broken", _where(error))
    if found.n_faults > good.n_faults or found.n_warnings > good.n_warnings:
        return Outcome("flagged")
    return Outcome("the same" if found == good else "other values")


def _where(error: Exception) -> str:
    """Kind of an error, the last line of ours that it passed, and its words."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "stormgym" in f.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {place}: {str(error)[:200]}"


def spoil(reader: Reader, whole: dict[str, bytes], folder: Path, kind: str, rng: np.random.Generator) -> str:
    """Write the good files, one of them edited; return its name."""
    name = reader.files[int(rng.integers(len(reader.files)))]
    for file, data in whole.items():
        (folder / file).write_bytes(CLASSES[kind](data, rng) if file == name else data)
    return name
