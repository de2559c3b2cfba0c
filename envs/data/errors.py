"""The error of every reader of data."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where in a file something is wrong, as far as it is known."""

    file: str
    line: int | None = None
    column: str | None = None
    keys: tuple[str | int, ...] = ()
    """Of JSON: the way to the value."""

    def __str__(self) -> str:
        line = "" if self.line is None else f"line {self.line}"
        column = "" if self.column is None else f"column {self.column!r}"
        keys = " ".join(map(str, self.keys))
        return ", ".join(part for part in (line, column, keys) if part)


class DataError(ValueError):
    """Input data break a rule; the message names the place, the value, the rule and the cure.

    Args:
        message: one sentence or two.
        place: the same place for programs, where there is one.
        rule: that is broken, in words, where several places may break the same.
        more_lines: later lines that break it too.
    """

    def __init__(
        self, message: str = "", *, place: Place | None = None, rule: str = "", more_lines: tuple[int, ...] = ()
    ) -> None:
        super().__init__(message)
        self.place = place
        self.rule = rule
        self.more_lines = more_lines
