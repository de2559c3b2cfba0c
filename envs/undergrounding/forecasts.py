"""Forecasts before a season: a mean outage of each region, and a conformal set of the storms that may come."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats
from stormgym.envs.cache import Costly, check_numbers, recall_arrays
from stormgym.envs.storms import Family
from stormgym.envs.undergrounding.regions import Seasons, UndergroundingProfile
from stormgym.predictors.polytope import SETTINGS, SOURCES, FrozenPolytope, SetForecaster
from stormgym.predictors.sources import digest_of
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
) -> FrozenPolytope:
    """A forecaster fitted and calibrated on the known seasons of a profile, and kept.

    That of the default profile comes with the package (`stormgym.envs.shipped`); else the first one of a profile is
    fitted, which takes some seconds, and later ones, also of other processes, come from the cache.

    Args:
        profile: regions and storms.
        method, calibration, confidence_level, total_confidence_level: see `ConformalPolytope`.

    Warns:
        UserWarning: the known storms are too few for a level.
    """
    return _fitted(Family(profile), method, calibration, confidence_level, total_confidence_level)


@lru_cache(maxsize=32)
def _fitted(family: Family, *settings: Any) -> FrozenPolytope:
    model = FrozenPolytope.from_arrays(recall_arrays(costly_forecaster(family.profile, *settings)))
    model.warn_infinite()
    return model


def costly_forecaster(
    profile: UndergroundingProfile,
    method: Forecast = "ncp",
    calibration: Calibration = "marginal",
    confidence_level: float = 0.99,
    total_confidence_level: float = 0.5,
) -> Costly:
    """What decides the forecaster of a profile, and how it is made; arguments as of `forecaster`.

    Raises:
        ValueError: a profile with too few known storms for the method.
    """
    first, second = profile.learning_seasons()
    n, k = first.outage_h.shape
    least = n - -(-n // 3) if method == "ncp" else n  # storms of the smallest fit: NCP leaves out a third at a time
    if method != "empirical" and (least * k < _FEWEST_ROWS or least < 2):
        raise ValueError(
            f"forecast {method!r} cannot be fitted on {n} storms of {k} regions. Add storms, raise n_known, or take "
            "forecast='empirical'"
        )
    data = (profile.known_before(first.covariates), first.outage_h)
    held_out = (profile.known_before(second.covariates), second.outage_h)
    settings = {
        "method": method,
        "calibration": calibration,
        "confidence_level": confidence_level,
        "total_confidence_level": total_confidence_level,
        "random_state": 0,
    }

    def fit() -> Mapping[str, Any]:
        from stormgym.predictors.uncertainty import ConformalPolytope

        model = ConformalPolytope(**settings).fit(*data)  # type: ignore[arg-type]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # told of every model, also of one from a file
            return model.conformalize(*held_out).frozen().arrays()

    digest = hashlib.sha256()
    for array in (*data, *held_out):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        # in single precision: processors differ in the last bits of what NumPy computes, and have one forecast to share
        digest.update((np.asarray(array, np.float32) + np.float32(0)).tobytes())
    key = "|".join((digest.hexdigest(), repr(sorted(settings.items())), digest_of(SOURCES)))
    return Costly("seasons", key, (*SETTINGS, "widths_"), fit, partial(_check, settings, held_out[0][:1], k))


def _check(settings: Mapping[str, Any], X: Floats, n_regions: int, stored: Mapping[str, NDArray[Any]]) -> None:
    """Raise `ValueError` unless arrays can be a forecaster of K regions with these settings."""
    shapes: dict[str, tuple[int | None, ...]] = {
        name: (None,) * array.ndim for name, array in stored.items() if array.dtype.kind == "f"
    }
    check_numbers(stored, shapes, infinite=[name for name in shapes if "." not in name])
    wrong = [name for name in SETTINGS if name in settings and stored[name].item() != settings[name]]
    if wrong:
        raise ValueError(f"{wrong[0]} must be {settings[wrong[0]]!r}; got {stored[wrong[0]]!r}")
    model = FrozenPolytope.from_arrays(stored)
    centre, (lower, *_) = model.predict(X), model.predict_set(X).bounds
    if centre.shape != (1, n_regions) or lower.shape != centre.shape or not np.isfinite(centre).all():
        raise ValueError(f"a forecast must be {n_regions} finite numbers; got shape {list(centre.shape)}")


def forecast_seasons(model: SetForecaster, profile: UndergroundingProfile, seasons: Seasons) -> SeasonForecast:
    """Forecasts of B seasons from what is known before them; their storms go unread."""
    X = profile.known_before(seasons.covariates)
    mean, sets = model.predict_with_set(X)
    return SeasonForecast(mean, *sets.bounds)
