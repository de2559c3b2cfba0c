"""From the name of a city, as a keyword or command line gives it, to the `City`."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from stormgym.envs.data.city import City

KNOWN = "'default', 'synthetic:N:SEED' (e.g. 'synthetic:20:3') or a folder with regions.csv, log.csv, city.json"


def resolve_city(city: str | os.PathLike[str] | City, *, income_effect: float = 1.0) -> City:
    """Return the city of a name, a folder, or the city itself.

    Args:
        city: "default", "synthetic:N:SEED", the path of a folder, or a `City`.
        income_effect: knob of the generator; must be 1.0 unless a name is given.

    Raises:
        ValueError: no such city, or `income_effect` for data that no generator made.
    """
    name = city if isinstance(city, str) else None
    if name == "default":
        return _synthetic(None, None, float(income_effect))
    if name is not None and name.startswith("synthetic"):
        match = re.fullmatch(r"synthetic:(\d+):(\d+)", name)
        if match is None:
            raise ValueError(f"city must be {KNOWN}; got {name!r}.")
        return _synthetic(int(match[1]), int(match[2]), float(income_effect))
    if income_effect != 1.0:
        raise ValueError(
            f"income_effect is a knob of the synthetic generator and must be 1.0 for other cities; "
            f"got {income_effect}. Remove it, or use city='default' or 'synthetic:N:SEED'."
        )
    if isinstance(city, City):
        return city
    if not isinstance(city, str | os.PathLike):
        raise TypeError(f"city must be a City, a name or a path; got {type(city).__name__}.")
    if not Path(city).is_dir():
        raise ValueError(f"city must be {KNOWN}; got {os.fspath(city)!r}.")
    return City.load(city)


@lru_cache(maxsize=32)
def _synthetic(n_regions: int | None, seed: int | None, income_effect: float) -> City:
    if n_regions is None or seed is None:
        return City.synthetic(income_effect=income_effect)
    return City.synthetic(seed, n_regions, income_effect)
