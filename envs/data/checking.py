"""All that is wrong with a folder at once: its reader reads again and again, each time with the last fault put aside.

A reader stops at the first fault and says where it is. Here the fault is noted, a value that the file has elsewhere
stands in for the wrong one, and the same reader reads again, until it gets through or stops at something that nothing
can stand in for. Then each of the remaining files is read alone, as far as it can be. There is no second parser.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from stormgym.envs.data.errors import DataError, Place
from stormgym.envs.data.substitutes import ABSENT, Substitutes, substituted

MOST_FAULTS = 200
"""Faults that are listed; then the check stops."""
MOST_READINGS = 600
ASKED_OF_A_RULE = 3
"""Cells of a column that break one rule, or hold one wrong text, and are listed apart; later ones are told together."""
WHOLE_COLUMN = 0.9
"""Share of the rows from which on a fault is one of the column, and is told once."""
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
    stand_ins: tuple[str, ...] = ()
    """Texts to try in a column of a CSV file that has no cell without a fault."""
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
    """Later lines that break the same rule in that column."""
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
    through = content is not None and not check.full and not check.column_gone
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
        self.column_gone = False
        """Nothing but stand-ins is left of a column: what is counted in it says nothing."""
        self.substitutes = Substitutes()
        self.tried: Counter[Place] = Counter()
        self.said: set[str] = set()
        self.asked: Counter[tuple[str, str | None, str]] = Counter()
        """Faults listed, by file, column, and rule or text."""
        self.warned: set[str] = set()
        """Warnings of earlier readings, without their numbers, which differ once rows are put aside."""

    def read(self, reader: Callable[[], Any]) -> Any:
        """What a reader gives, however many substitutes it takes; None where none helps."""
        for _ in range(MOST_READINGS):
            caught: list[warnings.WarningMessage] = []
            try:
                with substituted(self.substitutes), warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always", UserWarning)
                    return reader()
            except DataError as error:
                lines = self._lines(error)
                self.note(error, lines[1:])
                if len(self.findings) >= MOST_FAULTS or not self._mend(error.place, lines):
                    break
            finally:
                self._warn([str(warning.message) for warning in caught])
        self.full = self.full or len(self.findings) >= MOST_FAULTS
        return None

    def note(self, error: DataError, more_lines: tuple[int, ...] = ()) -> None:
        """Keep an error, unless its place is known to be wrong already; `more_lines` are told with it."""
        if error.place is None or not self._is_known(error.place):
            self._add("error", str(error), error.place, more_lines)

    def _is_known(self, place: Place) -> bool:
        """Whether something stands in for a place already, or for what it is a part of."""
        ways = [place.keys[:n] for n in range(1, len(place.keys))]
        return bool(self.tried[place]) or any(self.tried[place._replace(keys=way)] for way in ways)

    def _warn(self, messages: list[str]) -> None:
        """Keep the warnings of a reading, but for those that an earlier one gave with other numbers."""
        if self.column_gone:
            return
        kinds = [re.sub(r"[0-9][0-9,.]*", "0", message) for message in messages]
        for kind, message in zip(kinds, messages, strict=True):
            if kind not in self.warned:
                self._add("warning", message, None)
        self.warned.update(kinds)

    def _lines(self, error: DataError) -> tuple[int, ...]:
        """Lines to put aside at once: that of the error, and later ones once enough of their kind are listed."""
        place = error.place
        if place is None or place.line is None:
            return ()
        more = list(error.more_lines)
        if self.tried[place]:
            return (place.line, *(line for line in more if self.tried[place._replace(line=line)]))
        key, column = error.rule, place.column
        table = self.substitutes.tables.get(place.file)
        if table is not None and column is not None:
            cells = table.columns[column]
            if not more:
                key = cells[table.lines.index(place.line)]
                more = [at for at, cell in zip(table.lines, cells, strict=True) if cell == key and at > place.line]
            if len(more) >= ASKED_OF_A_RULE and 1 + len(more) >= WHOLE_COLUMN * len(table):
                self.column_gone = True
                return (place.line, *more)
        self.asked[place.file, column, key] += 1
        if self.asked[place.file, column, key] < ASKED_OF_A_RULE:
            return (place.line,)
        return (place.line, *(line for line in more if not self.tried[place._replace(line=line)]))

    def _add(
        self,
        level: Literal["error", "warning"],
        message: str,
        place: Place | None,
        more_lines: tuple[int, ...] = (),
    ) -> None:
        if message in self.said or _MARK in message:
            return
        self.said.add(message)
        at = place or Place("")
        column = at.column or (".".join(map(str, at.keys)) or None)
        unsure = place is None or level == "warning" or (bool(at.keys) and self.rows_dropped)
        follows = bool(self.tried) and (unsure or self._beside_a_substitute(at))
        self.findings.append(Finding(level, message, at.file, at.line, column, more_lines, follows))

    def _beside_a_substitute(self, place: Place) -> bool:
        """Whether another cell of the row has been put aside: rules on both may then be broken by what stands in."""
        cells = self.substitutes.cells.get(place.file, {})
        return any(line == place.line and column != place.column for line, column in cells)

    def _mend(self, place: Place | None, lines: tuple[int, ...]) -> bool:
        """Put something in the place of a fault; whether there was anything left to try."""
        if place is None:
            return False
        attempt = self.tried[place]
        self.tried[place] += 1
        if place.keys:
            return self._mend_value(place, attempt)
        return place.line is not None and self._mend_cells(place, lines, attempt)

    def _mend_cells(self, place: Place, lines: tuple[int, ...], attempt: int) -> bool:
        """First another row's cell or what the kind has for it, then a blank, a word of its own, and no row at all."""
        self.tried.update({place._replace(line=line): 1 for line in lines[1:]})
        words = ("", *self.kind.stand_ins, "", _MARK)  # the first is found below
        if place.column is not None and attempt < len(words):
            cells = self.substitutes.cells.setdefault(place.file, {})
            word = self._elsewhere(place, lines) if attempt == 0 else words[attempt]
            cells.update({(line, place.column): f"{word}{line}" if word == _MARK else word for line in lines})
            return True
        skipped = self.substitutes.skipped.setdefault(place.file, set())
        table = self.substitutes.tables.get(place.file)
        if skipped.issuperset(lines) or (table is not None and len({*skipped, *lines}) >= len(table)):
            return False
        skipped.update(lines)
        self.rows_dropped = self.rows_dropped or place.column is not None
        return True

    def _elsewhere(self, place: Place, lines: tuple[int, ...]) -> str:
        """The cell of a column in the first row that has no fault there."""
        table = self.substitutes.tables[place.file]
        assert place.column is not None
        wrong = {at.line for at in self.tried if (at.file, at.column) == (place.file, place.column)} | {*lines}
        rows = zip(table.lines, table.columns[place.column], strict=True)
        return next((cell for at, cell in rows if at not in wrong and cell), "")

    def _mend_value(self, place: Place, attempt: int) -> bool:
        """A usual value, or no such key; of a list's entry, one other entry after the other."""
        key = place.keys[-1]
        if isinstance(key, int):
            content: Any = self.substitutes.objects[place.file]
            for step in place.keys[:-1]:
                content = content[step]
            wrong = {at.keys[-1] for at in self.tried if at.file == place.file and at.keys[:-1] == place.keys[:-1]}
            others = [entry for i, entry in enumerate(content) if i not in wrong and isinstance(entry, dict)]
            if attempt > len(others) or (attempt == len(others) and len(place.keys) != 2):
                return False
            if attempt == len(others):  # then without the list
                self.substitutes.values.setdefault(place.file, []).append((place.keys[:-1], ABSENT))
                return True
            value: Any = {name: inner for name, inner in others[attempt].items() if name != "name"}
        elif attempt:
            return False
        else:
            usual = self.kind.usual.get(Path(place.file).name, {})
            value = usual.get(key, ABSENT)
        self.substitutes.values.setdefault(place.file, []).append((place.keys, value))
        return True
