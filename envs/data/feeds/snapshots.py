"""A folder of snapshots of a live feed as a log: arrivals, changes, and disappearances as ends."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stormgym.envs.data.feeds.columns import COLUMNS, Moments, kind_of
from stormgym.envs.data.feeds.faults import FAR_H, Fault
from stormgym.envs.data.feeds.stated import StatedTimes
from stormgym.envs.data.feeds.table import JobTable
from stormgym.envs.data.tables import DataError
from stormgym.envs.data.times import parse_moment, zone

LONGEST_ABSENCE_H = 12.0
"""An id that is away for longer (h) is another outage when it comes back."""
MANY, MOST = 20, 0.5
"""That many outages, and that share of all, gone at once are a fault of the feed rather than restorations."""
_NAME = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})[T_ -]?([0-9]{2})[:.-]?([0-9]{2})(?:[:.-]?([0-9]{2}))?")
_HOUR = np.timedelta64(3600, "s")
_NAT = np.datetime64("NaT", "s")


class Snapshot(NamedTuple):
    """A feed as it was at one time (UTC)."""

    seen: np.datetime64
    jobs: JobTable


class Changes(NamedTuple):
    """What differs between two snapshots."""

    arrived: tuple[str, ...]
    """Ids that only the later one has."""
    gone: tuple[str, ...]
    """Ids that only the earlier one has."""
    changed: dict[str, tuple[str, ...]]
    """Columns that differ, of ids that both have."""


_OF_THE_FILE = ("flags", "source", "line", "unread", "zone", "first_seen_at", "ert_seen_at")


def changes(before: JobTable, after: JobTable) -> Changes:
    """What differs between two snapshots of one feed; of ids that stand twice in one of them the first row counts."""
    old, new = _rows(before), _rows(after)
    changed: dict[str, tuple[str, ...]] = {}
    for name in old:
        if name in new:
            parts = (c for c in COLUMNS if c not in _OF_THE_FILE)
            differ = tuple(c for c in parts if not _same(getattr(before, c)[old[name]], getattr(after, c)[new[name]]))
            if differ:
                changed[name] = differ
    return Changes(tuple(n for n in new if n not in old), tuple(n for n in old if n not in new), changed)


def _rows(jobs: JobTable) -> dict[str, int]:
    """The first row of each id, in the table's order."""
    found: dict[str, int] = {}
    for row, name in enumerate(jobs.job_id.tolist()):
        if name:
            found.setdefault(name, row)
    return found


def _same(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))


@dataclass
class _Followed:
    """An outage as it has been seen so far."""

    values: dict[str, Any]
    first: int
    last: int
    flags: int = 0
    stated: list[tuple[np.datetime64, np.datetime64]] = field(default_factory=list)
    ended_with: int = 0


def log_of(
    snapshots: Iterable[Snapshot],
    *,
    longest_absence_h: float = LONGEST_ABSENCE_H,
    stages: Mapping[str, str] | None = None,
) -> tuple[JobTable, StatedTimes]:
    """Follow every outage through snapshots of one feed.

    A job's end is what the feed says, else halfway between the last snapshot with it and the first without, and
    `restored_within_h` is half their distance; of jobs in the last snapshot it is unknown. Where half of twenty or more
    vanish at once their ends are flagged `DOUBTFUL_END`. A job that is away for a while and comes back is tied over and
    flagged `FLICKERED`; after `longest_absence_h` it is another row of the same id. Of each column the last value that
    was known is kept, of `arrival` the first (a change of more than 5 minutes is flagged), of `customers` the most.
    Rows without an id cannot be followed: a warning counts them.

    Args:
        snapshots: in the order of time; read one after the other, so that a generator keeps memory small.
        longest_absence_h: see above (h).
        stages: column of a stage time by the word of `status` that tells that it has come, e.g.
            `{"ONS": "on_site_at"}`: the first snapshot with that word gives the time, where the feed gives none.

    Returns:
        The log, in the order of first sight, and every stated time of restoration.

    Raises:
        DataError: fewer than two snapshots, or two of them not in the order of time.
    """
    open_: dict[str, _Followed] = {}
    everyone: list[_Followed] = []
    before: list[_Followed] = []
    seen: list[np.datetime64] = []
    nameless = 0
    stage_of = {word.lower(): column for word, column in (stages or {}).items()}
    for moment, jobs in snapshots:
        if seen and not moment > seen[-1]:
            raise DataError(f"snapshots must be in the order of time, each at its own; got {moment} after {seen[-1]}.")
        seen.append(moment)
        here = len(seen) - 1
        nameless += int((jobs.job_id == "").sum())
        present = _rows(jobs)
        for name, row in present.items():
            values = {c: getattr(jobs, c)[row] for c in COLUMNS}
            job = open_.get(name)
            if job is None or (job.last < here - 1 and moment - seen[job.last] > longest_absence_h * _HOUR):
                job = open_[name] = _Followed({**values, "first_seen_at": moment}, here, here)
                everyone.append(job)
            _follow(job, values, here, moment, stage_of)
        _mark_vanished(before, here)
        before = [open_[name] for name in present]
    if len(seen) < 2:
        raise DataError(f"a log needs at least two snapshots; got {len(seen)}. One shows no ends.")
    if nameless:
        warnings.warn(
            f"{nameless} rows of snapshots have no id: they cannot be followed and are left out.", stacklevel=2
        )
    return _table(everyone, np.array(seen, dtype="M8[s]"))


def _follow(job: _Followed, values: dict[str, Any], here: int, moment: np.datetime64, stage_of: dict[str, str]) -> None:
    """Take what one snapshot says of a job."""
    if job.last < here - 1:
        job.flags |= int(Fault.FLICKERED)
    job.last = here
    old = job.values
    job.flags |= int(values["flags"])
    if abs(values["arrival"] - old["arrival"]) > np.timedelta64(300, "s"):
        job.flags |= int(Fault.FIGURES_DISAGREE)
    ert = values["ert"]
    if not _same(job.stated[-1][1] if job.stated else _NAT, ert):
        job.stated.append((moment, ert))
    for column, value in values.items():
        if column in ("flags", "arrival", "first_seen_at", "ert_seen_at"):
            continue
        if column.endswith("customers"):
            value = np.fmax(old[column], value)
        if not _is_unknown(column, value):
            old[column] = value
    if np.isnat(old["arrival"]):
        old["arrival"] = values["arrival"]
    stage = stage_of.get(str(values["status"]).lower())
    if stage is not None and np.isnat(old[stage]):
        old[stage] = moment


def _is_unknown(column: str, value: Any) -> bool:
    kind = kind_of(column)
    if kind == "text":
        return bool(value == "")
    if kind == "time":
        return bool(np.isnat(value))
    return bool(np.isnan(value)) if kind == "number" else column == "planned" and int(value) == -1


def _mark_vanished(before: Sequence[_Followed], here: int) -> None:
    """Note, of the jobs of the last snapshot, which vanished with many and most others."""
    gone = [job for job in before if job.last < here]
    if len(gone) >= MANY and len(gone) >= MOST * len(before):
        for job in gone:
            job.ended_with = here  # counts only if the job never comes back


def _table(everyone: Sequence[_Followed], seen: Moments) -> tuple[JobTable, StatedTimes]:
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        values = [job.values[name] for job in everyone]
        kind: Any = {"text": object, "time": "M8[s]", "number": np.float64}.get(kind_of(name), np.int64)
        columns[name] = np.array(values, dtype=kind)
    last = np.array([job.last for job in everyone], dtype=np.int64)
    ended = last < len(seen) - 1
    following = np.minimum(last + 1, len(seen) - 1)
    width = (seen[following] - seen[last]).astype(np.int64)
    told = ~np.isnat(columns["restored"])
    middle = seen[last] + (width // 2).astype("timedelta64[s]")
    columns["restored"] = np.where(told, columns["restored"], np.where(ended, middle, _NAT))
    columns["restored_within_h"] = np.where(told, columns["restored_within_h"], np.where(ended, width / 7200.0, np.nan))
    crowd = [job.ended_with == job.last + 1 for job in everyone]
    flags = np.array([job.flags & ~int(Fault.DOUBLE_ROW) for job in everyone], dtype=np.int64)
    flags[np.array(crowd, dtype=np.bool_) & ~told] |= int(Fault.DOUBTFUL_END)
    columns["flags"] = flags
    columns["ert_seen_at"] = np.array([job.stated[-1][0] if job.stated else _NAT for job in everyone], dtype="M8[s]")
    stated = [(row, *pair) for row, job in enumerate(everyone) for pair in job.stated]
    rows = np.array([row for row, _, _ in stated], dtype=np.int64)
    at = np.array([moment for _, moment, _ in stated], dtype="M8[s]")
    ert = np.array([when for _, _, when in stated], dtype="M8[s]")
    usable = ~(ert - at > FAR_H * _HOUR)
    history = StatedTimes(rows, at, ert, np.full(rows.size, -1, dtype=np.int8), usable)
    return JobTable.of(parents_inside=False, **columns), history


def read_snapshots(
    folder: str | os.PathLike[str],
    read: Callable[[Path, np.datetime64], JobTable],
    *,
    pattern: str = "*",
    tz: str = "UTC",
    time_of: Callable[[Path], np.datetime64] | None = None,
    longest_absence_h: float = LONGEST_ABSENCE_H,
    stages: Mapping[str, str] | None = None,
) -> tuple[JobTable, StatedTimes]:
    """Read a folder of snapshots of one feed as a log (`log_of`).

    Args:
        folder: with a file a snapshot.
        read: reads one, given its path and time (UTC), e.g. `lambda path, seen: read_ssen(path, seen=seen)`.
        pattern: names of the files.
        tz: IANA zone of the times in their names.
        time_of: the time of a file (UTC); None takes it from its name (`20241201T1015`, `2024-12-01_10-15-00`, ...).
        longest_absence_h, stages: of `log_of`.

    Raises:
        DataError: no such folder, fewer than two files, a name without a time, two of one time, or a file that `read`
            refuses.
        ValueError: `tz` is no zone.
    """
    zone(tz)
    place = Path(folder)
    files = sorted(file for file in place.glob(pattern) if file.is_file()) if place.is_dir() else []
    if len(files) < 2:
        raise DataError(f"{place}: a log needs a folder with at least two files {pattern!r}; got {len(files)}.")
    told = time_of or (lambda file: _time_in_name(file, tz))
    when = sorted(((told(file), file) for file in files), key=lambda pair: (pair[0], pair[1].name))
    for (first, file), (second, other) in pairwise(when):
        if first == second:
            raise DataError(f"{file} and {other} are both of {first}. Keep one, or name them in UTC.")
    snapshots = (Snapshot(moment, read(file, moment)) for moment, file in when)
    return log_of(snapshots, longest_absence_h=longest_absence_h, stages=stages)


def _time_in_name(file: Path, tz: str) -> np.datetime64:
    found = _NAME.search(file.name)
    if found is None:
        raise DataError(f"{file}: the name tells no time such as 20241201T1015. Rename it, or pass time_of.")
    numbers = [int(part or 0) for part in found.groups()]
    try:
        moment = datetime(*numbers)  # type: ignore[arg-type]
        return np.datetime64(parse_moment(moment.isoformat(), tz, "the name's time"), "s")
    except ValueError as error:
        raise DataError(f"{file}: the name tells no time ({error}). Rename it, or pass time_of.") from error
