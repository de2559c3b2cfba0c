"""Pacific Gas and Electric's outages (California) from a git-scraped archive of its public map, one row an outage."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from stormgym.envs.arrays import Bools
from stormgym.envs.data.feeds.columns import hours_between
from stormgym.envs.data.feeds.faults import Fault
from stormgym.envs.data.feeds.files import read_cells
from stormgym.envs.data.feeds.sheet import Area, Sheet, earliest
from stormgym.envs.data.feeds.stated import StatedTimes
from stormgym.envs.data.feeds.table import JobTable
from stormgym.envs.data.tables import DataError, Table

AREA = Area(32.0, 42.5, -125.0, -113.5)
STATUSES = (
    "assigned",
    "assess_enroute",
    "assess_onsite",
    "repair_wait",
    "repair_enroute",
    "repair_onsite",
    "no_access",
    "awaiting",
)
NOTES = ("no_crew_seen", "late_first_seen", "merged", "mass_vanish", "gap>60min", "start", "negative")
_STAGES = ("assess_enroute", "assess_onsite", "repair_wait", "repair_enroute", "repair_onsite")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "start": ("start_utc",),
    "end": ("restored_est_utc",),
    **{
        name: (name,)
        for name in (
            "window",
            "kind",
            "region",
            "county",
            "latitude",
            "longitude",
            "cause_first",
            "scrape_gap_min",
            "duration_h",
            "restored_quality",
            "quality_notes",
            "successor_id",
            "cust_first",
            "status_last",
        )
    },
    **{f"t_{stage}": (f"t_{stage}_utc",) for stage in _STAGES},
    "first_seen": ("first_seen_utc",),
    "ert": ("etr_first_utc",),
    "ert_seen": ("etr_first_seen_utc",),
}
_NEEDED = ("id", "start", "end", "latitude", "longitude", "restored_quality", "quality_notes")


def read_pge(
    path: str | os.PathLike[str], *, windows: Collection[str] = (), region: str = "county", kinds: Collection[str] = ()
) -> JobTable:
    """Read rows that were cut from the archive `simonw/pge-outages-pre-2024` (2019 to 2022), one an outage.

    The end is a disappearance from the map: halfway between the last snapshot with the outage and the first without.
    An end that is a merge into a neighbour is flagged `MERGED`, one of low quality otherwise `DOUBTFUL_END`. Stage
    times are those at which a status was first *seen*. `customers` and `cause` are the first that were stated, as later
    ones are not known while the outage lasts; `ert` is the first time stated (all of them: `read_pge_stated`).
    Planned work and public-safety shut-offs are `planned`.

    Columns as of the set described in `docs/feeds.md`, seen for four storms and two calm weeks of 2019 to 2022. The
    archive's repository is under Apache 2.0 with no holder named; the content is PG&E's public map, whose terms were
    not seen. All times carry Z; one without is unknown and flagged.

    Args:
        path: `.csv` or `.csv.gz`.
        windows: names of windows to keep; all if empty.
        region: column that becomes `region`: `"county"`, or `"region"` for PG&E's names of communities.
        kinds: keep `"unplanned"`, `"planned"`, `"psps"`; all if empty.

    Raises:
        DataError: the file is missing or cut off, lacks a column, or none of its rows is of these windows and kinds.
        ValueError: another `region`.
    """
    if region not in ("county", "region"):
        raise ValueError(f"region must be 'county' or 'region'; got {region!r}")
    wanted = {"window": set(windows), "kind": set(kinds)}
    wanted = {name: values for name, values in wanted.items() if values}
    table = read_cells(
        path,
        COLUMNS,
        needed=(*_NEEDED, region, *wanted),
        keep=lambda row: all(row[name] in values for name, values in wanted.items()),
    )
    if wanted and not len(table):
        told = ", ".join(f"{name} {sorted(values)}" for name, values in wanted.items())
        raise DataError(f"{table.source}: no row has {told}. Check the names.")
    return _jobs(Sheet(table), region)


def _jobs(sheet: Sheet, region: str) -> JobTable:
    stage: dict[str, Any] = {name: sheet.times(f"t_{name}") for name in _STAGES}
    called = earliest(stage["repair_wait"], stage["repair_enroute"], stage["repair_onsite"])
    seen_looking = ~np.isnat(stage["assess_onsite"])
    latitude, longitude = sheet.places("latitude", "longitude", AREA)
    arrival, restored = sheet.times("start"), sheet.times("end")
    kind = sheet.truths("kind", ("planned", "psps"), ("unplanned",))
    notes = [set(cell.split("|")) - {""} for cell in sheet.cells("quality_notes")]
    merged = _mask(sheet, lambda row: "merged" in notes[row])
    low = np.array([cell.lower() == "low" for cell in sheet.cells("restored_quality")], dtype=np.bool_)
    sheet.words("restored_quality", ("high", "medium", "low"))
    sheet.flag(Fault.UNKNOWN_WORD, _mask(sheet, lambda row: bool(notes[row] - set(NOTES))))
    sheet.flag(Fault.MERGED, merged)
    sheet.flag(Fault.DOUBTFUL_END, low & ~merged)
    sheet.flag(Fault.LATE_SEEN, _mask(sheet, lambda row: "late_first_seen" in notes[row]))
    stated_h = sheet.numbers("duration_h")
    sheet.flag(Fault.FIGURES_DISAGREE, np.abs(stated_h - hours_between(arrival, restored)) > 5.0 / 60.0)
    columns = sheet.columns(
        job_id=sheet.texts("id"),
        region=sheet.texts(region),
        latitude=latitude,
        longitude=longitude,
        arrival=arrival,
        restored=restored,
        restored_within_h=sheet.numbers("scrape_gap_min", least=0.0) / 120.0,
        sent_at=earliest(stage["assess_enroute"], stage["repair_enroute"]),
        on_site_at=earliest(stage["assess_onsite"], stage["repair_onsite"]),
        assessed_at=np.where(seen_looking, called, np.datetime64("NaT", "s")),
        repair_start=stage["repair_onsite"],
        customers=sheet.counts("cust_first"),
        cause=sheet.texts("cause_first"),
        status=sheet.words("status_last", STATUSES),
        parent=sheet.texts("successor_id"),
        first_seen_at=sheet.times("first_seen"),
        ert=sheet.times("ert"),
        ert_seen_at=sheet.times("ert_seen"),
        planned=kind,
    )
    return JobTable.of(parents_inside=False, **columns)


def _mask(sheet: Sheet, rule: Any) -> Bools:
    return np.array([rule(row) for row in range(len(sheet))], dtype=np.bool_)


_STATED: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "seen": ("seen_utc",),
    "ert": ("etr_utc",),
    "is_auto": ("is_auto",),
    "flag": ("flag",),
}


def read_pge_stated(path: str | os.PathLike[str], jobs: JobTable) -> StatedTimes:
    """Read every change of the stated times of restoration, for the outages of a table of `read_pge`.

    Changes of other outages are left out. A blank time withdraws the one before. Times flagged `far` (more than 45 days
    ahead, a year that stands for "unknown") are kept as statements that are no forecast.

    Args:
        path: `etr_history.csv.gz` of the set: `id, seen_utc, etr_utc, is_auto, flag`.
        jobs: the table.

    Raises:
        DataError: the file is missing, lacks a column, none of its ids is in the table, or a time or a word cannot be
            read.
    """
    place = {name: row for row, name in enumerate(jobs.job_id.tolist())}
    table = read_cells(path, _STATED, needed=tuple(_STATED), keep=lambda row: row["id"] in place)
    if not len(table):
        raise DataError(f"{table.source}: none of its ids is in the table of outages. Read both from one set.")
    sheet = Sheet(table)
    seen, ert = sheet.times("seen"), sheet.times("ert")
    automatic = sheet.truths("is_auto", ("1", "1.0"), ("0", "0.0"))
    sheet.words("flag", ("past", "far", "removed"))
    _all_read(sheet, table)
    row = np.array([place[name] for name in table.columns["id"]], dtype=np.int64)
    order = np.lexsort((np.arange(len(row)), seen, row))
    last = np.append((np.diff(row[order]) != 0) | (np.diff(seen[order]) > np.timedelta64(0, "s")), True)
    order = order[last]  # of two changes seen in one snapshot the later one holds
    far = np.array([cell.lower() == "far" for cell in table.columns["flag"]], dtype=np.bool_)
    return StatedTimes(row[order], seen[order], ert[order], automatic[order], ~far[order])


def _all_read(sheet: Sheet, table: Table) -> None:
    """A history with holes would score the wrong statement, so that nothing in it may be unreadable."""
    blank = np.array([cell == "" for cell in sheet.cells("seen")], dtype=np.bool_)
    wrong = (sheet.flags != 0) | blank
    if wrong.any():
        row = int(wrong.argmax())
        told = sheet.unread()[row] or "seen is blank, or flag is an unknown word"
        raise DataError(
            f"{table.source}, line {table.lines[row]}: a statement must have a time with a zone, and known words; "
            f"got {told}. Correct the cell or remove the row."
        )
