"""Synthetic cities that differ as real ones do: in how long repairs take and how skewed they are, in what a queue adds,
in where income groups live, and in what travel costs. For learners that are to play in any city.

Ranges are about what is known of real ones (docs/data.md): outages of western Massachusetts have a mean of 7 hours, a
median of 2.5 and a log standard deviation of 1.3 within a town; stages of Pacific Gas and Electric's have 0.8 to 1.5,
and waits that storms multiply; the default city has 1.7 hours and 0.5. Nothing is fitted to any one city.
"""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.city_fields import CityFields, straight_km
from stormgym.envs.data.synthetic import NOISE_RANGE, Character, check_arguments, synthetic_city
from stormgym.envs.equity import gap

_STREAM = 31
LIMIT_SHARES = (0.4, 1.0)
"""Of the gap that an order by repair time and distance would leave: the range of which a city's limit is drawn."""


def varied_city(seed: int, n_regions: int) -> CityFields:
    """Generate the fields of the city "varied:N:SEED"; equal arguments give equal cities.

    Args:
        seed: at least 0.
        n_regions: 3 to 200.

    Raises:
        ValueError: an argument is out of range.
    """
    check_arguments(seed, n_regions)
    rng = np.random.default_rng([_STREAM, int(seed), int(n_regions)])
    fields = synthetic_city(seed, n_regions, 1.0, character_of(rng, f"varied:{n_regions}:{seed}"))
    share = _between(rng, *LIMIT_SHARES)
    return {**fields, "cost_limit_h": float(f"{max(share * _quick_gap_h(fields), 0.1):.2g}")}


def character_of(rng: np.random.Generator, name: str) -> Character:
    """A character at random.

    Args:
        rng: draws it.
        name: of the city.
    """
    noise_log_sd = _between(rng, 0.3, 1.4)
    return Character(
        name=name,
        mean_repair_h=_between(rng, 1.0, 10.0),
        region_log_sd=_between(rng, 0.1, 0.5),
        repair_income=float(rng.uniform(-0.8, 0.3)),
        noise_log_sd=noise_log_sd,
        noise_range=(NOISE_RANGE[0], max(NOISE_RANGE[1], 1.3 * noise_log_sd)),
        queue=float(rng.uniform(0.0, 0.6)) if rng.random() < 0.5 else 0.0,
        income_weights=(float(rng.uniform(0.0, 1.2)), float(rng.uniform(0.0, 1.2)), float(rng.uniform(0.1, 1.0))),
        income_length_km=_between(rng, 1.5, 6.0),
        speed_kmh=_between(rng, 8.0, 60.0),
        records=_between(rng, 1.0, 8.0),
        calibrated=False,
    )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number of a log-uniform distribution, to three digits."""
    return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.3g}")


def _quick_gap_h(fields: CityFields) -> float:
    """Gap (h) when the crew always goes where way and mean repair together are shortest, all as expected."""
    log, n = fields["log"], len(fields["region_ids"])
    mean_h = np.bincount(log.region, log.repair_h) / np.bincount(log.region)
    points = np.vstack([fields["xy_km"], fields["depot_km"]])
    travel_h: Floats = fields["detour"] / fields["speed_kmh"] * straight_km(points[:, None], points)
    done_h, now_h, at = np.full(n, np.nan), 0.0, n
    group: Ints = fields["group"]
    for _ in range(n):
        takes = np.where(np.isnan(done_h), travel_h[at, :n] + mean_h, np.inf)
        at = int(np.round(takes, 9).argmin())
        now_h += takes[at]
        done_h[at] = now_h
    return float(gap(done_h, group, int(group.max()) + 1))
