"""Cross-fitted forecasts of a city's log: made once per (city, predictor, level), kept in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.cache import Costly, cache_folder, check_numbers, recall_arrays
from stormgym.envs.data import City

if TYPE_CHECKING:
    from stormgym.predictors import CrossFit

__all__ = ["PREDICTORS", "cache_folder", "check_predictor", "city_forecasts"]

PREDICTORS = ("ecqr", "cqr", "cp", "point", "none")
FOREST_SEED = 0

_memory: dict[str, CrossFit] = {}


def check_predictor(predictor: str, confidence_level: float) -> None:
    """Raise `ValueError` for an unknown predictor or a level outside (0, 1), `TypeError` for a level of no number."""
    if predictor not in PREDICTORS:
        raise ValueError(f"predictor must be one of {', '.join(PREDICTORS)}; got {predictor!r}")
    if isinstance(confidence_level, bool) or not isinstance(confidence_level, Real):
        raise TypeError(f"confidence_level must be a number in (0, 1); got {confidence_level!r}")
    if not 0.0 < confidence_level < 1.0:
        hint = f" Did you mean {confidence_level / 100:g}?" if 1.0 <= confidence_level < 100.0 else ""
        raise ValueError(f"confidence_level must be in (0, 1); got {confidence_level!r}.{hint}")


def costly_forecasts(city: City, predictor: str, confidence_level: float) -> Costly:
    """What decides the forecasts of a city, and how they are made."""
    from stormgym.predictors.cross_fit import CrossFit, cross_fit, source_digest

    names = [f.name for f in fields(CrossFit)]

    def fit() -> dict[str, Any]:
        log = city.log
        result = cross_fit(
            log.features,
            log.repair_h,
            city.group[log.region],
            predictor=predictor,
            confidence_level=confidence_level,
            random_state=FOREST_SEED,
        )
        return {name: getattr(result, name) for name in names}

    # with the source: forecasts of an older predictor are never taken for today's
    key = "|".join((city.fingerprint(), predictor, repr(float(confidence_level)), source_digest()))
    return Costly("forecast", key, names, fit, partial(_check, len(city.log)))


def _check(m: int, stored: Mapping[str, NDArray[Any]]) -> None:
    """Raise `ValueError` unless arrays can be forecasts of M records."""
    from stormgym.predictors.cross_fit import CrossFit

    of_records = dict.fromkeys(("lower_h", "upper_h", "point_h", "fold"), (m,))
    masks = dict.fromkeys(("fit_mask", "interval_fit_mask", "calibration_mask"), (None, m))
    made = CrossFit(**{f.name: stored[f.name] for f in fields(CrossFit)})
    levels = made.quantile_levels
    check_numbers(stored, {**of_records, **masks, "quantile_levels": (levels.size,), "quantile_h": (m, levels.size)})
    if not levels.size or not ((levels > 0) & (levels < 1)).all():
        raise ValueError("quantile_levels must be numbers between 0 and 1")
    if (made.lower_h > made.upper_h).any() or (np.minimum(made.lower_h, made.point_h) < 0).any():
        raise ValueError("hours must not be negative, nor an interval's lower end above its upper one")


def city_forecasts(city: City, predictor: str = "ecqr", confidence_level: float = 0.9) -> CrossFit:
    """Return the cross-fit of the city's log; the forest and the conformal step of a record never saw its fold.

    Those of the default city come with the package (`stormgym.envs.shipped`). Else the first call for a (city,
    predictor, level) fits for about ten seconds; later ones, and other processes, read the cache (`cache_folder`). A
    cache that cannot be written or read costs time, never the result.
    """
    from stormgym.predictors.cross_fit import CrossFit

    check_predictor(predictor, confidence_level)
    costly = costly_forecasts(city, predictor, confidence_level)
    if costly.key not in _memory:
        stored = recall_arrays(costly)
        _memory[costly.key] = CrossFit(**{name: stored[name] for name in costly.names})
    return _memory[costly.key]
