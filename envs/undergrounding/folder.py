"""A folder of regions and their past storms: `regions.csv`, `storms.csv`, `profile.json` (docs/environments)."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.data.errors import Place
from stormgym.envs.data.incomes import warn_of_ties
from stormgym.envs.data.tables import DataError, Table, read_json, read_table
from stormgym.envs.undergrounding.recorded import RecordedUnderground
from stormgym.envs.undergrounding.regions import LARGEST, MAX_REGIONS, usual_limit_h

REGIONS, STORMS, PROFILE = "regions.csv", "storms.csv", "profile.json"
MAX_STORMS = 10_000
"""Storms of a folder that are meant to work."""
_FARTHEST = 1e12
_AT_MOST = f" and at most {LARGEST:g}"
_KEYS = {
    "budget": f"a number above 0{_AT_MOST}",
    "n_crews": "a whole number of at least 0",
    "n_known": "a whole number of at least 4",
    "cost_limit": f"a number above 0{_AT_MOST}",
    "name": "a text",
    "notes": "free",
}


def stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, times of change and sizes of the files that a profile is made of: what tells one state from the next."""
    paths = [folder / name for name in (REGIONS, STORMS, PROFILE) if (folder / name).is_file()]
    return tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in paths)


def load_profile(folder: str | os.PathLike[str]) -> RecordedUnderground:
    """Read a folder of regions and their storms.

    `regions.csv` has a row a region: region, customers, income_usd, protect_cost, and x, y in any unit. `storms.csv`
    has a row for each storm and region that lost power: storm, region, hours (of a mean customer of the region); storms
    are in the order of time, pairs without a row are zeros. `profile.json` has budget and n_crews, and may have n_known
    (of the first storms, which planners may look at; two thirds if left out), cost_limit (three fifths of the mean gap
    of burying nothing in the known storms if left out), name and notes.

    Raises:
        DataError: a file, column, key or value that does not fit; the message says where and what to do.

    Warns:
        UserWarning: regions of one income stand in different income groups.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Give one with {REGIONS}, {STORMS} and {PROFILE}.")
    options = _read_options(folder / PROFILE)
    table = read_table(folder / REGIONS)
    region = table.unique_ids("region")
    if not 3 <= len(region) <= MAX_REGIONS:
        raise DataError(f"{table.source}: needs 3 to {MAX_REGIONS} regions; got {len(region)}. Add or join some.")
    population, cost = (
        table.numbers(name, rule=f"{name} must be a number above 0{_AT_MOST}", valid=lambda v: 0 < v <= LARGEST)
        for name in ("customers", "protect_cost")
    )
    income, place = table.numbers("income_usd"), _places(table)
    storm, hours = _storms(read_table(folder / STORMS), region)
    arguments = {name: value for name, value in options.items() if name != "notes"}
    arguments.setdefault("name", folder.resolve().name)
    arguments.setdefault("n_known", 2 * len(storm) // 3)
    try:
        profile = RecordedUnderground(
            **{"cost_limit": 1.0, **arguments},
            population=population,
            protect_cost=cost,
            place=place,
            income=income,
            n_periods=1,
            rate=1.0,
            latest_onset=0,
            region=region,
            storm=storm,
            recorded_h=hours,
        )
    except DataError as error:
        raise DataError(f"{folder}: {error}") from error
    except ValueError as error:
        raise DataError(f"{folder / PROFILE}: {error}. Correct it.") from error
    warn_of_ties(profile.income, profile.group, table.source, "regions")
    if "cost_limit" in options:
        return profile
    limit = usual_limit_h(profile)
    if not limit > 0:
        raise DataError(
            f"{folder / STORMS}: income groups fare alike in every known storm once {profile.n_crews} crews have "
            f"answered, so that a limit cannot be drawn from them. Set cost_limit in {PROFILE}."
        )
    return replace(profile, cost_limit=limit)


def _read_options(path: Path) -> dict[str, Any]:
    options = read_json(path)
    for key in options:
        if key not in _KEYS:
            raise DataError(
                f"{path}: unknown key {key!r}; known are {list(_KEYS)}. Correct or remove it (free text: 'notes').",
                place=Place(str(path), keys=(key,)),
            )
    for key in ("budget", "n_crews"):
        if key not in options:
            place = Place(str(path), keys=(key,))
            raise DataError(f"{path}: key {key!r} is missing; it must be {_KEYS[key]}. Add it.", place=place)
    for key, value in options.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
        fits = {
            "budget": number and value > 0,
            "cost_limit": number and value > 0,
            "n_crews": number and isinstance(value, int) and value >= 0,
            "n_known": number and isinstance(value, int) and value >= 4,
            "name": isinstance(value, str) and bool(value),
            "notes": True,
        }
        if not fits[key]:
            rule = f"must be {_KEYS[key]}; got {json.dumps(value)[:200]}. Correct it."
            raise DataError(f"{path}: {key!r} {rule}", place=Place(str(path), keys=(key,)))
    return options


def _storms(table: Table, region: tuple[str, ...]) -> tuple[tuple[str, ...], Floats]:
    """Names of storms in the order of their rows, and hours `[E, K]`."""
    names = table.text("storm")
    storm = tuple(dict.fromkeys(names))
    if len(storm) > MAX_STORMS:
        raise DataError(f"{table.source}: at most {MAX_STORMS:,} storms; got {len(storm):,}. Leave the earliest out.")
    at = {name: i for i, name in enumerate(storm)}
    cure = f"Name a region of {REGIONS}, or add it there."
    column = table.index("region", region, what=f"it must be a region of {REGIONS}", cure=cure)
    hours = table.numbers(
        "hours", rule=f"hours must be a number of at least 0{_AT_MOST}", valid=lambda v: 0 <= v <= LARGEST
    )
    result = np.zeros((len(storm), len(region)))
    seen: dict[tuple[int, int], int] = {}
    for row, (name, k) in enumerate(zip(names, column.tolist(), strict=True)):
        cell = (at[name], k)
        if cell in seen:
            twice = f"each storm and region have one row, but line {seen[cell]} has them too"
            table.fail(row, "storm", twice, "Add the hours up in one row.")
        seen[cell] = table.lines[row]
        result[cell] = hours[row]
    return storm, result


def _places(table: Table) -> Floats:
    """Places in the unit square `[K, 2]`, all distances in one proportion."""
    rule = f"a place must be a number from -{_FARTHEST:g} to {_FARTHEST:g}"
    x, y = (table.numbers(name, rule=rule, valid=lambda v: abs(v) <= _FARTHEST) for name in ("x", "y"))
    xy = np.stack([x, y], axis=1)
    low, extent = xy.min(axis=0), np.ptp(xy, axis=0)
    widest = max(float(extent.max()), 1e-9)
    place: Floats = (xy - low) / widest + 0.5 * (1.0 - extent / widest)
    return place
