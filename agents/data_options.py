"""Options of `stormgym data` about an outage export and the city made of it: named as the arguments that they set."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from stormgym.agents.evaluation.options import shown_as
from stormgym.envs.data.names import printable

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """How an outage export is read: arguments of `RepairLog.read_outage_log`; those left out keep its defaults."""

    tz: Annotated[str | None, shown_as("ZONE")] = None
    """Zone of times without an offset, e.g. America/New_York or UTC."""
    region_column: Annotated[str | None, shown_as("COLUMN")] = None
    """Column with the region; region."""
    time_column: Annotated[str | None, shown_as("COLUMN")] = None
    """Column with the start of the outage; start_time."""
    duration_column: Annotated[str | None, shown_as("COLUMN")] = None
    """Column with its duration; duration_h."""
    end_column: Annotated[str | None, shown_as("COLUMN")] = None
    """Column with its end, instead of a duration."""
    duration_unit: Annotated[Literal["h", "min", "s"] | None, shown_as("h|min|s")] = None
    """Unit of durations; h."""
    feature_columns: Annotated[str | None, shown_as("A,B")] = None
    """Numeric columns that are known when a job is triaged."""
    time_features: Annotated[str | None, shown_as("A,B")] = None
    """Features made of the start: hour, weekday, month, requests_24h."""
    time_format: Annotated[str | None, shown_as("FORMAT")] = None
    """Format of times other than ISO 8601, e.g. "%m/%d/%Y %H:%M"."""
    since: Annotated[str | None, shown_as("DATE")] = None
    """Leave out outages that start before it."""
    until: Annotated[str | None, shown_as("DATE")] = None
    """Leave out outages that start at or after it."""
    drop_zero: Flag = False
    """Leave out durations of exactly zero."""

    def log_arguments(self) -> dict[str, Any]:
        """Those that are given, as arguments of `RepairLog.read_outage_log`."""
        given = {f.name: getattr(self, f.name) for f in fields(LogOptions)}
        given = {name: value for name, value in given.items() if value is not None and value is not False}
        return given | {name: _list(given[name]) for name in ("feature_columns", "time_features") if name in given}


@dataclass(frozen=True, kw_only=True)
class CityOptions(LogOptions):
    """How a city is made of a log: arguments of `City.from_log`."""

    table_region_column: Annotated[str | None, shown_as("COLUMN")] = None
    """Column of REGIONS with the names that the log uses; left out, that of the log."""
    income_column: Annotated[str | None, shown_as("COLUMN")] = None
    """Column of REGIONS with incomes, whose terciles are the groups if there is no column group; income_usd."""
    customers_column: Annotated[str | None, shown_as("COLUMN")] = None
    """Column of REGIONS with customers; customers."""
    features: Annotated[str | None, shown_as("A,B")] = None
    """Features of a record: columns of REGIONS, features of the log, x_km, y_km, depot_km. Left out: all."""
    depot: Annotated[str | None, shown_as("A,B")] = None
    """Where crews start, in the coordinates of REGIONS: LAT,LON or X_KM,Y_KM (--depot=-33.9,151.2). Left out: centre of
    the customers."""
    speed_kmh: Annotated[float | None, shown_as("KMH")] = None
    """Speed of crews on the road."""
    detour: Annotated[float | None, shown_as("RATIO")] = None
    """Road distance / straight-line distance."""
    cost_limit_h: Annotated[float | None, shown_as("HOURS")] = None
    """Limit on the gap between groups."""
    name: Annotated[str | None, shown_as("NAME")] = None
    """Name of the city; that of the folder."""

    def city_arguments(self, folder: Path) -> dict[str, Any]:
        """Those that are given, as arguments of `City.from_log`.

        Raises:
            ValueError: the depot is not two numbers.
        """
        names = ("income_column", "customers_column", "speed_kmh", "detour", "cost_limit_h")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        given |= {"name": self.name or printable(folder.resolve().name)}
        column = self.table_region_column or self.region_column
        given |= {} if column is None else {"region_column": column}
        given |= {} if self.features is None else {"features": _list(self.features)}
        given |= {} if self.depot is None else {"depot": _pair(self.depot)}
        return given


def _pair(text: str) -> tuple[float, float]:
    try:
        first, second = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"--depot must be two numbers, as 42.3,-72.6; got {text!r}") from None
    return first, second


def _list(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


_NAMES = "|".join(f.name for f in fields(CityOptions) if "_" in f.name)
_ARGUMENT = re.compile(rf"(?<![\w'\"./-])({_NAMES}|tz(?==))\b(=True\b|=)?")


def in_options(message: str) -> str:
    """A message of the readers with options for arguments, `--tz UTC` for `tz=UTC`; names in quotes stay."""

    def option(found: re.Match[str]) -> str:
        return f"--{found[1].replace('_', '-')}{' ' * (found[2] == '=')}"

    message = _ARGUMENT.sub(option, message).replace("log.select(...)", "--drop-unknown")
    return message.replace("by naming the features to use", "by naming the features to use (--features)")
