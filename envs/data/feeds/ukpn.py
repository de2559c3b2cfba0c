"""UK Power Networks (Great Britain): `ukpn-live-faults`, exported as CSV or JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stormgym.envs.data.feeds.faults import Fault
from stormgym.envs.data.feeds.files import object_in, read_cells, read_json_records
from stormgym.envs.data.feeds.sheet import Area, Sheet, first_known, moment_argument
from stormgym.envs.data.feeds.table import JobTable

AREA = Area(50.5, 53.5, -1.5, 2.0)
"""London, the south east and the east of England."""
KINDS = ("Planned", "Unplanned", "Restored")
_NAMES = (
    *("incidentreference", "powercuttype", "creationdatetime", "receiveddate", "restoreddatetime"),
    *("estimatedrestorationdate", "nocustomeraffected", "fullpostcodedata", "incidentcategory"),
    *("operatingzone", "geopoint"),
)
COLUMNS: Mapping[str, tuple[str, ...]] = {name: (name,) for name in _NAMES}
_NEEDED = ("incidentreference", "powercuttype")


def read_ukpn(
    path: str | os.PathLike[str], *, tz: str | None = None, seen: str | np.datetime64 | None = None
) -> JobTable:
    """Read an export of UK Power Networks' live faults, by the ending of the file's name.

    The arrival is `receiveddate` (the first report), else `creationdatetime`. `region` is `operatingzone`, else the
    postcodes (`;`). A restored fault is no longer said to be planned or not: -1. The publisher drops faults of five
    customers or fewer, so that small jobs, most of a storm's, are missing.

    Names of fields were read in loaders of third parties in November 2026 (11 of 29 are used), not on the publisher's
    page, and no real file was at hand: check the first table against its file. Licence as read there: CC BY 4.0.

    Args:
        path: `.json` (a list, or pages with `results` or `records`), or `.csv`; either with `.gz`.
        tz: IANA zone of times without an offset; None: such a time is unknown and flagged.
        seen: when it was downloaded (UTC if it has no offset): without it, a stated time that had passed cannot be
            told.

    Raises:
        DataError: the file is missing, cut off, or lacks a field.
        ValueError: `tz` is no zone, or `seen` no time.

    Warns:
        UserWarning: a JSON file says that it is one page of several.
    """
    if Path(path).name.removesuffix(".gz").endswith(".json"):
        table = read_json_records(path, COLUMNS, needed=_NEEDED, lists=("results", "records"))
    else:
        table = read_cells(path, COLUMNS, needed=_NEEDED)
    points = [_point(cell) for cell in table.columns.get("geopoint", [""] * len(table))]
    table.columns["latitude"] = [lat for lat, _ in points]
    table.columns["longitude"] = [lon for _, lon in points]
    sheet = Sheet(table, tz=tz)
    if len(table) and "receiveddate" not in table.columns and "creationdatetime" not in table.columns:
        table.require("receiveddate", cure="A fault needs receiveddate or creationdatetime.")
    latitude, longitude = sheet.places("latitude", "longitude", AREA)
    zone, postcodes = sheet.texts("operatingzone"), sheet.texts("fullpostcodedata")
    restored, ert = sheet.times("restoreddatetime"), sheet.times("estimatedrestorationdate")
    kind = sheet.words("powercuttype", KINDS)
    done = np.array([cell.lower() == "restored" for cell in kind], dtype=np.bool_)
    sheet.flag(Fault.DOUBTFUL_END, done != ~np.isnat(restored))  # the word and the time contradict each other
    columns = sheet.columns(
        job_id=sheet.texts("incidentreference"),
        region=np.where(zone == "", postcodes, zone),
        latitude=latitude,
        longitude=longitude,
        arrival=first_known(sheet.times("receiveddate"), sheet.times("creationdatetime")),
        restored=restored,
        customers=sheet.counts("nocustomeraffected"),
        cause=sheet.texts("incidentcategory"),
        status=kind,
        ert=ert,
        ert_seen_at=np.where(np.isnat(ert), ert, moment_argument(seen, "seen")),
        planned=sheet.truths("powercuttype", ("planned",), ("unplanned",), unsure=("restored",)),
    )
    return JobTable.of(**columns)


def _point(cell: str) -> tuple[str, str]:
    """Latitude and longitude of `51.5, -0.1`, `51.5;-0.1` or `{"lat": 51.5, "lon": -0.1}`; else the cell itself."""
    found = object_in(cell)
    if found is not None and {"lat", "lon"} <= set(found):
        return str(found["lat"]), str(found["lon"])
    if cell.startswith("{"):
        return cell, cell
    parts = [part.strip() for part in cell.replace(";", ",").split(",")]
    return (parts[0], parts[1]) if len(parts) == 2 else (cell, cell)
