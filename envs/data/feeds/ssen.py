"""Scottish and Southern Electricity Networks (Great Britain): Power Track, a live list of faults in JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from stormgym.envs.data.feeds.faults import Fault
from stormgym.envs.data.feeds.files import object_in, read_json_records
from stormgym.envs.data.feeds.sheet import Area, Sheet, moment_argument
from stormgym.envs.data.feeds.table import JobTable

AREA = Area(50.0, 61.5, -8.0, 0.5)
"""Central southern England, and the north of Scotland with its islands."""
TYPES = ("LV", "HV", "PSI")
TREE = ("primaryNrn", "hvFeederNrn", "transformerNrn", "lvFeederNrn")
"""Numbers of what the place hangs on, from above."""
_NAMES = (
    *("reference", "loggedAtUtc", "type", "location", "estimatedRestorationTimeUtc", "engineerOnSiteTimeUtc"),
    *("affectedAreas", "customerCount", "jobStatus", "jobSubType", "mergedTo", "latitude", "longitude"),
)
COLUMNS: Mapping[str, tuple[str, ...]] = {name: (name,) for name in (*_NAMES, *TREE)}
LISTS = ("faults", "results", "data", "items")


def read_ssen(path: str | os.PathLike[str], *, seen: str | np.datetime64 | None = None) -> JobTable:
    """Read a snapshot of Power Track.

    `region` is `location` where that is a text, else the affected areas (postcodes) with `;`; a location that is an
    object gives its `latitude` and `longitude`. `feeder` is the path through the feeder tree, from the primary
    substation down (`primary/hv/transformer/lv`, unknown ones blank). A fault that was merged has the other's reference
    as `parent` and is flagged. There is no end: read a folder of snapshots (`read_snapshots`). `cause` is `jobSubType`,
    `status` is `jobStatus`, whose words were not listed, so that all are taken. A `type` other than LV and HV (and PSI,
    planned work) is flagged.

    Keys were read in loaders of third parties in November 2026, not on the publisher's page, and no real file was at
    hand: check the first table against its file. Licence as read there: CC BY 4.0. Times are UTC, as their names say.

    Args:
        path: `.json` or `.json.gz`: the list, or an object with it under one of `LISTS`.
        seen: when it was downloaded (UTC if it has no offset): without it, a stated time that had passed cannot be
            told.

    Raises:
        DataError: the file is missing, cut off, no JSON, or lacks a key.
        ValueError: `seen` is no time.
    """
    table = read_json_records(path, COLUMNS, needed=("reference", "loggedAtUtc"), lists=LISTS)
    _spread_locations(table.columns, len(table))
    sheet = Sheet(table, tz="UTC", named_zone=True)
    sheet.words("type", TYPES)
    latitude, longitude = sheet.places("latitude", "longitude", AREA)
    location, areas = sheet.texts("location"), sheet.texts("affectedAreas")
    parent = sheet.texts("mergedTo")
    sheet.flag(Fault.MERGED, parent != "")
    ert = sheet.times("estimatedRestorationTimeUtc")
    tree = zip(*(sheet.texts(name) for name in TREE), strict=True)
    kind = np.array([cell.upper() for cell in sheet.cells("type")], dtype=object)
    planned = np.where(kind == "PSI", 1, np.where((kind == "LV") | (kind == "HV"), 0, -1))
    columns = sheet.columns(
        job_id=sheet.texts("reference"),
        region=np.where(location == "", areas, location),
        latitude=latitude,
        longitude=longitude,
        arrival=sheet.times("loggedAtUtc"),
        on_site_at=sheet.times("engineerOnSiteTimeUtc"),
        customers=sheet.counts("customerCount"),
        cause=sheet.texts("jobSubType"),
        status=sheet.texts("jobStatus"),
        feeder=np.array(["/".join(parts).rstrip("/") for parts in tree], dtype=object),
        parent=parent,
        ert=ert,
        ert_seen_at=np.where(np.isnat(ert), ert, moment_argument(seen, "seen")),
        planned=planned.astype(np.int8),
    )
    return JobTable.of(**columns)


def _spread_locations(columns: dict[str, list[str]], n: int) -> None:
    """Take coordinates out of locations that are objects (JSON text here)."""
    for name in ("location", "latitude", "longitude"):
        columns.setdefault(name, [""] * n)
    for row, cell in enumerate(columns["location"]):
        found = object_in(cell)
        if found is not None and {"latitude", "longitude"} <= set(found):
            for name in ("latitude", "longitude"):
                columns[name][row] = "" if found[name] is None else str(found[name])
            columns["location"][row] = ""
