"""Sets of storms from data: conformal intervals of regions and of their sum (tri-level eq. 5-7, Algorithm 1).

`fit -> conformalize -> predict_set`. Three ways to the bounds: `ncp`, residuals over a learnt scale; `cp`, plain
residuals; `empirical`, mean and standard deviation of past storms as if normal, the paper's baseline without promise.

What the levels promise. With `calibration="marginal"` each region's bounds hold its outage in a share
`confidence_level` of storms and those of the sum in a share `total_confidence_level`: one at a time, so that the
whole box holds less often, and box and sum together less often still. With `calibration="joint"` one factor, calibrated
on the largest of a storm's normalised scores, makes the WHOLE set hold in a share `confidence_level`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from sklearn.base import BaseEstimator

from stormgym.predictors.arrays import Floats
from stormgym.predictors.checks import check_confidence_level
from stormgym.predictors.conformal import conformal_quantile
from stormgym.predictors.polytope import (
    NUMBERS,
    SETTINGS,
    FrozenPolytope,
    SetCoverage,
    SetForecaster,
    frozen_network,
    rows_of,
)
from stormgym.predictors.quantile_models import predict_mean, prepare

__all__ = ["Calibration", "ConformalPolytope", "Method", "SetCoverage", "default_network"]

Method = Literal["ncp", "cp", "empirical"]
Calibration = Literal["marginal", "joint"]


def default_network(random_state: int | None = None, hidden: tuple[int, ...] = (64, 32)) -> Any:
    """Return the default model, unfitted: a network of two hidden layers, 64 and 32 ReLU (tri-level Appendix H).

    Features and target are standardised within it, so that their units do not matter.
    """
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from stormgym.predictors.quick_network import QuickMLPRegressor

    network = QuickMLPRegressor(
        hidden_layer_sizes=hidden,
        alpha=1e-3,
        early_stopping=True,
        n_iter_no_change=20,
        max_iter=1000,
        random_state=random_state,
    )
    return TransformedTargetRegressor(
        regressor=make_pipeline(StandardScaler(), network), transformer=StandardScaler()
    )  # fmt: skip


class ConformalPolytope(SetForecaster, BaseEstimator):
    """Set of storms from covariates of each storm and region (tri-level Algorithm 1, with a learnt scale).

    One model serves all regions: its records are pairs of storm and region. The scale of `ncp` is a second model of the
    absolute residuals of forecasts for storms left out of the fit (folds are whole storms); that of the sum is the sum
    of the regions' scales, times the share of it that residuals of opposite sign leave on average. Calibration is
    region by region, as printed.

    Args:
        estimator: any scikit-learn regressor or quantile forest (its mean); None takes `default_network()`.
        scale_estimator: model of the absolute residual; None takes a clone of `estimator`.
        method: `ncp`, `cp` or `empirical`.
        calibration: `marginal` (levels one at a time) or `joint` (the whole set at `confidence_level`).
        confidence_level: of each region's bounds, or of the whole set.
        total_confidence_level: of the sum's bounds; not used with `joint`.
        n_folds: folds of the out-of-fold residuals.
        scale_floor: smallest scale, as a share of the mean absolute residual.
        lower_bound: forecasts and lower ends below it are raised to it.
        random_state: seed of models and folds; None leaves them unseeded.

    Attributes:
        estimator_, scale_estimator_: the fitted models (`scale_estimator_` with `ncp` only).
        widths_: `[K]` factors of the scale, Q_i.
        total_width_: the factor of the sum's scale, Q_0.
        n_calibration_: storms of the calibration.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        scale_estimator: Any = None,
        method: Method = "ncp",
        calibration: Calibration = "marginal",
        confidence_level: float = 0.99,
        total_confidence_level: float = 0.5,
        n_folds: int = 3,
        scale_floor: float = 0.05,
        lower_bound: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.scale_estimator = scale_estimator
        self.method = method
        self.calibration = calibration
        self.confidence_level = confidence_level
        self.total_confidence_level = total_confidence_level
        self.n_folds = n_folds
        self.scale_floor = scale_floor
        self.lower_bound = lower_bound
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit forecast and scale on the training storms.

        Args:
            X: `[E, K, F]` covariates.
            y: `[E, K]` outages.

        Returns:
            self. An earlier `conformalize` is forgotten.

        Raises:
            ValueError: wrong shapes, NaN, levels outside (0, 1), unknown names.
        """
        for name, value, known in (
            ("method", self.method, ("ncp", "cp", "empirical")),
            ("calibration", self.calibration, ("marginal", "joint")),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}; got {value!r}")
        check_confidence_level(self.confidence_level)
        check_confidence_level(self.total_confidence_level, "total_confidence_level")
        if not math.isfinite(self.lower_bound):
            raise ValueError(f"lower_bound must be finite; got {self.lower_bound!r}")
        features, outages = self._checked(X, y, None)
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)
        self.n_regions_in_, self.n_features_in_ = features.shape[1:]
        self.mean_, self.sd_ = outages.mean(axis=0), outages.std(axis=0, ddof=min(1, len(outages) - 1))
        totals = outages.sum(axis=1)
        self.total_sd_ = float(totals.std(ddof=min(1, len(totals) - 1)))
        if self.method != "empirical":
            self._fit_models(features, outages)
        return self

    def _fit_models(self, features: Floats, outages: Floats) -> None:
        rows, target = rows_of(features), outages.ravel()
        if self.method == "ncp":
            from sklearn.model_selection import KFold

            if not 2 <= self.n_folds <= len(features):
                raise ValueError(f"n_folds must be between 2 and the {len(features)} storms; got {self.n_folds}")
            if not self.scale_floor > 0:
                raise ValueError(f"scale_floor must be positive, since scores divide by it; got {self.scale_floor}")
            error = np.empty_like(outages)
            for inside, outside in KFold(self.n_folds, shuffle=True, random_state=self.random_state).split(features):
                model = prepare(self._model(), self.random_state).fit(
                    rows_of(features[inside]), outages[inside].ravel()
                )
                forecast = predict_mean(model, rows_of(features[outside])).reshape(len(outside), -1)
                error[outside] = outages[outside] - forecast
            residual = np.abs(error)
            scale = self._model() if self.scale_estimator is None else self.scale_estimator
            self.scale_estimator_ = prepare(scale, self.random_state).fit(rows, residual.ravel())
            self.scale_floor_ = self.scale_floor * float(residual.mean()) or 1.0
            whole = float(residual.sum(axis=1).mean())
            self.total_share_ = max(float(np.abs(error.sum(axis=1)).mean()) / whole, 1e-3) if whole > 0 else 1.0
        self.estimator_ = prepare(self._model(), self.random_state).fit(rows, target)

    def conformalize(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn the widths from storms that `fit` has not seen.

        Args:
            X: `[E, K, F]`.
            y: `[E, K]`.

        Returns:
            self. With `empirical` nothing is learnt: its widths come from `fit`.

        Raises:
            NotFittedError: before `fit`.
            ValueError: wrong shapes, NaN.

        Warns:
            UserWarning: too few storms for a level, so that a width is infinite; the message says how many it needs.
        """
        self._need_fit()
        features, outages = self._checked(X, y, (self.n_regions_in_, self.n_features_in_))
        level, total_level = self.confidence_level, self.total_confidence_level
        self.n_calibration_ = len(features)
        if self.method == "empirical":
            level = self._share(level)
            self.widths_ = np.full(self.n_regions_in_, float(ndtri(0.5 + level / 2)))
            total_level = level if self.calibration == "joint" else total_level
            self.total_width_ = float(ndtri(0.5 + total_level / 2))
            return self
        centre, scale, total_scale = self._forecast(features)
        scores = np.abs(outages - centre) / scale  # [E, K]
        totals = np.abs((outages - centre).sum(axis=1)) / total_scale  # [E]
        if self.calibration == "joint":
            # Each part is first brought to its own typical size, so that no region alone decides the largest score.
            parts = np.column_stack([scores, totals])  # [E, K + 1]
            typical = self._typical()
            width = conformal_quantile((parts / typical).max(axis=1), level) * typical
            self.widths_, self.total_width_ = width[:-1], float(width[-1])
        else:
            self.widths_ = np.array([conformal_quantile(own, level) for own in scores.T])
            self.total_width_ = conformal_quantile(totals, total_level)
        self.warn_infinite(stacklevel=3)
        return self

    def frozen(self) -> FrozenPolytope:
        """What predicts, without the models that were fitted: plain arrays (`FrozenPolytope.arrays`), same sets.

        Raises:
            NotFittedError: before `conformalize`.
            TypeError: a model that is not `default_network`.
        """
        self._need_widths()
        networks = {"centre": getattr(self, "estimator_", None), "scale": getattr(self, "scale_estimator_", None)}
        numbers = {name: getattr(self, name) for name in NUMBERS if hasattr(self, name)}
        settings = {name: getattr(self, name) for name in SETTINGS}
        return FrozenPolytope(
            **settings,
            numbers=numbers,
            networks={name: frozen_network(model) for name, model in networks.items() if model is not None},
        )

    def _model(self) -> Any:
        return default_network() if self.estimator is None else self.estimator

    def _share(self, level: float) -> float:
        """The level of each part if K regions and the sum are to hold at once (Bonferroni), for `empirical`."""
        return level if self.calibration == "marginal" else 1.0 - (1.0 - level) / (self.n_regions_in_ + 1)

    def _typical(self) -> Floats:
        """Typical score of each region and of the sum `[K + 1]`, known before calibration: its order does not bias it.

        With a learnt scale it is 1. Plain residuals are compared in standard deviations of the training storms.
        """
        if self.method == "ncp":
            return np.ones(self.n_regions_in_ + 1)
        size = np.append(self.sd_, self.total_sd_)
        return np.maximum(size, 1e-9 * max(float(size.max()), 1e-300))

    def _centre_of(self, rows: Floats) -> Floats:
        return predict_mean(self.estimator_, rows)

    def _scale_of(self, rows: Floats) -> Floats:
        return predict_mean(self.scale_estimator_, rows)
