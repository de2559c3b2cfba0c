"""From the name of a city, as a keyword or command line gives it, to the `City`; names that stand for many cities."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Any

import numpy as np

from stormgym.envs.data.city import City
from stormgym.envs.data.names import shown

MAX_CITIES = 100_000
"""Cities that one name may stand for."""
_NUMBER = "([0-9]{1,100})"
KNOWN = (
    "'default', 'synthetic:N:SEED' (e.g. 'synthetic:20:3'), 'varied:N:SEED' or a folder with regions.csv, log.csv, "
    "city.json"
)
MANY = "'synthetic:LOW-HIGH:SEED:COUNT' or 'varied:LOW-HIGH:SEED:COUNT', or some of them joined with '+'"


def is_generated(name: str) -> bool:
    """Whether a name is one of cities that the package generates, and no folder's."""
    return name == "default" or name.startswith(("synthetic:", "varied:"))


def resolve_city(city: str | os.PathLike[str] | City, *, income_effect: float = 1.0) -> City:
    """Return the city of a name, a folder, or the city itself.

    Args:
        city: "default", "synthetic:N:SEED", "varied:N:SEED", the path of a folder, or a `City` (names of many
            are for `many_cities`).
        income_effect: knob of the generator; must be 1.0 unless a name is given.

    Raises:
        ValueError: no such city, a name of many cities, or `income_effect` for data that no generator made.
    """
    name = city if isinstance(city, str) else None
    if name == "default":
        return _synthetic(None, None, float(income_effect))
    many = many_cities(city)
    if many is not None:
        raise ValueError(
            f"city {name!r} names many cities ({len(many)}); for training only. "
            f"Name one, e.g. {many[0]!r}, or a folder."
        )
    if name is not None and name.startswith(("synthetic", "varied:")):
        match = re.fullmatch(f"(synthetic|varied):{_NUMBER}:{_NUMBER}", name)
        if match is None:
            raise ValueError(f"city must be {KNOWN}; got {shown(name)}.")
        if match[1] == "synthetic":
            return _synthetic(int(match[2]), int(match[3]), float(income_effect))
        if income_effect == 1.0:
            return _varied(int(match[2]), int(match[3]))
    if income_effect != 1.0:
        raise ValueError(
            f"income_effect is a knob of the synthetic generator and must be 1.0 for other cities; "
            f"got {income_effect}. Remove it, or use city='default' or 'synthetic:N:SEED'."
        )
    if isinstance(city, City):
        return city
    if not isinstance(city, str | os.PathLike):
        raise TypeError(f"city must be a City, a name or a path; got {type(city).__name__}.")
    if not os.path.isdir(city):
        raise ValueError(f"city must be {KNOWN}; got {shown(os.fspath(city))}.")
    return City.load(city)


def many_cities(city: Any) -> tuple[str, ...] | None:
    """The cities that "synthetic:LOW-HIGH:SEED:COUNT" stands for, as names "synthetic:N:SEED"; None for anything else.

    "varied:LOW-HIGH:SEED:COUNT" likewise stands for cities "varied:N:SEED", and both with "+" between them for all of
    both. They are for training over many: their sizes N are spread evenly over LOW..HIGH, one drawn at random from each
    of COUNT equal parts of the range, in a random order; their seeds are drawn too. The same name gives the same cities
    everywhere.

    Raises:
        ValueError: sizes that the generator cannot make, or no city.
    """
    if not isinstance(city, str):
        return None
    if "+" in city:
        return _joined(city)
    match = re.fullmatch(f"(synthetic|varied):{_NUMBER}-{_NUMBER}:{_NUMBER}:{_NUMBER}", city)
    if match is None:
        return None
    from stormgym.envs.data.synthetic import MAX_REGIONS, MIN_REGIONS

    kind = match[1]
    low, high, seed, count = (int(part) for part in match.groups()[1:])
    if not MIN_REGIONS <= low <= high <= MAX_REGIONS or count < 1:
        raise ValueError(
            f"city '{kind}:LOW-HIGH:SEED:COUNT' needs {MIN_REGIONS} <= LOW <= HIGH <= {MAX_REGIONS} and "
            f"COUNT >= 1; got {city!r}."
        )
    if count > MAX_CITIES:
        raise ValueError(
            f"city '{kind}:LOW-HIGH:SEED:COUNT' needs COUNT <= {MAX_CITIES:,}; got {city!r}. Name fewer cities."
        )
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(count,)))
    place = (np.arange(count) + rng.random(count)) / count  # one in each part of [0, 1)
    sizes = rng.permutation(np.minimum(low + (place * (high - low + 1)).astype(np.int64), high))
    seeds = rng.integers(2**31, size=count)
    return tuple(f"{kind}:{n}:{s}" for n, s in zip(sizes.tolist(), seeds.tolist(), strict=True))


def _joined(city: str) -> tuple[str, ...] | None:
    """The cities of names joined with "+"; None where none of them names many, as in a folder's name.

    Raises:
        ValueError: one of them names a single city or nothing, or all of them too many, or a city twice.
    """
    names = city.split("+")
    parts = [many_cities(name) for name in names]
    if all(part is None for part in parts) and not all(is_generated(name) for name in names):
        return None
    for name, part in zip(names, parts, strict=True):
        if part is None:
            raise ValueError(f"names joined with '+' must be {MANY}; got {shown(name)} in {shown(city)}.")
    found = tuple(name for part in parts if part is not None for name in part)
    if len(found) > MAX_CITIES:
        raise ValueError(f"city {shown(city)} names {len(found):,} cities; at most {MAX_CITIES:,} may be named.")
    if len(set(found)) < len(found):
        raise ValueError(f"city {shown(city)} names a city twice; give its parts different seeds.")
    return found


@lru_cache(maxsize=256)
def _synthetic(n_regions: int | None, seed: int | None, income_effect: float) -> City:
    if n_regions is None or seed is None:
        return City.synthetic(income_effect=income_effect)
    return City.synthetic(seed, n_regions, income_effect)


@lru_cache(maxsize=256)
def _varied(n_regions: int, seed: int) -> City:
    from stormgym.envs.data.varied import varied_city

    return City(**varied_city(seed, n_regions))
