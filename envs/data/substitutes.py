"""Cells, rows and values that stand in for wrong ones while a folder is checked, so that a reader goes on to the next.

A reader stops at the first fault. `stormgym.envs.data.checking` notes it, puts a substitute in its place and reads
again. Nothing is written to a file, and outside `substituted` readers know nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Substitutes:
    """What stands in, by name of the file."""

    cells: dict[str, dict[tuple[int, str], str]] = field(default_factory=dict)
    """Text by (line, column)."""
    skipped: dict[str, set[int]] = field(default_factory=dict)
    """Lines that are left out."""
    values: dict[str, list[tuple[tuple[str | int, ...], Any]]] = field(default_factory=dict)
    """Of JSON: (way, value); the value `ABSENT` takes the key away."""
    tables: dict[str, Any] = field(default_factory=dict)
    """Tables as the files have them, kept from one reading to the next."""
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Objects of JSON as the files have them."""


ABSENT = object()
_NOW: ContextVar[Substitutes | None] = ContextVar("substitutes", default=None)


def now() -> Substitutes | None:
    """The substitutes in force; None outside a check."""
    return _NOW.get()


@contextmanager
def substituted(substitutes: Substitutes) -> Iterator[None]:
    """Read with substitutes."""
    token = _NOW.set(substitutes)
    try:
        yield
    finally:
        _NOW.reset(token)


def with_values(file: str, content: dict[str, Any], substitutes: Substitutes) -> dict[str, Any]:
    """An object of JSON with what stands in for its values; `content` is changed."""
    for way, value in substitutes.values.get(file, ()):
        inner: Any = content
        for key in way[:-1]:
            inner = inner[key]
        if value is ABSENT:
            inner.pop(way[-1], None)
        else:
            inner[way[-1]] = value
    return content
