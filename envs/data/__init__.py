"""Typed records of a city, its repairs and outages; readers that check what they read; the synthetic default city."""

from stormgym.envs.data.city import City
from stormgym.envs.data.outage_record import OutageRecord, read_eaglei, read_outage_counts
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.resolve import resolve_city
from stormgym.envs.data.tables import DataError

__all__ = [
    "City",
    "DataError",
    "OutageRecord",
    "RepairLog",
    "read_eaglei",
    "read_outage_counts",
    "resolve_city",
]
