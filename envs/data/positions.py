"""Where the regions of a table and its depot are: in km as they stand, or in degrees that are projected to km."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.data.city_fields import straight_km
from stormgym.envs.data.degrees import check_places, mean_place, project_km, read_degrees
from stormgym.envs.data.names import shown
from stormgym.envs.data.sizes import MAX_COORDINATE_KM
from stormgym.envs.data.substitutes import now
from stormgym.envs.data.tables import DataError, Table, is_number

_SAME_PLACE_KM = 0.1
_NEAR_KM = 50.0
_NEAR_DEGREES = 2.0


class Positions(NamedTuple):
    """Places of a table of regions."""

    xy_km: Floats
    """`[N, 2]`."""
    depot_km: Floats | None
    """`[2]`, None where none is given."""
    origin: tuple[float, float] | None
    """Latitude and longitude from which the km count, where they are known."""


def read_positions(
    table: Table, *, depot: tuple[float, float] | None, depot_from: str, origin: tuple[float, float] | None
) -> Positions:
    """Read where regions and the depot are.

    Args:
        table: of the regions, with `x_km` and `y_km`, or with `lat` and `lon`.
        depot: in the coordinates of the table; in km where there is an origin.
        depot_from: where it stands, for messages.
        origin: latitude and longitude from which the km count; None takes the mean place of a table in degrees.

    Raises:
        DataError: a cell breaks a rule, or the depot is not two numbers of that kind.

    Warns:
        UserWarning: places that are possible and doubtful.
    """
    if depot is not None and not (len(depot) == 2 and all(map(is_number, depot))):
        raise DataError(f"{depot_from} must be two finite numbers; got {shown(depot)}. Correct it.")
    place = None if depot is None else np.array(depot, dtype=np.float64)
    if place is not None and np.abs(place).max() > MAX_COORDINATE_KM:
        raise DataError(
            f"{depot_from} must be two numbers from -{MAX_COORDINATE_KM:g} to {MAX_COORDINATE_KM:g}; got "
            f"{place[0]:g} and {place[1]:g}. Correct it (is it in metres?)."
        )
    if has_km(table):
        xy_km = _km(table)
        if origin is not None:
            _warn_of_other_degrees(table, xy_km, origin)
            _warn_of_a_depot_in_degrees(place, xy_km, origin, depot_from)
        return Positions(xy_km, place, origin)
    lat_lon = read_degrees(table)
    check_places(table, lat_lon)
    if origin is not None:  # then the depot is in km, as it was saved
        xy_km = project_km(lat_lon, origin)
        _warn_of_a_depot_in_degrees(place, xy_km, origin, depot_from)
        return Positions(xy_km, place, origin)
    if place is not None and (abs(place[0]) > 90 or abs(place[1]) > 180):
        raise DataError(
            f"{depot_from} must be [lat, lon] as the regions have these, latitude in [-90, 90] and longitude "
            f"in [-180, 180]; got {place[0]:g} and {place[1]:g}. Correct it (are they exchanged?)."
        )
    origin = mean_place(lat_lon)
    return Positions(project_km(lat_lon, origin), None if place is None else project_km(place, origin), origin)


def has_km(table: Table) -> bool:
    """Whether a table of regions gives places as `x_km` and `y_km`, which go before `lat` and `lon`."""
    return "x_km" in table.columns or "lat" not in table.columns


def _km(table: Table) -> Floats:
    table.require("x_km", "y_km", cure="Give coordinates as x_km and y_km, or as lat and lon in degrees.")
    rule = "a coordinate must be a finite number (km)"
    far = f"a coordinate must be from -{MAX_COORDINATE_KM:g} to {MAX_COORDINATE_KM:g} km"
    for name in ("x_km", "y_km"):
        table.numbers(name, rule=rule)
        table.numbers(
            name, rule=far, valid=lambda v: abs(v) <= MAX_COORDINATE_KM, cure="Correct it (is it in metres?)."
        )
    return np.stack([table.numbers("x_km", rule=rule), table.numbers("y_km", rule=rule)], axis=1)


def _warn_of_a_depot_in_degrees(depot: Floats | None, xy_km: Floats, origin: tuple[float, float], where: str) -> None:
    """Warn of a depot in km that is near no region, and would be in degrees."""
    if depot is None or np.abs(depot - origin).max() > _NEAR_DEGREES:
        return
    apart, apart_as_degrees = (straight_km(xy_km, place).min() for place in (depot, project_km(depot, origin)))
    if apart > _NEAR_KM > apart_as_degrees:
        warnings.warn(
            f"{where} is in km where there is an 'origin'; got {depot.tolist()}, {apart:,.0f} km from the nearest "
            "region. Are these degrees? Write [x_km, y_km], as in regions.csv.",
            stacklevel=2,
        )


def _warn_of_other_degrees(table: Table, xy_km: Floats, origin: tuple[float, float]) -> None:
    """Warn where `lat` and `lon` beside `x_km` and `y_km` are another place: they do not count."""
    substitutes = now()
    if substitutes is not None and substitutes.cells.get(table.source):
        return  # a place may be another row's
    if not all(name in table.columns and table.is_numeric(name, throughout=True) for name in ("lat", "lon")):
        return
    lat_lon = np.stack([table.numbers(name, blank=math.nan) for name in ("lat", "lon")], axis=1)
    apart = straight_km(project_km(lat_lon, origin), xy_km)
    far = np.flatnonzero(apart > _SAME_PLACE_KM)
    if far.size:
        row = int(far[0])
        warnings.warn(
            f"{table.source}, line {table.lines[row]}: lat and lon are {apart[row]:,.1f} km from x_km and y_km, which "
            f"alone count ({far.size} of {len(table)} rows). Correct x_km and y_km, or remove these two columns "
            "from the file; lat and lon then count.",
            stacklevel=2,
        )
