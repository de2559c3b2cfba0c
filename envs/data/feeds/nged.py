"""National Grid Electricity Distribution (Great Britain): `power_outage_ext.csv`, and the detailed file."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from stormgym.envs.data.feeds.files import read_cells
from stormgym.envs.data.feeds.sheet import Area, Sheet, first_known
from stormgym.envs.data.feeds.table import JobTable

AREA = Area(49.5, 54.0, -7.0, 1.0)
"""South West and Midlands of England, and South Wales."""
RESOURCE = ("UNASSIGNED", "SENT", "DISP", "ONS", "COMP")
"""What the crew is doing: none, told, on its way, on site, done."""
YES, NO = ("true", "yes", "y", "1", "planned"), ("false", "no", "n", "0", "unplanned")
FORMATS = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "seen": ("Upload Date",),
    "region": ("Region",),
    "id": ("Incident ID",),
    "customers": ("Confirmed Off",),
    "planned": ("Planned",),
    "category": ("Category",),
    "resource": ("Resource Status",),
    "start": ("Start Time",),
    "ert": ("ETR",),
    "latitude": ("Location Latitude",),
    "longitude": ("Location Longitude",),
    "vulnerable": ("number_of_psr_customers",),
    "reported": ("date_of_reported_fault",),
    "restored": ("date_of_restoration",),
}
_NEEDED = ("id", "planned", "latitude", "longitude")


def read_nged(path: str | os.PathLike[str], *, tz: str) -> JobTable:
    """Read NGED's live file of outages (every five minutes), or the detailed one.

    The arrival is `Start Time`, else `date_of_reported_fault`. `customers` are `Confirmed Off`; the file's `Predicted
    Off` and `Restored`, by their names counts of customers as well, are left out. `vulnerable_customers` are
    `number_of_psr_customers` of the detailed file (those of the Priority Services Register; the critical ones among
    them are left out). `status` is `Resource Status`. The live file has no end: read a folder of snapshots
    (`read_snapshots`); `restored` is `date_of_restoration` where the file has it.

    The list of columns was read in loaders of third parties in November 2026, not on the publisher's page, and no real
    file was at hand: check the first table against its file. Licence as read there: NGED's own open licence.

    Args:
        path: `.csv` or `.csv.gz`.
        tz: IANA zone of times without an offset, which the loaders did not tell: `"Europe/London"` or `"UTC"`.

    Raises:
        DataError: the file is missing or cut off, or lacks a column.
        ValueError: `tz` is no zone.
    """
    table = read_cells(path, COLUMNS, needed=_NEEDED)
    if "start" not in table.columns and "reported" not in table.columns:
        table.require("Start Time", cure="An outage needs Start Time or date_of_reported_fault.")
    sheet = Sheet(table, tz=tz, formats=FORMATS)
    latitude, longitude = sheet.places("latitude", "longitude", AREA)
    seen = sheet.times("seen")
    ert = sheet.times("ert")
    columns = sheet.columns(
        job_id=sheet.texts("id"),
        region=sheet.texts("region"),
        latitude=latitude,
        longitude=longitude,
        arrival=first_known(sheet.times("start"), sheet.times("reported")),
        restored=sheet.times("restored"),
        customers=sheet.counts("customers"),
        vulnerable_customers=sheet.counts("vulnerable"),
        cause=sheet.texts("category"),
        status=sheet.words("resource", RESOURCE),
        planned=sheet.truths("planned", YES, NO),
        ert=ert,
        ert_seen_at=np.where(np.isnat(ert), ert, seen),
    )
    return JobTable.of(**columns)
