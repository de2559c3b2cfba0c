"""Typed records of a city and its past repairs, readers that complain clearly, and the synthetic default."""

from stormgym.envs.data.city import City
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.data.resolve import resolve_city
from stormgym.envs.data.tables import DataError

__all__ = ["City", "DataError", "RepairLog", "resolve_city"]
