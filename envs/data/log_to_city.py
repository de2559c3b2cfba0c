"""From an outage export and a table of regions to a `City` at once, with an account of what was left out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from stormgym.envs.data.city import City
from stormgym.envs.data.outage_log import read_outages
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.tables import DataError, read_table


class CityOfLog(NamedTuple):
    """A city, and what became of the rows of the export."""

    city: City
    n_rows: int
    """Rows of the export."""
    left_out: Mapping[str, int]
    """Rows that are not in the city's log, by reason."""
    unused: tuple[str, ...]
    """Columns of the export that were not read."""

    def in_words(self) -> str:
        """The outages, in a line."""
        return self.city.log.in_words()


def city_of_log(
    export: str | os.PathLike[str],
    regions: str | os.PathLike[str],
    *,
    log_arguments: Mapping[str, Any],
    city_arguments: Mapping[str, Any],
    busiest: int | None = None,
    drop_unknown: bool = False,
) -> CityOfLog:
    """Read an export and a table of regions, and make a city of them.

    Args:
        export: of outages, a CSV file.
        regions: a CSV file with a row a region.
        log_arguments: of `RepairLog.read_outage_log`.
        city_arguments: of `City.from_log`.
        busiest: number of regions that are taken, those with most outages; None takes all.
        drop_unknown: leave out outages of regions that `regions` has no row for, where it is an error else.

    Raises:
        DataError: a file breaks a rule.
        ValueError: an argument does.
    """
    outages = read_outages(export, **log_arguments)
    log, left_out = RepairLog(**outages.fields), dict(outages.left_out)
    if drop_unknown:
        table = read_table(regions)
        names = set(table.text(city_arguments.get("region_column", "region")))
        known = [name for name in log.region_ids if name in names]
        if not known:
            raise DataError(
                f"{export}: no region has a row in {regions}, the first is {log.region_ids[0]!r}. Add rows."
            )
        log = _counted(log, log.select(known), f"in regions without a row in {os.path.basename(regions)}", left_out)
    if busiest is not None:
        log = _counted(log, log.busiest(busiest), f"not in the {busiest} busiest regions", left_out)
    return CityOfLog(City.from_log(log, regions, **city_arguments), outages.n_rows, left_out, outages.unused)


def _counted(before: RepairLog, after: RepairLog, reason: str, left_out: dict[str, int]) -> RepairLog:
    """The log that is left; how many records it lacks is put among those left out."""
    if len(after) < len(before):
        left_out[reason] = len(before) - len(after)
    return after
