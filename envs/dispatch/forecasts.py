"""What is known of a wave before it comes: a mean and an interval for every county and day."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.envs.storms import COVARIATES, Family, features
from stormgym.predictors.extras import require

if TYPE_CHECKING:
    from stormgym.predictors.outage_ode import OutageODE

N_STORMS = 200
"""Simulated storms behind the default forecast."""
LEVELS = (0.05, 0.95)
_STREAM = 7_001


class WaveForecast(NamedTuple):
    """Customers out in each county and period, before the storm is known; one forecast, or B of them in front."""

    forecast: Floats  # [..., T, K] mean
    lower: Floats  # [..., T, K] 5 % quantile, or the lower end of an interval
    upper: Floats  # [..., T, K]
    total_lower: Floats  # [..., T] the same of the sum over counties
    total_upper: Floats  # [..., T]


def typical_wave(profile: str | StormProfile) -> WaveForecast:
    """Mean and quantiles of 200 simulated storms of a profile, the same everywhere (no storm of an episode is one)."""
    return _typical_wave(Family(resolve_profile(profile) if isinstance(profile, str) else profile))


@lru_cache(maxsize=64)
def _typical_wave(family: Family) -> WaveForecast:
    streams = [np.random.default_rng([_STREAM, i]) for i in range(N_STORMS)]
    out = family.profile.simulate(streams).out[:, 1:]
    parts = [out.mean(axis=0), *np.quantile(out, LEVELS, axis=0), *np.quantile(out.sum(axis=-1), LEVELS, axis=0)]
    for part in parts:
        part.setflags(write=False)
    return WaveForecast(*parts)


class LearntWave:
    """Forecasts of each storm from its covariates, by an `OutageODE` (torch is imported here, and only here).

    Args:
        forecaster: the model, or its .npz file.
        profile: counties and periods that it must fit.

    Raises:
        FileNotFoundError, ValueError: no such file, a forecaster of other counties, periods or covariates, or one
            without intervals.
    """

    def __init__(self, forecaster: OutageODE | str | os.PathLike[str], profile: StormProfile) -> None:
        require("a learnt forecaster of waves", "torch", "agents")
        from stormgym.predictors.outage_ode import OutageODE

        self.ode = forecaster if isinstance(forecaster, OutageODE) else OutageODE.load(forecaster)
        check_forecaster(self.ode, profile)
        if self.ode.widths_ is None:
            raise ValueError("the forecaster has no intervals: call conformalize(X, y, onset) before save(path)")
        self.profile = profile

    def __call__(self, covariates: Floats) -> WaveForecast:
        """Forecasts of B storms with covariates `[B, K, F]`, see `COVARIATES`."""
        onset = np.rint(covariates[..., COVARIATES.index("onset")])
        X = features(self.ode.feature_names, covariates, self.profile)
        centre, interval, total = (a[:, 1:] for a in self.ode.forecast(X, onset))
        return WaveForecast(centre, interval[..., 0], interval[..., 1], total[..., 0], total[..., 1])


def check_forecaster(ode: OutageODE, profile: StormProfile) -> None:
    """Raise `ValueError` unless a forecaster is made for the counties, periods and covariates of a profile."""
    if (ode.n_periods, len(ode.population)) != (profile.n_periods, profile.n_counties):
        raise ValueError(
            f"the forecaster is for {len(ode.population)} counties and {ode.n_periods} periods, and profile "
            f"{profile.name} has {profile.n_counties} and {profile.n_periods}: fit one on storms of this profile"
        )
    if not np.allclose(ode.population, profile.population, rtol=1e-6):
        k = int(np.argmax(np.abs(ode.population / profile.population - 1.0)))
        raise ValueError(
            f"the forecaster is for other counties: county {k} has {ode.population[k]:,.0f} customers there and "
            f"{profile.population[k]:,.0f} in profile {profile.name}. Fit one on storms of this profile, or take "
            "moved(population, n_periods) of it"
        )
    features(ode.feature_names, np.zeros((1, profile.n_counties, len(COVARIATES))), profile)
