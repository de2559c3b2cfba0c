"""Forecasts of a season: what their sets promise, in any batch."""

import warnings

import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.cache import recall_arrays, store_arrays
from stormgym.envs.undergrounding.core import UndergroundingCore
from stormgym.envs.undergrounding.forecasts import costly_forecaster, forecaster
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


def test_cache__a_forecaster_that_cannot_be_the_profiles_is_named_and_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    costly = costly_forecaster(resolve_profile("ten"), "empirical")
    made = recall_arrays(costly)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recall_arrays(costly).keys() == made.keys()
    for harm, reason in (
        ({"mean_": made["mean_"][:-1]}, "shape"),
        ({"widths_": np.full_like(made["widths_"], np.nan)}, "widths_ must be finite; got nan"),
        ({"confidence_level": np.array(0.5)}, "confidence_level must be 0.99"),
    ):
        store_arrays(costly.file, {**made, **harm})
        with pytest.warns(UserWarning, match=f"seasons-.*npz is not taken .*{reason}.*made again"):
            again = recall_arrays(costly)
        for name, values in made.items():
            np.testing.assert_array_equal(again[name], values)
