"""Cross-fitted forecasts of a city's log: made once per (city, predictor, level), kept in memory and on disk."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from stormgym.envs.cache import Costly, cache_folder, recall_arrays
from stormgym.envs.data import City

if TYPE_CHECKING:
    from stormgym.predictors import CrossFit

__all__ = ["PREDICTORS", "cache_folder", "check_predictor", "city_forecasts"]

PREDICTORS = ("ecqr", "cqr", "cp", "point", "none")
FOREST_SEED = 0

_memory: dict[str, CrossFit] = {}


def check_predictor(predictor: str, confidence_level: float) -> None:
    """Raise `ValueError` for an unknown predictor or a level outside (0, 1)."""
    if predictor not in PREDICTORS:
        raise ValueError(f"predictor must be one of {', '.join(PREDICTORS)}; got {predictor!r}")
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
    return Costly("forecast", key, names, fit)


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
