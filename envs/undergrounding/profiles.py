"""Places for lines to be buried: ten regions, those of the paper, random ones, and your own from a folder."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from os.path import isdir
from pathlib import Path
from typing import Any

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.moved import forward
from stormgym.envs.undergrounding.regions import MAX_REGIONS, UndergroundingProfile, usual_limit_h

__getattr__ = forward(__name__, "stormgym.envs.undergrounding.regions", "stormgym.envs.storms", SEEN="FEATURE_NAMES")

KNOWN = (
    "'ten', 'appendix-g' (the storms of the tri-level paper), 'synthetic:K:SEED' (K regions, e.g. 'synthetic:40:0'), "
    "or a folder with regions.csv, storms.csv and profile.json"
)
DEFAULT_PROFILE = "ten"
APPENDIX_G: dict[str, Any] = {
    "transmission": 0.3,
    "weather_factor": 1.0,
    "restoration_noise": 0.0,
    "noise": 1_000.0,
}
"""The storms of tri-level Appendix G as printed; its noise is swept there, and this is a middling one."""


def resolve_profile(name: str) -> UndergroundingProfile:
    """Return the profile of a name, or of a folder of regions and their storms (a name comes first).

    A folder is read again when one of its files has changed.

    Raises:
        ValueError: no such profile.
        DataError: a folder whose files do not fit.
    """
    if name and name not in ("ten", "appendix-g") and not name.startswith("synthetic:") and isdir(name):
        from stormgym.envs.undergrounding.folder import stamp

        folder = Path(name).resolve()
        return _recorded(folder, stamp(folder))
    return _synthesised(name)


@lru_cache(maxsize=8)
def _recorded(folder: Path, state: tuple[tuple[str, int, int], ...]) -> UndergroundingProfile:
    """The profile of a folder in one state of its files."""
    del state  # only tells one from the next
    from stormgym.envs.undergrounding.folder import load_profile

    return load_profile(folder)


@lru_cache(maxsize=64)
def _synthesised(name: str) -> UndergroundingProfile:
    if name == "ten":
        return synthetic_profile(10, 0, name=name)
    if name == "appendix-g":
        return synthetic_profile(10, 0, name=name, **APPENDIX_G)
    if (match := re.fullmatch(r"synthetic:([0-9]{1,9}):([0-9]{1,100})", name)) is None:
        raise ValueError(f"profile must be {KNOWN}; got {name!r}")
    k, seed = int(match[1]), int(match[2])
    if not 3 <= k <= MAX_REGIONS:
        raise ValueError(f"profile 'synthetic:K:SEED' needs 3 <= K <= {MAX_REGIONS} regions; got {name!r}")
    return synthetic_profile(k, seed)


def synthetic_profile(n_regions: int, seed: int, *, name: str | None = None, **changes: Any) -> UndergroundingProfile:
    """K regions at random, of 500 to 5,000 customers, costs from U(100, 500) and 100 for each region to spend.

    Args:
        n_regions: K, at least 3.
        seed: of places, customers, incomes and costs.
        name: of the profile.
        **changes: attributes of `UndergroundingProfile` in place of the usual ones; without `cost_limit` it is
            `usual_limit_h`.
    """
    rng = np.random.default_rng([n_regions, seed, 5])
    population: Floats = np.exp(rng.uniform(np.log(500.0), np.log(5_000.0), n_regions)).round()
    usual: dict[str, Any] = {
        "population": population,
        "place": np.round(rng.random((n_regions, 2)), 6),
        "income": np.round(52_000 * np.exp(0.35 * rng.standard_normal(n_regions))),
        "protect_cost": np.round(rng.uniform(100.0, 500.0, n_regions)),
        "n_periods": 40,
        "rate": 3.0,
        "transmission": 0.15,
        "weather_factor": 2.0,
        "steps_per_period": 10,
        "budget": 100.0 * n_regions,
        "n_crews": max(n_regions // 10, 1),
        "cost_limit": 1.0,
    }
    profile = UndergroundingProfile(name=name or f"synthetic:{n_regions}:{seed}", **{**usual, **changes})
    return profile if "cost_limit" in changes else replace(profile, cost_limit=usual_limit_h(profile))
