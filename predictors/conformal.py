"""Split conformal intervals: absolute residuals, normalised residuals, CQR, and ECQR (CQR by group).

All four keep one life cycle, `fit -> conformalize -> predict_interval`. Records for `fit` and for
`conformalize` must be different ones, split at random or by time; the promise "an interval holds the truth in
at least a share `confidence_level` of cases" rests on calibration and future records being exchangeable.

Sources: EPOPR eq. 4-12 (whose alpha is the coverage, our `confidence_level`); CQR of Romano et al. 2019; the
groups are a Mondrian taxonomy in the sense of Vovk et al.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError

from stormgym.predictors.arrays import Floats
from stormgym.predictors.checks import check_confidence_level, check_features, check_groups, check_target
from stormgym.predictors.quantile_models import QuantileModel, predict_mean, prepare


def conformal_rank(n_records: int, confidence_level: float) -> int:
    """Return k = ceil((n + 1) c), the rank of the score that conformal prediction takes (EPOPR eq. 9).

    The product is lowered by 1e-9 first, so that 10 * 0.9 gives 9 and not, by rounding, 10.

    >>> conformal_rank(9, 0.9), conformal_rank(99, 0.9), conformal_rank(100, 0.9)
    (9, 90, 91)
    """
    return math.ceil((n_records + 1) * confidence_level - 1e-9)


def records_needed(confidence_level: float) -> int:
    """Return the smallest number of calibration records whose interval is finite (k <= n).

    >>> records_needed(0.9), records_needed(0.95), records_needed(0.5)
    (9, 19, 1)
    """
    n = max(1, math.floor(confidence_level / (1.0 - confidence_level)) - 1)
    while conformal_rank(n, confidence_level) > n:
        n += 1
    return n


def conformal_quantile(scores: ArrayLike, confidence_level: float) -> float:
    """Return the k-th smallest score, or infinity when k exceeds their number.

    >>> conformal_quantile([3.0, 1.0, 2.0], 0.5)
    2.0
    >>> conformal_quantile([3.0, 1.0, 2.0], 0.9)
    inf
    """
    ordered = np.asarray(scores, dtype=np.float64)
    k = conformal_rank(len(ordered), confidence_level)
    if k > len(ordered):
        return math.inf
    return float(np.partition(ordered, k - 1)[k - 1])


class _Conformal(RegressorMixin, BaseEstimator):
    """What the four methods share; a subclass writes `_fit`, `_centre`, `_scores` and `_interval`."""

    estimator: Any
    confidence_level: float
    random_state: Any
    lower_bound: float | None

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit the model on the training records.

        Args:
            X: features `[M, F]`, finite.
            y: target `[M]`, finite.
            groups: ignored; taken so that every step has one signature.

        Returns:
            self. An earlier `conformalize` is forgotten.

        Raises:
            ValueError: wrong shapes, NaN, or a `confidence_level` outside (0, 1).
            TypeError: an estimator that cannot fit what the method needs.
        """
        del groups
        check_confidence_level(self.confidence_level)
        features = check_features(X)
        target = check_target(y, len(features))
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)
        self._fit(features, target)
        self.n_features_in_ = features.shape[1]
        return self

    def conformalize(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn the correction from calibration records that `fit` has not seen.

        Args:
            X: features `[M, F]`.
            y: target `[M]`.
            groups: group label of each record `[M]`; needed by ECQR, ignored by the others.

        Returns:
            self.

        Raises:
            NotFittedError: before `fit`.
            ValueError: wrong shapes, NaN, or groups missing where they are needed.

        Warns:
            UserWarning: with fewer than c / (1 - c) records an interval is infinite.
        """
        features = self._features(X)
        target = check_target(y, len(features))
        self.confidence_level_ = check_confidence_level(self.confidence_level)
        scores = self._scores(features, target)
        self._calibrate(scores, groups)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Return the point forecast `[M]`: the mean (the median for models fitted one quantile each)."""
        return self._centre(self._features(X))

    def predict_interval(self, X: ArrayLike, groups: ArrayLike | None = None) -> Floats:
        """Return intervals `[M, 2]`, lower and upper end in the unit of `y`.

        Args:
            X: features `[M, F]`.
            groups: group label of each record `[M]`; needed by ECQR, ignored by the others.

        Raises:
            NotFittedError: before `fit` or `conformalize`.
            ValueError: wrong shapes, NaN, groups missing where they are needed, or an unseen group.
        """
        features = self._features(X)
        if not hasattr(self, "quantile_"):
            raise NotFittedError(
                f"this {type(self).__name__} is fitted but not conformalized; "
                "call conformalize(X, y) with calibration records first."
            )
        ends = self._interval(features, self._correction(groups, len(features)))  # [M, 2]
        # A negative correction can turn a narrow interval inside out: the empty set becomes its midpoint.
        crossed = ends[:, 0] > ends[:, 1]
        ends[crossed] = ends[crossed].mean(axis=1, keepdims=True)
        if self.lower_bound is not None:
            np.maximum(ends, float(self.lower_bound), out=ends)
        return ends

    def _features(self, X: ArrayLike) -> Floats:
        if not hasattr(self, "n_features_in_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(X, y) first.")
        return check_features(X, self.n_features_in_)

    def _calibrate(self, scores: Floats, groups: ArrayLike | None) -> None:
        del groups
        self.scores_ = scores
        self.n_calibration_ = len(scores)
        self.quantile_ = conformal_quantile(scores, self.confidence_level_)
        if math.isinf(self.quantile_):
            warnings.warn(self._too_few("the calibration set", len(scores)), UserWarning, stacklevel=3)

    def _correction(self, groups: ArrayLike | None, n_records: int) -> Floats:
        del groups
        return np.full(n_records, self.quantile_)

    def _too_few(self, who: str, n_records: int) -> str:
        return (
            f"{who} has {n_records} calibration records, and confidence_level {self.confidence_level_:g} "
            f"needs at least {records_needed(self.confidence_level_)}: its intervals are infinite. "
            "Add calibration records or lower confidence_level."
        )

    def _fit(self, X: Floats, y: Floats) -> None:
        raise NotImplementedError

    def _centre(self, X: Floats) -> Floats:
        raise NotImplementedError

    def _scores(self, X: Floats, y: Floats) -> Floats:
        raise NotImplementedError

    def _interval(self, X: Floats, correction: Floats) -> Floats:
        raise NotImplementedError


class SplitConformal(_Conformal):
    """Split conformal prediction: the point forecast plus or minus one number.

    Score |y - f(x)|, so every interval has the same width.

    Args:
        estimator: any scikit-learn regressor or quantile forest; None takes `default_forest()`. A quantile
            forest gives its mean.
        confidence_level: coverage aimed at, in (0, 1).
        random_state: seed handed to the estimator; None leaves the estimator's own.
        lower_bound: ends below it are raised to it (0.0 for durations); None for no bound.

    Attributes:
        estimator_: the fitted model.
        quantile_: Q, the k-th smallest score.
        scores_: calibration scores.
        n_calibration_: number of calibration records.

    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> X = np.arange(10.0).reshape(-1, 1)
    >>> y = 2 * X.ravel() + np.tile([1.0, -1.0], 5)
    >>> model = SplitConformal(LinearRegression(), confidence_level=0.8).fit(X, 2 * X.ravel())
    >>> model.conformalize(X, y).predict_interval([[3.0]]).round(6)
    array([[5., 7.]])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        confidence_level: float = 0.9,
        random_state: Any = None,
        lower_bound: float | None = None,
    ) -> None:
        self.estimator = estimator
        self.confidence_level = confidence_level
        self.random_state = random_state
        self.lower_bound = lower_bound

    def _fit(self, X: Floats, y: Floats) -> None:
        self.estimator_ = prepare(self.estimator, self.random_state).fit(X, y)

    def _centre(self, X: Floats) -> Floats:
        return predict_mean(self.estimator_, X)

    def _scores(self, X: Floats, y: Floats) -> Floats:
        return np.abs(y - self._centre(X))

    def _interval(self, X: Floats, correction: Floats) -> Floats:
        centre = self._centre(X)
        return np.column_stack([centre - correction, centre + correction])


class NormalizedConformal(_Conformal):
    """Normalised conformal prediction: the point forecast plus or minus Q times a learnt scale.

    Score |y - f(x)| / s(x). The scale s is a second model, fitted to the absolute residuals of out-of-fold
    forecasts within the training records; it never sees the calibration set.

    Args:
        estimator: as for `SplitConformal`.
        scale_estimator: model of the absolute residual; None takes a clone of `estimator`.
        n_folds: folds of the out-of-fold residuals.
        scale_floor: smallest scale, as a share of the mean absolute residual.
        confidence_level, random_state, lower_bound: as for `SplitConformal`.

    Attributes:
        estimator_, scale_estimator_: the fitted models.
        quantile_, scores_, n_calibration_: as for `SplitConformal`.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        scale_estimator: Any = None,
        n_folds: int = 3,
        scale_floor: float = 0.05,
        confidence_level: float = 0.9,
        random_state: Any = None,
        lower_bound: float | None = None,
    ) -> None:
        self.estimator = estimator
        self.scale_estimator = scale_estimator
        self.n_folds = n_folds
        self.scale_floor = scale_floor
        self.confidence_level = confidence_level
        self.random_state = random_state
        self.lower_bound = lower_bound

    def _fit(self, X: Floats, y: Floats) -> None:
        from sklearn.model_selection import KFold

        if not 2 <= self.n_folds <= len(X):
            raise ValueError(f"n_folds must be between 2 and the {len(X)} training records; got {self.n_folds}.")
        if not self.scale_floor > 0:
            raise ValueError(f"scale_floor must be positive, since scores divide by it; got {self.scale_floor}.")
        residual = np.empty(len(y))
        for inside, outside in KFold(self.n_folds, shuffle=True, random_state=self.random_state).split(X):
            model = prepare(self.estimator, self.random_state).fit(X[inside], y[inside])
            residual[outside] = np.abs(y[outside] - predict_mean(model, X[outside]))
        self.estimator_ = prepare(self.estimator, self.random_state).fit(X, y)
        scale = self.estimator if self.scale_estimator is None else self.scale_estimator
        self.scale_estimator_ = prepare(scale, self.random_state).fit(X, residual)
        # All residuals zero: any positive floor gives the same, zero-width, intervals.
        self.scale_floor_ = self.scale_floor * float(residual.mean()) or 1.0

    def _scale(self, X: Floats) -> Floats:
        return np.maximum(predict_mean(self.scale_estimator_, X), self.scale_floor_)

    def _centre(self, X: Floats) -> Floats:
        return predict_mean(self.estimator_, X)

    def _scores(self, X: Floats, y: Floats) -> Floats:
        return np.abs(y - self._centre(X)) / self._scale(X)

    def _interval(self, X: Floats, correction: Floats) -> Floats:
        centre, half = self._centre(X), self._scale(X) * correction
        return np.column_stack([centre - half, centre + half])


class CQR(_Conformal):
    """Conformalized quantile regression, symmetric: both quantiles are moved outwards by the same Q.

    Quantiles q_lo, q_hi at (1 - c) / 2 and (1 + c) / 2 (EPOPR eq. 4-7), score max(q_lo - y, y - q_hi) (eq.
    8), interval [q_lo - Q, q_hi + Q] (eq. 10). Q may be negative, when the quantiles are too wide.

    Args:
        estimator: a model whose `predict` takes `quantiles` (quantile-forest), or one with a parameter
            `quantile` or `alpha` under a quantile loss, which is then cloned and fitted once a level; None
            takes `default_forest()`.
        confidence_level, random_state, lower_bound: as for `SplitConformal`.

    Attributes:
        estimators_: the fitted models: one, or lower, upper and median.
        quantile_, scores_, n_calibration_: as for `SplitConformal`.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(900, 1))
    >>> y = rng.exponential(1.0 + X[:, 0])
    >>> model = CQR(confidence_level=0.8, random_state=0, lower_bound=0.0)
    >>> model = model.fit(X[:400], y[:400]).conformalize(X[400:800], y[400:800])
    >>> ends = model.predict_interval(X[800:])
    >>> ends.shape, bool((ends >= 0).all())
    ((100, 2), True)
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        confidence_level: float = 0.9,
        random_state: Any = None,
        lower_bound: float | None = None,
    ) -> None:
        self.estimator = estimator
        self.confidence_level = confidence_level
        self.random_state = random_state
        self.lower_bound = lower_bound

    def _fit(self, X: Floats, y: Floats) -> None:
        level = check_confidence_level(self.confidence_level)
        model = QuantileModel(prepare(self.estimator, self.random_state), [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        self.quantile_model_ = model.fit(X, y)
        self.estimators_ = model.models

    def _centre(self, X: Floats) -> Floats:
        return self.quantile_model_.centre(X)

    def _scores(self, X: Floats, y: Floats) -> Floats:
        q = self.quantile_model_.quantiles(X)  # [M, 2]
        return np.maximum(q[:, 0] - y, y - q[:, 1])  # eq. 8

    def _interval(self, X: Floats, correction: Floats) -> Floats:
        q = self.quantile_model_.quantiles(X)
        return np.column_stack([q[:, 0] - correction, q[:, 1] + correction])  # eq. 10, 12


class ECQR(CQR):
    """Equity-conformalized quantile regression: CQR with one Q for each sensitive group (EPOPR eq. 11-12).

    Each group is then covered at `confidence_level`, where CQR's single Q covers a group of high variance too
    rarely. The group decides the correction only; it is no feature unless you put it into `X`.

    Args:
        estimator, confidence_level, random_state, lower_bound: as for `CQR`.
        unseen_group: what `predict_interval` does with a group that had no calibration records: "raise", or
            "marginal" (take the Q of all calibration records together, with a warning).
        small_group: what becomes of a group with too few calibration records for a finite Q: "infinite"
            (keeps the promise) or "marginal". Both warn.

    Attributes:
        groups_: labels seen in `conformalize`.
        quantiles_: mapping from label to its Q.
        group_n_calibration_: mapping from label to its number of calibration records.
        quantile_: Q of all calibration records together.
        estimators_, scores_, n_calibration_: as for `CQR`.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(2000, 1))
    >>> group = np.where(rng.uniform(size=2000) < 0.3, "low", "high")
    >>> y = 2.0 + rng.uniform(-1, 1, size=2000) * np.where(group == "low", 3.0, 1.0)
    >>> model = ECQR(random_state=0).fit(X[:1000], y[:1000])
    >>> model = model.conformalize(X[1000:], y[1000:], group[1000:])
    >>> model.quantiles_["low"] > model.quantile_ > model.quantiles_["high"]
    True
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        confidence_level: float = 0.9,
        random_state: Any = None,
        lower_bound: float | None = None,
        unseen_group: str = "raise",
        small_group: str = "infinite",
    ) -> None:
        super().__init__(
            estimator, confidence_level=confidence_level, random_state=random_state, lower_bound=lower_bound
        )
        self.unseen_group = unseen_group
        self.small_group = small_group

    def _calibrate(self, scores: Floats, groups: ArrayLike | None) -> None:
        for name, rules in (
            ("unseen_group", ("raise", "marginal")),
            ("small_group", ("infinite", "marginal")),
        ):
            if getattr(self, name) not in rules:
                raise ValueError(f"{name} must be one of {rules}; got {getattr(self, name)!r}.")
        labels = self._groups(groups, len(scores), "conformalize")
        self.scores_ = scores
        self.n_calibration_ = len(scores)
        self.quantile_ = conformal_quantile(scores, self.confidence_level_)
        self.groups_, index = np.unique(labels, return_inverse=True)
        self.quantiles_: dict[Any, float] = {}
        self.group_n_calibration_: dict[Any, int] = {}
        for g, label in enumerate(self.groups_.tolist()):
            own = scores[index == g]  # eq. 11
            q = conformal_quantile(own, self.confidence_level_)
            if math.isinf(q):
                text = self._too_few(f"group {label!r}", len(own))
                if self.small_group == "marginal":
                    text = text.replace(
                        "its intervals are infinite", f"it takes the Q of all {len(scores)} records instead"
                    )
                    q = self.quantile_
                warnings.warn(text, UserWarning, stacklevel=3)
            self.quantiles_[label] = q
            self.group_n_calibration_[label] = len(own)

    def _correction(self, groups: ArrayLike | None, n_records: int) -> Floats:
        labels = self._groups(groups, n_records, "predict_interval")
        seen, index = np.unique(labels, return_inverse=True)
        unseen = [label for label in seen.tolist() if label not in self.quantiles_]
        if unseen:
            text = (
                f"groups {unseen} had no calibration records; known groups are {list(self.quantiles_)}. "
                "Without its own records a group's coverage is not guaranteed"
            )
            if self.unseen_group == "raise":
                raise ValueError(f'{text}: add records to conformalize, or set unseen_group="marginal".')
            warnings.warn(f"{text}: it takes the Q of all {self.n_calibration_} records.", UserWarning, stacklevel=3)
        table = np.array([self.quantiles_.get(label, self.quantile_) for label in seen.tolist()])
        return table[index]

    def _groups(self, groups: ArrayLike | None, n_records: int, step: str) -> NDArray[Any]:
        if groups is None:
            raise ValueError(
                f"ECQR corrects each group apart and needs its labels: {step}(..., groups=...). "
                "Use CQR for one correction."
            )
        return check_groups(groups, n_records)
