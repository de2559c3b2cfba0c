"""What is known before the season: a mean outage of each region and the set of storms to reckon with."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from stormgym.envs.storms import COVARIATES, Family, Floats, features
from stormgym.envs.undergrounding.profiles import Seasons, UndergroundingProfile
from stormgym.predictors.uncertainty import ConformalPolytope
from stormgym.predictors.uncertainty_set import UncertaintySet

Forecast = Literal["ncp", "cp", "empirical"]
Calibration = Literal["marginal", "joint"]
FEATURES = (*(name for name in COVARIATES if name != "onset"), "log_customers")
"""What the forecaster sees of each region."""
N_FIT, N_CALIBRATION = 160, 200
"""Simulated seasons behind the forecaster; none is a season of an episode. 1 % a region needs 99 to calibrate."""
_STREAM = 7_005


class Outlook(NamedTuple):
    """Hours without power in the season to come; one outlook, or B of them in front."""

    mean: Floats  # [..., K]
    lower: Floats  # [..., K] L
    upper: Floats  # [..., K] T
    total_lower: Floats  # [...] L_0
    total_upper: Floats  # [...] T_0

    def sets(self) -> UncertaintySet:
        """The storms to reckon with (tri-level eq. 7)."""
        return UncertaintySet(self.lower, self.upper, self.total_lower, self.total_upper)


def known_before(seasons: Seasons, profile: UndergroundingProfile) -> Floats:
    """Covariates `[B, K, F]` that the forecaster sees, see `FEATURES`."""
    return features(FEATURES, seasons.covariates, profile)


def forecaster(
    profile: UndergroundingProfile,
    method: Forecast = "ncp",
    calibration: Calibration = "marginal",
    confidence_level: float = 0.99,
    total_confidence_level: float = 0.5,
) -> ConformalPolytope:
    """Sets of storms from simulated seasons of a profile, the same everywhere; fitted once a profile (about a second).

    Args:
        profile: regions and storms.
        method, calibration, confidence_level, total_confidence_level: see `ConformalPolytope`.
    """
    return _fitted(Family(profile), method, calibration, confidence_level, total_confidence_level)


@lru_cache(maxsize=32)
def _fitted(
    family: Family, method: Forecast, calibration: Calibration, level: float, total_level: float
) -> ConformalPolytope:
    profile: UndergroundingProfile = family.profile
    seasons = profile.seasons([np.random.default_rng([_STREAM, i]) for i in range(N_FIT + N_CALIBRATION)])
    X, y = known_before(seasons, profile), seasons.outage_h
    model = ConformalPolytope(
        method=method,
        calibration=calibration,
        confidence_level=level,
        total_confidence_level=total_level,
        random_state=0,
    )
    return model.fit(X[:N_FIT], y[:N_FIT]).conformalize(X[N_FIT:], y[N_FIT:])


def outlook(model: ConformalPolytope, profile: UndergroundingProfile, seasons: Seasons) -> Outlook:
    """The forecaster's outlook on B seasons; what it says of the storm itself goes unread."""
    X = known_before(seasons, profile)
    sets = model.predict_set(X)
    return Outlook(model.predict(X), *sets.bounds)
