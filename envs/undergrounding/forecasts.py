"""Forecasts before a season: a mean outage of each region, and a conformal set of the storms that may come."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from stormgym.envs.arrays import Floats
from stormgym.envs.storms import Family
from stormgym.envs.undergrounding.regions import Seasons, UndergroundingProfile
from stormgym.predictors.uncertainty import ConformalPolytope
from stormgym.predictors.uncertainty_set import UncertaintySet

Forecast = Literal["ncp", "cp", "empirical"]
Calibration = Literal["marginal", "joint"]
_FEWEST_ROWS = 11
"""A network stops by a tenth of its rows, of which it needs two."""


class SeasonForecast(NamedTuple):
    """Forecast hours without power in the season to come; one season, or B of them in front."""

    mean: Floats  # [..., K]
    lower: Floats  # [..., K] L
    upper: Floats  # [..., K] T
    total_lower: Floats  # [...] L_0
    total_upper: Floats  # [...] T_0

    def sets(self) -> UncertaintySet:
        """The storms that may come (tri-level eq. 7)."""
        return UncertaintySet(self.lower, self.upper, self.total_lower, self.total_upper)


def forecaster(
    profile: UndergroundingProfile,
    method: Forecast = "ncp",
    calibration: Calibration = "marginal",
    confidence_level: float = 0.99,
    total_confidence_level: float = 0.5,
) -> ConformalPolytope:
    """A forecaster fitted and calibrated on the known seasons of a profile; once a profile (about a second), then kept.

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
    first, second = profile.learning_seasons()
    n, k = first.outage_h.shape
    least = n - -(-n // 3) if method == "ncp" else n  # storms of the smallest fit: NCP leaves out a third at a time
    if method != "empirical" and (least * k < _FEWEST_ROWS or least < 2):
        raise ValueError(
            f"forecast {method!r} cannot be fitted on {n} storms of {k} regions. Add storms, raise n_known, or take "
            "forecast='empirical'"
        )
    model = ConformalPolytope(
        method=method,
        calibration=calibration,
        confidence_level=level,
        total_confidence_level=total_level,
        random_state=0,
    )
    model.fit(profile.known_before(first.covariates), first.outage_h)
    return model.conformalize(profile.known_before(second.covariates), second.outage_h)


def forecast_seasons(model: ConformalPolytope, profile: UndergroundingProfile, seasons: Seasons) -> SeasonForecast:
    """Forecasts of B seasons from what is known before them; their storms go unread."""
    X = profile.known_before(seasons.covariates)
    sets = model.predict_set(X)
    return SeasonForecast(model.predict(X), *sets.bounds)
