"""From cells of text to typed columns: what cannot be read is unknown, flagged, and kept as text."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.data.feeds.columns import Moments, Text
from stormgym.envs.data.feeds.faults import FIRST_YEAR, LAST_YEAR, Fault
from stormgym.envs.data.feeds.files import Cells
from stormgym.envs.data.tables import BLANKS
from stormgym.envs.data.times import EPOCH, parse_moment, zone

MOST_CUSTOMERS = 1e7
"""Of one outage; also the most minutes of a stage."""
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_COMMA_NUMBER = re.compile(r"[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+(?=,))(,[0-9]+)?")
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?\s?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Area(NamedTuple):
    """The box in which a feed's places lie (degrees)."""

    south: float
    north: float
    west: float
    east: float


def number_of(cell: str, decimal: str = ".") -> float | None:
    """A finite number in ASCII digits, or None. With a decimal comma points may only part thousands before one."""
    if decimal == ",":
        if not _COMMA_NUMBER.fullmatch(cell):
            return None
        cell = cell.replace(".", "").replace(",", ".")
    elif not _NUMBER.fullmatch(cell):
        return None
    value = float(cell)
    return value if math.isfinite(value) else None


def moment_of(cell: str, formats: Sequence[str] = ()) -> datetime | None:
    """A time in ISO 8601 with date and clock, or in one of `strptime`'s formats, or None."""
    if not cell.isascii():
        return None
    try:
        if _ISO.fullmatch(cell):
            return datetime.fromisoformat(re.sub(r"\s(?=Z|[+-][0-9]{2}:?[0-9]{2}$)", "", cell).replace(",", "."))
    except ValueError:
        return None
    for form in formats:
        try:
            return datetime.strptime(cell, form)
        except ValueError:
            continue
    return None


class Sheet:
    """A table of text on its way to a `JobTable`.

    Args:
        table: the cells.
        tz: IANA zone of times without an offset; None: such a time is unknown.
        formats: `strptime` formats of times that are not ISO 8601.
        decimal: the decimal mark.
        named_zone: the feed itself says that its times are in `tz`, so that none is assumed.

    Raises:
        ValueError: `tz` is no zone.
    """

    def __init__(
        self,
        table: Cells,
        *,
        tz: str | None = None,
        formats: Sequence[str] = (),
        decimal: str = ".",
        named_zone: bool = False,
    ) -> None:
        self.table, self.tz, self.formats, self.decimal = table, tz, tuple(formats), decimal
        self.named_zone = named_zone
        self._local: ZoneInfo | None = None if tz is None else zone(tz)
        self.flags = np.zeros(len(table), dtype=np.int64)
        self._unread: list[list[str]] = [[] for _ in range(len(table))]

    def __len__(self) -> int:
        return len(self.table)

    def cells(self, column: str) -> list[str]:
        """The cells of a column; blank ones where the file has no such column."""
        return self.table.columns.get(column) or [""] * len(self)

    def flag(self, fault: Fault, rows: Bools) -> None:
        """Flag rows of a mask `[R]`."""
        self.flags[rows] |= int(fault)

    def _lost(self, row: int, column: str, cell: str, fault: Fault) -> None:
        """A cell that is taken as unknown."""
        self.flags[row] |= int(fault)
        self._unread[row].append(f"{self.table.names.get(column, column)}={cell!r}")

    def unread(self) -> list[str]:
        """The cells of each row that were taken as unknown, R of them."""
        return ["; ".join(cells) for cells in self._unread]

    def texts(self, column: str) -> Text:
        """A column of words, as they stand there; halves of characters (from JSON) become the replacement character."""
        return np.array([_SURROGATE.sub("\ufffd", cell) for cell in self.cells(column)], dtype=object)

    def words(self, column: str, known: Collection[str]) -> Text:
        """A column of words of which all are known (whatever their case); others stay and are flagged."""
        found = self.texts(column)
        lower = {word.lower() for word in known} | {""}
        self.flag(Fault.UNKNOWN_WORD, np.array([cell.lower() not in lower for cell in found], dtype=np.bool_))
        return found

    def truths(self, column: str, yes: Collection[str], no: Collection[str], *, unsure: Collection[str] = ()) -> Any:
        """A column of words that say yes (1) or no (0), int8; blank and `unsure` ones are -1, others are flagged."""
        meaning = {**dict.fromkeys(unsure, -1), **dict.fromkeys(no, 0), **dict.fromkeys(yes, 1)}
        found = np.full(len(self), -1, dtype=np.int8)
        for row, cell in enumerate(self.cells(column)):
            word = cell.lower()
            if word in BLANKS:
                continue
            if word not in meaning:
                self._lost(row, column, cell, Fault.UNKNOWN_WORD)
            found[row] = meaning.get(word, -1)
        return found

    def numbers(self, column: str, *, least: float = -math.inf, most: float = math.inf) -> Floats:
        """A column of numbers, NaN where blank, unreadable, below `least` or above `most`."""
        found = np.full(len(self), np.nan)
        for row, cell in enumerate(self.cells(column)):
            if cell.lower() in BLANKS:
                continue
            value = number_of(cell, self.decimal)
            if value is None:
                self._lost(row, column, cell, Fault.UNREAD_NUMBER)
            elif value < least:
                self._lost(row, column, cell, Fault.NEGATIVE)
            elif value > most:
                self._lost(row, column, cell, Fault.TOO_MANY)
            else:
                found[row] = value
        return found

    def counts(self, column: str) -> Floats:
        """A column of customers, or of minutes."""
        return self.numbers(column, least=0.0, most=MOST_CUSTOMERS)

    def places(self, latitude: str, longitude: str, area: Area) -> tuple[Floats, Floats]:
        """Two columns of degrees, held against the feed's area."""
        lat, lon = self.numbers(latitude), self.numbers(longitude)
        given = np.isfinite(lat) | np.isfinite(lon)
        swapped = _within(lon, lat, area) & ~_within(lat, lon, area)
        bad = given & ~swapped & ~((np.abs(lat) <= 90) & (np.abs(lon) <= 180) & ((lat != 0) | (lon != 0)))
        for row in np.flatnonzero(bad):
            cell = f"{self.cells(latitude)[row]}, {self.cells(longitude)[row]}"
            self._lost(int(row), latitude, cell, Fault.BAD_COORDINATES)
        self.flag(Fault.SWAPPED_COORDINATES, swapped)
        self.flag(Fault.OUTSIDE_AREA, given & ~bad & ~swapped & ~_within(lat, lon, area))
        return np.where(bad, np.nan, lat), np.where(bad, np.nan, lon)

    def times(self, column: str) -> Moments:
        """A column of times as UTC, NaT where blank or unreadable."""
        found = np.full(len(self), np.datetime64("NaT", "s"))
        for row, cell in enumerate(self.cells(column)):
            if cell.lower() in BLANKS:
                continue
            moment = moment_of(cell, self.formats)
            if moment is None:
                self._lost(row, column, cell, Fault.UNREAD_TIME)
            elif not FIRST_YEAR <= moment.year <= LAST_YEAR:
                self._lost(row, column, cell, Fault.SENTINEL_TIME)
            elif moment.tzinfo is None and self._local is None:
                self._lost(row, column, cell, Fault.NO_ZONE)
            else:
                found[row] = self._utc(row, moment)
        return found

    def _utc(self, row: int, moment: datetime) -> np.datetime64:
        if moment.tzinfo is None:
            if not self.named_zone:
                self.flags[row] |= int(Fault.ZONE_ASSUMED)
            first = moment.replace(tzinfo=self._local)
            if first.utcoffset() != first.replace(fold=1).utcoffset():
                self.flags[row] |= int(Fault.CLOCK_CHANGE)
            moment = first
        seconds = (moment.astimezone(UTC).replace(tzinfo=None) - EPOCH) // timedelta(seconds=1)
        return np.datetime64(seconds, "s")

    def columns(self, **columns: Any) -> dict[str, Any]:
        """These columns and those that tell where rows come from and what was wrong with them, for `JobTable.of`.

        Rows that stand twice are flagged as well.
        """
        whole = list(zip(*self.table.columns.values(), strict=True)) if self.table.columns else []
        seen: dict[tuple[str, ...], int] = {}
        for cells in whole:
            seen[cells] = seen.get(cells, 0) + 1
        self.flag(Fault.DOUBLE_ROW, np.array([seen[cells] > 1 for cells in whole], dtype=np.bool_))
        told: dict[str, Any] = {
            "zone": self.tz or "",
            "source": self.table.source,
            "line": np.array(self.table.lines, dtype=np.int64),
            "unread": np.array(self.unread(), dtype=object),
            "flags": self.flags,
        }
        return told | columns


def _within(lat: Floats, lon: Floats, area: Area) -> Bools:
    return (lat >= area.south) & (lat <= area.north) & (lon >= area.west) & (lon <= area.east)


def earliest(*times: Moments) -> Moments:
    """The first of several times in each row; unknown ones do not count."""
    found = times[0]
    for other in times[1:]:
        found = np.fmin(found, other)
    return found


def first_known(first: Moments, second: Moments) -> Moments:
    """The first of two times, or the second where that is unknown."""
    return np.where(np.isnat(first), second, first)


def later_by(start: Moments, minutes: Floats) -> Moments:
    """Times that many minutes later, to the second; NaT where either is unknown."""
    known = np.isfinite(minutes) & ~np.isnat(start)
    seconds = np.round(np.where(known, minutes, 0.0) * 60.0).astype(np.int64).astype("timedelta64[s]")
    return np.where(known, start + seconds, np.datetime64("NaT", "s"))


def moment_argument(value: str | np.datetime64 | None, name: str) -> np.datetime64:
    """A time given as an argument, UTC: an ISO 8601 text (without an offset it is UTC), a datetime64, or NaT for None.

    Raises:
        ValueError: no such time, or one of a year outside `stormgym.envs.data.times.YEARS`.
    """
    if value is None or (isinstance(value, np.datetime64) and np.isnat(value)):
        return np.datetime64("NaT", "s")
    text = str(value.astype("M8[s]")) if isinstance(value, np.datetime64) else value
    return np.datetime64(parse_moment(text, "UTC", name), "s")
