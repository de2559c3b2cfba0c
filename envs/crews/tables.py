"""A city as crews meet it: depots, feeders, and the roster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.crews.roster import FIELDS, Roster
from stormgym.envs.data import City
from stormgym.envs.data.city_fields import straight_km
from stormgym.envs.data.crews_file import check_near
from stormgym.envs.data.sizes import MAX_CREWS

FEEDERS = ("radial", "none", "city")
MOST_DEPTH = 2
"""A region hangs on one that is less than this deep."""
NIGHT_START_H = 12.0
"""Crews that work at night come on duty this much later than those that work by day (h)."""


def depots_of(city: City, n_depots: int) -> Floats:
    """`[D, 2]` places of depots (km): the city's, turned by i / D of a circle about the mean of the regions."""
    centre = city.xy_km.mean(axis=0)
    arm = city.depot_km - centre
    angle = 2.0 * np.pi * np.arange(n_depots) / n_depots
    turn = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], -2)
    places: Floats = centre + turn @ arm
    places[0] = city.depot_km  # to the bit
    return places


def distances_of(city: City, depots_km: Floats) -> Floats:
    """`[N + D, N + D]` road km between regions and depots; the regions come first."""
    points = np.vstack([city.xy_km, depots_km])
    result: Floats = city.detour * straight_km(points[:, None], points[None, :])
    return result


def radial_feeder(city: City, depots_km: Floats, depth: int = MOST_DEPTH) -> Ints:
    """`[N]` the region that each hangs on, -1 for heads: radial lines from substations at the depots.

    Each region belongs to the nearest substation (the first among equals). By their distance to it, the first eighth
    (rounded up) are heads; each other hangs on the nearest region before it of the same substation that is less than
    `depth` deep.
    """
    to_depot = straight_km(city.xy_km[:, None], depots_km[None, :])  # [N, D]
    home = to_depot.argmin(axis=1)
    between = straight_km(city.xy_km[:, None], city.xy_km[None, :])
    parent = np.full(city.n_regions, -1)
    level = np.zeros(city.n_regions, dtype=np.int64)
    for station in range(len(depots_km)):
        members = np.flatnonzero(home == station)
        members = members[np.argsort(to_depot[members, station], kind="stable")]
        n_heads = -(-len(members) // 8)
        for place, region in enumerate(members.tolist()):
            if place < n_heads:
                continue
            before = members[:place]
            before = before[level[before] < depth]
            parent[region] = before[between[region, before].argmin()]
            level[region] = level[parent[region]] + 1
    return parent


def feeder_of(city: City, depots_km: Floats, feeder: str) -> Ints:
    """`[N]` the region that each hangs on, -1 for none.

    Args:
        city: the place.
        depots_km: `[D, 2]` substations of radial lines.
        feeder: `"radial"`, `"none"`, or `"city"` for the lines of `regions.csv`.

    Raises:
        ValueError: the city knows no lines.
    """
    if feeder == "none":
        return np.full(city.n_regions, -1)
    if feeder == "radial":
        return radial_feeder(city, depots_km)
    if city.parent is None:
        raise ValueError(
            f"feeder 'city' needs a column 'parent' in regions.csv, which {city.name!r} has not; add it, or take "
            "feeder 'radial' or 'none'"
        )
    return city.parent


def roster_of(city: City, crews: Sequence[Mapping[str, Any]], n_skills: int, n_depots: int) -> tuple[Roster, Floats]:
    """A roster from records, and the places of its depots `[D, 2]` (km).

    Args:
        city: the place.
        crews: records with the fields `stormgym.envs.crews.roster.FIELDS`; `depot` is one of the `n_depots` that
            `depots_of` gives, or a place (x, y) in km, which becomes a further depot.
        n_skills: Z.
        n_depots: those that a number may name.

    Raises:
        TypeError: no list.
        ValueError: a field that is missing, unknown or out of range.
    """
    if not isinstance(crews, Sequence) or isinstance(crews, str):
        cure = f"; for a number of crews alike, n_crews={crews}" if isinstance(crews, int) else ""
        raise TypeError(f"crews must be a list of records with the fields {', '.join(FIELDS)}; got {crews!r}{cure}")
    places: list[tuple[float, float]] = []
    rows = []
    for k, crew in enumerate(crews):
        if not isinstance(crew, Mapping):
            raise ValueError(f"crew {k} must be a record with the fields {', '.join(FIELDS)}; got {crew!r}")
        depot = crew.get("depot", 0)
        if isinstance(depot, int | np.integer) and not isinstance(depot, bool):
            if not 0 <= depot < n_depots:
                raise ValueError(f"depot of crew {k} must be 0 to {n_depots - 1}, as n_depots says; got {depot}")
            rows.append(int(depot))
            continue
        if not (isinstance(depot, tuple | list) and len(depot) == 2 and np.isfinite(depot).all()):
            raise ValueError(f"depot of crew {k} must be a number, or a place (x, y) in km; got {depot!r}")
        place = (float(depot[0]), float(depot[1]))
        check_near(np.array(place), city.xy_km, f"depot of crew {k}")
        if place not in places:
            places.append(place)
        rows.append(n_depots + places.index(place))
    depots_km = np.vstack([depots_of(city, n_depots), np.array(places).reshape(-1, 2)])
    used = np.unique(rows)
    if places:  # the environment's own depots count only where a crew starts there
        depots_km, rows = depots_km[used], np.searchsorted(used, rows).tolist()
    listed = [{**crew, "depot": city.n_regions + row} for crew, row in zip(crews, rows, strict=True)]
    return Roster.of(listed, n_skills), depots_km


def default_roster(
    city: City,
    *,
    n_crews: int,
    n_depots: int,
    n_skills: int,
    special_crews: float,
    n_assessors: int,
    start_h: float,
    on_h: float,
    off_h: float,
    night_share: float = 0.0,
) -> Roster:
    """Crew k starts at depot k mod D; the last round(special_crews K), at least one, have all skills, others skill 0.

    Assessors follow the crews that repair. A share of both, evenly spread, works at night: it starts 12 h later.
    """
    k = n_crews + n_assessors
    if k > MAX_CREWS:
        raise ValueError(f"n_crews and n_assessors must be at most {MAX_CREWS:,} together; got {k:,}")
    skills = np.zeros((k, n_skills), dtype=bool)
    skills[:n_crews, 0] = True
    special = max(round(special_crews * n_crews), int(special_crews > 0))  # a single crew has them
    skills[n_crews - special : n_crews] = True
    night = np.concatenate([_evenly(n_crews, night_share), _evenly(n_assessors, night_share)])
    return Roster(
        depot=city.n_regions + np.arange(k) % n_depots,
        speed_kmh=np.full(k, city.speed_kmh),
        skills=skills,
        start_h=float(start_h) + np.where(night, NIGHT_START_H, 0.0),
        on_h=np.full(k, float(on_h)),
        off_h=np.full(k, float(off_h)),
        assessor=np.arange(k) >= n_crews,
    )


def _evenly(n: int, share: float) -> Bools:
    """`[n]` True for round(share n) of n, evenly spread."""
    upto = np.floor(share * np.arange(n + 1) + 0.5)
    return upto[1:] > upto[:-1]
