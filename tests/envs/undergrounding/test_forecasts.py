"""Forecasts of a season: what their sets promise, in any batch."""

import numpy as np

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.undergrounding.core import UndergroundingCore
from stormgym.envs.undergrounding.forecasts import forecaster
from stormgym.envs.undergrounding.profiles import resolve_profile


def test_outlook__holds_new_seasons_as_its_levels_promise():
    profile = resolve_profile("ten")
    seasons = profile.seasons([np.random.default_rng([77, i]) for i in range(600)])
    report = forecaster(profile).coverage(profile.known_before(seasons.covariates), seasons.outage_h)
    assert 0.97 < report.marginal <= 1.0  # of 200 calibration seasons: 0.99, sd of the level itself 0.7 %
    assert 0.38 < report.total < 0.62


def test_outlook__is_the_same_in_any_batch():
    single, many = UndergroundingCore(1), UndergroundingCore(64)
    many.reset([np.random.default_rng([5, i]) for i in range(64)])
    for i in (0, 17, 63):
        single.reset([np.random.default_rng([5, i])])
        for mine, one in zip(many.process.forecast, single.process.forecast, strict=True):
            np.testing.assert_array_equal(mine[i], one[0])
