"""What can be wrong with a row of a feed, and how it is found: flagged, and never put right in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntFlag, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Bools, Ints
from stormgym.envs.data.sizes import LONG_OUTAGE_H

FAR_H = 45 * 24
"""A stated time of restoration farther ahead than this (h) is no forecast."""
LATE_SEEN_H = 2.0
"""An outage first seen later than this after its start (h) was missed while it was young."""
FIRST_YEAR, LAST_YEAR = 1990, 2099
"""Years outside stand for "unknown" in feeds (1900, 1970, 9999)."""


class Fault(IntFlag):
    """What is wrong with a row, a bit each; `FAULTS` says it in words."""

    NO_ID = auto()
    DOUBLE_ID = auto()
    DOUBLE_ROW = auto()
    NO_PLACE = auto()
    BAD_COORDINATES = auto()
    SWAPPED_COORDINATES = auto()
    OUTSIDE_AREA = auto()
    NO_ARRIVAL = auto()
    UNREAD_TIME = auto()
    SENTINEL_TIME = auto()
    NO_ZONE = auto()
    ZONE_ASSUMED = auto()
    CLOCK_CHANGE = auto()
    RESTORED_FIRST = auto()
    NO_DURATION = auto()
    LONG = auto()
    STAGE_ORDER = auto()
    FIGURES_DISAGREE = auto()
    UNREAD_NUMBER = auto()
    NEGATIVE = auto()
    FRACTIONAL = auto()
    TOO_MANY = auto()
    UNKNOWN_WORD = auto()
    ODD_TEXT = auto()
    ERT_PAST = auto()
    ERT_FAR = auto()
    LATE_SEEN = auto()
    MERGED = auto()
    DOUBTFUL_END = auto()
    FLICKERED = auto()
    NO_PARENT = auto()
    CIRCLE = auto()


FAULTS: dict[Fault, str] = {
    Fault.NO_ID: "no id",
    Fault.DOUBLE_ID: "the id stands in more than one row",
    Fault.DOUBLE_ROW: "the same row stands more than once",
    Fault.NO_PLACE: "neither a region nor coordinates",
    Fault.BAD_COORDINATES: "coordinates that are on no map, one without the other, or exactly 0, 0: taken as unknown",
    Fault.SWAPPED_COORDINATES: "latitude and longitude look swapped: left as they are",
    Fault.OUTSIDE_AREA: "coordinates outside the feed's area",
    Fault.NO_ARRIVAL: "no time of arrival",
    Fault.UNREAD_TIME: "a time that cannot be read: taken as unknown",
    Fault.SENTINEL_TIME: "a year that stands for unknown (before 1990 or after 2099): taken as unknown",
    Fault.NO_ZONE: "a time without a zone, and none was given: taken as unknown",
    Fault.ZONE_ASSUMED: "a time without a zone, read in the zone that was given",
    Fault.CLOCK_CHANGE: "a local time that the clock repeats (its first reading is taken) or skips (moved forward)",
    Fault.RESTORED_FIRST: "restored before it arrived",
    Fault.NO_DURATION: "restored in the second in which it arrived",
    Fault.LONG: "without power for more than 60 days",
    Fault.STAGE_ORDER: "stages of the work out of order, before the arrival or after the end",
    Fault.FIGURES_DISAGREE: "the feed's own figures disagree by more than 5 minutes",
    Fault.UNREAD_NUMBER: "a number that cannot be read: taken as unknown",
    Fault.NEGATIVE: "a count or a time below zero: taken as unknown",
    Fault.FRACTIONAL: "a fraction of a customer",
    Fault.TOO_MANY: "more than ten million customers, or a stage above ten million minutes: taken as unknown",
    Fault.UNKNOWN_WORD: "a word where the reader knows others",
    Fault.ODD_TEXT: "a text that begins like a formula of a spreadsheet, or holds control or replacement characters",
    Fault.ERT_PAST: "a stated time of restoration that had passed when it was stated",
    Fault.ERT_FAR: "a stated time of restoration more than 45 days ahead",
    Fault.LATE_SEEN: "first seen more than two hours after its start",
    Fault.MERGED: "merged into another: its end is no restoration",
    Fault.DOUBTFUL_END: "an end that may be no restoration",
    Fault.FLICKERED: "absent from snapshots and back again: tied over",
    Fault.NO_PARENT: "a parent that is not in the table, or none where one is due",
    Fault.CIRCLE: "its parents form a circle",
}

UNUSABLE_END = Fault.RESTORED_FIRST | Fault.MERGED | Fault.DOUBTFUL_END
"""Faults with which the end of an outage tells nothing of its restoration."""
STAGES = ("sent_at", "on_site_at", "assessed_at", "repair_start")
"""Times of the work, in the order in which they come."""
WORDS = ("job_id", "region", "cause", "status", "feeder", "parent", "crew")
"""Columns with texts of a feed."""
_FORMULA = re.compile(r"[=+@-].*[A-Za-z(]", re.DOTALL)
_ODD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ufeff\ufffd]")


def count_faults(flags: Ints) -> dict[str, int]:
    """Rows that carry each fault, by its words; those that none carries left out."""
    found = {text: int(((flags & int(fault)) != 0).sum()) for fault, text in FAULTS.items()}
    return {text: n for text, n in found.items() if n}


def fault_words(flags: int) -> str:
    """Names of the faults of one row, `no_id|no_place`; blank for none."""
    return "|".join(str(fault.name).lower() for fault in FAULTS if flags & fault)


def faults_of(words: str) -> int:
    """The faults that `fault_words` named.

    Raises:
        KeyError: a name of no fault.
    """
    return sum(Fault[word.upper()] for word in set(words.split("|")) if word)


def is_odd(text: str) -> bool:
    """Whether a text begins like a formula, or holds control, direction or replacement characters."""
    return bool(text) and bool(_FORMULA.match(text) or _ODD.search(text))


def find_faults(columns: Mapping[str, NDArray[Any]], *, parents_inside: bool) -> Ints:
    """Faults that columns show of each other, `[R]`; those of single cells are found where these are read.

    Args:
        columns: those of a `JobTable`.
        parents_inside: whether every parent should be a row of the table.
    """
    flags = np.zeros(len(columns["job_id"]), dtype=np.int64)

    def mark(fault: Fault, wrong: Bools) -> None:
        flags[wrong] |= int(fault)

    mark(Fault.NO_ID, columns["job_id"] == "")
    mark(Fault.DOUBLE_ID, _doubles(columns["job_id"]) & (columns["job_id"] != ""))
    mark(Fault.NO_PLACE, (columns["region"] == "") & np.isnan(columns["latitude"]))
    for name in WORDS:
        mark(Fault.ODD_TEXT, np.array([is_odd(text) for text in columns[name].tolist()], dtype=np.bool_))
    customers = np.concatenate([columns["customers"], columns["vulnerable_customers"]]).reshape(2, -1)
    mark(Fault.FRACTIONAL, (np.isfinite(customers) & (customers % 1 != 0)).any(axis=0))
    _mark_times(columns, mark)
    if parents_inside:
        missing, circle = _parents(columns["job_id"], columns["parent"])
        mark(Fault.NO_PARENT, missing)
        mark(Fault.CIRCLE, circle)
    return flags


def _mark_times(columns: Mapping[str, NDArray[Any]], mark: Any) -> None:
    """Faults between times; a comparison with an unknown one is False."""
    arrival, restored, ert = columns["arrival"], columns["restored"], columns["ert"]
    mark(Fault.NO_ARRIVAL, np.isnat(arrival))
    mark(Fault.RESTORED_FIRST, restored < arrival)
    mark(Fault.NO_DURATION, restored == arrival)
    hour = np.timedelta64(3600, "s")
    mark(Fault.LONG, restored - arrival > LONG_OUTAGE_H * hour)
    mark(Fault.LATE_SEEN, columns["first_seen_at"] - arrival > LATE_SEEN_H * hour)
    stated = np.where(np.isnat(columns["ert_seen_at"]), arrival, columns["ert_seen_at"])
    mark(Fault.ERT_PAST, ert < stated)
    mark(Fault.ERT_FAR, ert - stated > FAR_H * hour)
    before = arrival
    for name in STAGES:
        after = columns[name]
        mark(Fault.STAGE_ORDER, (after < before) | (after > restored))
        before = np.fmax(before, after)


def _doubles(ids: NDArray[np.object_]) -> Bools:
    """Rows whose id others have as well."""
    seen: dict[str, int] = {}
    for name in ids.tolist():
        seen[name] = seen.get(name, 0) + 1
    return np.array([seen[name] > 1 for name in ids.tolist()], dtype=np.bool_)


def _parents(ids: NDArray[np.object_], parents: NDArray[np.object_]) -> tuple[Bools, Bools]:
    """Rows whose parent is no row, and rows whose parents never end."""
    place = {name: row for row, name in reversed(list(enumerate(ids.tolist())))}
    n = len(ids)
    above = np.array([place.get(name, -1) if name else n for name in parents.tolist()] + [n], dtype=np.int64)
    missing = above[:-1] < 0
    jump = np.where(above < 0, n, above)  # row n is where every chain ends
    for _ in range(max(n, 1).bit_length() + 1):
        jump = jump[jump]  # two, four, eight ... steps up
    return missing, jump[:-1] != n
