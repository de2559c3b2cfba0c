"""All that is wrong with a folder at once: its reader reads again and again, each time with the last fault put aside.

A reader stops at the first fault and says where it is. Here the fault is noted, a value that the file has elsewhere
stands in for the wrong one, and the same reader reads again, until it gets through or stops at something that nothing
can stand in for. Then each of the remaining files is read alone, as far as it can be. There is no second parser.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from stormgym.envs.data.errors import DataError, Place
from stormgym.envs.data.substitutes import ABSENT, Substitutes, substituted

MOST_FAULTS = 200
"""Faults that are listed; then the check stops."""
MOST_READINGS = 600
ASKED_OF_A_TEXT = 3
"""Cells of a column with the same wrong text that are listed apart; those after them are told together."""
_MARK = "not-checked-"


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder (or file) that users bring."""

    name: str
    summary: str
    """What is in it, in a line."""
    read: Callable[[Path], Any]
    """Reads all of it; raises `DataError`."""
    describe: Callable[[Any], str]
    """What was read, in a line."""
    needed: tuple[str, ...] = ()
    """Files that must be there."""
    optional: tuple[str, ...] = ()
    apart: Mapping[str, Callable[[Path], Any]] = field(default_factory=dict)
    """By file: what reads it alone, where the whole cannot be read."""
    usual: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By JSON file and key: a value that stands in for a wrong or missing one."""
    told_by: tuple[str, ...] = ()
    """Files one of which tells that a folder is of this kind."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or doubtful, with its cure."""

    level: Literal["error", "warning"]
    message: str
    file: str = ""
    line: int | None = None
    column: str | None = None
    more_lines: tuple[int, ...] = ()
    """Later lines with the same text in that column."""
    follows: bool = False
    """It may come of an earlier one and go away with it."""


@dataclass(frozen=True)
class FolderReport:
    """What a check found."""

    folder: str
    kind: str
    findings: tuple[Finding, ...]
    complete: bool
    """All rules were checked; otherwise more may come to light once the errors are mended."""
    content: str
    """What was read, in a line; empty where it could not be."""

    @property
    def usable(self) -> bool:
        """Whether it can be used as it is."""
        return not any(finding.level == "error" for finding in self.findings)


def check_folder(folder: Path, kind: FolderKind) -> FolderReport:
    """Read a folder (or file) of a kind and list all that is wrong.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: no such file or folder")
    check = _Check(kind)
    missing = [name for name in kind.needed if folder.is_dir() and not any(folder.glob(name))]
    for name in missing:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "nothing"
        check.note(
            DataError(f"{folder}: no {name}. Add it (docs/data.md); there is {there}.", place=Place(str(folder)))
        )
    content = None if missing else check.read(lambda: kind.read(folder))
    if content is None:
        for name in (*kind.needed, *kind.optional):
            if name in kind.apart:
                for path in sorted(folder.glob(name)):
                    check.read(partial(kind.apart[name], path))
    found = tuple(check.findings)
    through = content is not None and not check.full
    usable = through and not any(finding.level == "error" for finding in found)
    return FolderReport(str(folder), kind.name, found, through, kind.describe(content) if usable else "")


class _Check:
    """Readings of one folder and what came of them."""

    def __init__(self, kind: FolderKind) -> None:
        self.kind = kind
        self.findings: list[Finding] = []
        self.full = False
        self.rows_dropped = False
        """A row of which no cell would do was left out: figures that count rows may then be wrong."""
        self.substitutes = Substitutes()
        self.tried: Counter[Place] = Counter()
        self.said: set[str] = set()
        self.texts: Counter[tuple[str, str | None, str]] = Counter()

    def read(self, reader: Callable[[], Any]) -> Any:
        """What a reader gives, however many substitutes it takes; None where none helps."""
        for _ in range(MOST_READINGS):
            try:
                with substituted(self.substitutes), warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always", UserWarning)
                    return reader()
            except DataError as error:
                self.note(error)
                if len(self.findings) >= MOST_FAULTS or not self._mend(error.place):
                    break
            finally:
                for warning in caught:
                    self._add("warning", str(warning.message), None)
        self.full = self.full or len(self.findings) >= MOST_FAULTS
        return None

    def note(self, error: DataError) -> None:
        """Keep an error, unless its place is known to be wrong already."""
        if error.place is None or not self.tried[error.place]:
            self._add("error", str(error), error.place)

    def _add(self, level: Literal["error", "warning"], message: str, place: Place | None) -> None:
        if message in self.said or _MARK in message:
            return
        self.said.add(message)
        at = place or Place("")
        column = at.column or (".".join(map(str, at.keys)) or None)
        unsure = place is None or level == "warning" or (bool(at.keys) and self.rows_dropped)
        follows = bool(self.tried) and (unsure or self._beside_a_substitute(at))
        self.findings.append(Finding(level, message, at.file, at.line, column, follows=follows))

    def _beside_a_substitute(self, place: Place) -> bool:
        """Whether another cell of the row has been put aside: rules on both may then be broken by what stands in."""
        cells = self.substitutes.cells.get(place.file, {})
        return any(line == place.line and column != place.column for line, column in cells)

    def _mend(self, place: Place | None) -> bool:
        """Put something in the place of a fault; whether there was anything left to try."""
        if place is None:
            return False
        attempt = self.tried[place]
        self.tried[place] += 1
        if place.keys:
            return self._mend_value(place, attempt)
        return place.line is not None and self._mend_cell(place, place.line, attempt)

    def _mend_cell(self, place: Place, line: int, attempt: int) -> bool:
        """First another row's cell, then a blank one, then a word of its own, then no row at all."""
        cells = self.substitutes.cells.setdefault(place.file, {})
        if place.column is not None and attempt < 3:
            words = (self._elsewhere(place, line), "", f"{_MARK}{line}")
            cells[line, place.column] = words[attempt]
            self._mend_like(place, line, words[attempt])
            return True
        skipped = self.substitutes.skipped.setdefault(place.file, set())
        if line in skipped:
            return False
        skipped.add(line)
        self.rows_dropped = self.rows_dropped or place.column is not None
        return True

    def _mend_like(self, place: Place, line: int, word: str) -> None:
        """Where one text was wrong in a column some times, its later cells are not asked for one by one."""
        table = self.substitutes.tables[place.file]
        name = str(place.column)
        column = table.columns[name]
        text = column[table.lines.index(line)]
        key = (place.file, place.column, text)
        self.texts[key] += 1
        if self.texts[key] != ASKED_OF_A_TEXT:
            return
        cells = self.substitutes.cells[place.file]
        later = [at for at, cell in zip(table.lines, column, strict=True) if cell == text and at > line]
        cells.update({(at, name): word for at in later})
        if later:
            self.findings[-1] = replace(self.findings[-1], more_lines=tuple(later))

    def _elsewhere(self, place: Place, line: int) -> str:
        """The cell of a column in the first row that has no fault there."""
        table = self.substitutes.tables[place.file]
        assert place.column is not None
        wrong = {at.line for at in self.tried if (at.file, at.column) == (place.file, place.column)}
        rows = zip(table.lines, table.columns[place.column], strict=True)
        return next((cell for at, cell in rows if at not in wrong and at != line and cell), "")

    def _mend_value(self, place: Place, attempt: int) -> bool:
        """A usual value, or no such key; of a list's entry, one other entry after the other."""
        key = place.keys[-1]
        if isinstance(key, int):
            content: Any = self.substitutes.objects[place.file]
            for step in place.keys[:-1]:
                content = content[step]
            wrong = {at.keys[-1] for at in self.tried if at.file == place.file and at.keys[:-1] == place.keys[:-1]}
            others = [entry for i, entry in enumerate(content) if i not in wrong and isinstance(entry, dict)]
            if attempt >= len(others):
                return False
            value: Any = {name: inner for name, inner in others[attempt].items() if name != "name"}
        elif attempt:
            return False
        else:
            usual = self.kind.usual.get(Path(place.file).name, {})
            value = usual.get(key, ABSENT)
        self.substitutes.values.setdefault(place.file, []).append((place.keys, value))
        return True
