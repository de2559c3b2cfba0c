"""Places in degrees: projected to km and back, and held against each other for wrong signs and exchanged columns."""

from __future__ import annotations

import math
import warnings

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.data.tables import Table

EARTH_RADIUS_KM = 6371.0088
FAR_KM = 1000.0
"""A region farther than this from the others' middle, and than `FAR_TIMES` their usual distance, is an error."""
DOUBTFUL_KM = 100.0
"""The same, for a warning."""
FAR_TIMES = 10.0
POLAR_LATITUDE = 66.0
"""Latitudes beyond it have hardly any utilities: there, latitude and longitude are rather exchanged."""


def project_km(lat_lon: Floats, origin: tuple[float, float]) -> Floats:
    """Project (lat, lon) in degrees `[..., 2]` to km `[..., 2]` east and north of `origin`.

    Equirectangular: good to a percent or so over a few hundred km.
    """
    lat, lon = lat_lon[..., 0], lat_lon[..., 1]
    east = np.radians((lon - origin[1] + 180.0) % 360.0 - 180.0) * math.cos(math.radians(origin[0]))
    out: Floats = EARTH_RADIUS_KM * np.stack([east, np.radians(lat - origin[0])], axis=-1)
    return out


def to_degrees(xy_km: Floats, origin: tuple[float, float]) -> Floats:
    """The (lat, lon) in degrees `[..., 2]` that `project_km` projects to `xy_km` `[..., 2]`, but for rounding."""
    east, north = xy_km[..., 0] / EARTH_RADIUS_KM, xy_km[..., 1] / EARTH_RADIUS_KM
    lon = origin[1] + np.degrees(east / math.cos(math.radians(origin[0])))
    out: Floats = np.stack([origin[0] + np.degrees(north), (lon + 180.0) % 360.0 - 180.0], axis=-1)
    return out


def read_degrees(table: Table) -> Floats:
    """The columns `lat` and `lon` `[N, 2]`.

    Raises:
        DataError: one is missing, or a cell is no latitude or longitude.
    """
    table.require("lat", "lon", cure="Give coordinates as x_km and y_km, or as lat and lon in degrees.")
    cure = "Correct the cell (are lat and lon exchanged?)."
    lat = table.numbers("lat", rule="a latitude must be in [-90, 90]", valid=lambda v: abs(v) <= 90, cure=cure)
    lon = table.numbers("lon", rule="a longitude must be in [-180, 180]", valid=lambda v: abs(v) <= 180, cure=cure)
    return np.stack([lat, lon], axis=1)


def mean_place(lat_lon: Floats) -> tuple[float, float]:
    """Mean (lat, lon) of places `[N, 2]`; it holds across the date line."""
    lat, lon = np.ascontiguousarray(lat_lon.T)
    return float(lat.mean()), float(lon[0] + ((lon - lon[0] + 180.0) % 360.0 - 180.0).mean())


def check_places(table: Table, lat_lon: Floats) -> None:
    """Raise for a region that is far from all others, as one wrong sign makes it.

    Args:
        table: with columns `lat` and `lon`, a row a region.
        lat_lon: what they hold `[N, 2]`.

    Raises:
        DataError: a region is farther than `FAR_KM`, and `FAR_TIMES` the usual distance, from the others' middle.

    Warns:
        UserWarning: it is farther than `DOUBTFUL_KM`; or most are in polar latitudes, and exchanged would not be.
    """
    middle = _middle(lat_lon)
    away_km = _away_km(lat_lon, middle)
    usual_km = float(np.median(away_km))
    limit_km = max(FAR_TIMES * usual_km, DOUBTFUL_KM)
    far = np.flatnonzero(away_km > limit_km)
    order = far[np.argsort(away_km[far] <= FAR_KM, kind="stable")]  # errors before warnings
    for row in order.tolist():
        column, cure = _cure(lat_lon[row], middle, limit_km)
        rule = (
            f"a region must be near the others, half of which are within {usual_km:,.0f} km of "
            f"(lat, lon) = ({middle[0]:.4g}, {middle[1]:.4g})"
        )
        got = f"{table.columns[column][row]!r}, {away_km[row]:,.0f} km from there"
        if away_km[row] > FAR_KM:
            table.fail(row, column, rule, cure, got=got)
        place = f"{table.source}, line {table.lines[row]}, column '{column}'"
        warnings.warn(f"{place}: {rule}; got {got}. {cure}", stacklevel=2)
    if abs(middle[0]) > POLAR_LATITUDE >= abs(middle[1]):
        warnings.warn(
            f"{table.source}: the regions are at latitude {middle[0]:.4g}, where hardly anybody lives, and longitude "
            f"{middle[1]:.4g}. Are lat and lon exchanged? Then exchange the names of the two columns.",
            stacklevel=2,
        )


def _middle(lat_lon: Floats) -> tuple[float, float]:
    """Median (lat, lon), which a few wrong places do not move; longitudes count from their mean direction."""
    turns = np.exp(1j * np.radians(lat_lon[:, 1]))
    centre = math.degrees(np.angle(turns.sum()))
    lon = centre + float(np.median((lat_lon[:, 1] - centre + 180.0) % 360.0 - 180.0))
    return float(np.median(lat_lon[:, 0])), (lon + 180.0) % 360.0 - 180.0


def _away_km(lat_lon: Floats, middle: tuple[float, float]) -> Floats:
    """Distance (km) of places `[..., 2]` from a middle."""
    away: Floats = np.sqrt((project_km(lat_lon, middle) ** 2).sum(axis=-1))
    return away


def _cure(place: Floats, middle: tuple[float, float], limit_km: float) -> tuple[str, str]:
    """The column of a far place that is likely wrong, and what to do."""
    lat, lon = place.tolist()
    for column, other, cure in (
        ("lon", (lat, -lon), f"Is its sign wrong? Then write {-lon:g}."),
        ("lat", (-lat, lon), f"Is its sign wrong? Then write {-lat:g}."),
        ("lat", (lon, lat), "Are lat and lon of this row exchanged?"),
    ):
        if abs(other[0]) <= 90 and _away_km(np.array(other), middle) <= limit_km:
            return column, cure
    north_km = abs(project_km(place, middle)[1])
    return ("lat" if 2 * north_km**2 > _away_km(place, middle) ** 2 else "lon"), "Correct it, or leave the region out."
