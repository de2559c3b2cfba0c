"""Places for generators to go: two three-city profiles of the literature, ten cities, random counties, your storms."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from os.path import isdir
from pathlib import Path

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.equity import gap

KNOWN = (
    "'A', 'B', 'ten', 'synthetic:K:SEED' (K counties, e.g. 'synthetic:67:0'), or a folder with counties.csv, "
    "profile.json and outages*.csv"
)
DEFAULT_PROFILE = "A"
MAX_COUNTIES = 400
_THREE = np.array([[0.15, 0.3], [0.5, 0.75], [0.8, 0.55]])
_LIMIT_STORMS = 500
_NAMED = ("A", "B", "ten")


def unserved_gap(unserved: Floats, profile: StormProfile) -> Floats:
    """Largest W1 distance between income groups of customer-periods unserved per customer, `[...]`.

    Args:
        unserved: `[..., K]` customer-periods without power or generator, a sum over an episode.
        profile: the counties.
    """
    result: Floats = gap(unserved / profile.population, profile.group, int(profile.group.max()) + 1)
    return result


def half_of_doing_nothing(profile: StormProfile) -> float:
    """Half of the mean gap if no generator moves, over 500 episodes of seed 0, to three digits: a limit that binds."""
    storms = profile.draw([np.random.default_rng([0, i]) for i in range(_LIMIT_STORMS)])
    half = 0.5 * float(unserved_gap(storms.out[:, 1:].sum(axis=1), profile).mean())
    return float(f"{half:.3g}")


def resolve_profile(name: str) -> StormProfile:
    """Return the profile of a name, or of a folder of recorded storms (a name comes first: write "./A" for a folder A).

    A folder is read again when one of its files has changed.

    Raises:
        ValueError: no such profile.
        DataError: a folder whose files do not fit.
    """
    if name and name not in _NAMED and not name.startswith("synthetic:") and isdir(name):
        from stormgym.envs.dispatch.folder import stamp

        folder = Path(name).resolve()
        return _recorded(folder, stamp(folder))
    return _synthesised(name)


@lru_cache(maxsize=8)
def _recorded(folder: Path, state: tuple[tuple[str, int, int], ...]) -> StormProfile:
    """The profile of a folder in one state of its files."""
    del state  # only tells one from the next
    from stormgym.envs.dispatch.folder import load_profile

    profile, limit = load_profile(folder)
    return profile if limit is not None else replace(profile, cost_limit=half_of_doing_nothing(profile))


@lru_cache(maxsize=64)
def _synthesised(name: str) -> StormProfile:
    if name == "A":
        profile = _three_cities("A", (3_200, 2_000, 1_400), rate=8.8, severity=(0.5, 1.5), latest_onset=3)
    elif name == "B":
        profile = _three_cities("B", (5_000, 1_500, 1_500), rate=6.0, severity=(0.5, 2.2), latest_onset=7)
        profile = replace(profile, customers_per_generator=275.0, generators=5, operating_cost=18.0)
    elif name == "ten":
        profile = _synthetic("ten", 10, 7, n_periods=20, rate=3.0, latest_onset=4)
    elif (match := re.fullmatch(r"synthetic:([0-9]{1,9}):([0-9]{1,100})", name)) is not None:
        k, seed = int(match[1]), int(match[2])
        if not 3 <= k <= MAX_COUNTIES:
            raise ValueError(f"profile 'synthetic:K:SEED' needs 3 <= K <= {MAX_COUNTIES} counties; got {name!r}")
        profile = _synthetic(name, k, seed, n_periods=30, rate=2.0, latest_onset=6)
    else:
        raise ValueError(f"profile must be {KNOWN}; got {name!r}")
    return replace(profile, cost_limit=half_of_doing_nothing(profile))


def _three_cities(
    name: str, population: tuple[int, int, int], *, rate: float, severity: tuple[float, float], latest_onset: int
) -> StormProfile:
    """Profiles A and B: fifteen periods of two days, costs per period."""
    return StormProfile(
        name=name,
        population=np.array(population, dtype=np.float64),
        place=_THREE,
        income=np.array([2.0, 0.0, 1.0]),  # the largest city is the richest
        n_periods=15,
        rate=rate,
        severity=severity,
        latest_onset=latest_onset,
        generators=10,
        customers_per_generator=100.0,
        transport_cost=100.0,
        interruption_cost=2.0,
        operating_cost=8.0,
        cost_limit=1.0,
    )


def _synthetic(name: str, k: int, seed: int, *, n_periods: int, rate: float, latest_onset: int) -> StormProfile:
    """K counties at random, of 500 to 5,000 customers, with generators for a tenth of them."""
    rng = np.random.default_rng([k, seed])
    population: Floats = np.exp(rng.uniform(np.log(500.0), np.log(5_000.0), k)).round()
    return StormProfile(
        name=name,
        population=population,
        place=np.round(rng.random((k, 2)), 6),
        income=np.round(52_000 * np.exp(0.35 * rng.standard_normal(k))),
        n_periods=n_periods,
        rate=rate,
        latest_onset=latest_onset,
        steps_per_period=10,
        generators=max(int(np.ceil(0.1 * population.sum() / 100.0)), 1),
        customers_per_generator=100.0,
        transport_cost=100.0,
        interruption_cost=1.0,
        operating_cost=2.0,
        cost_limit=1.0,
    )
