"""Conformal quantile regression for records that come in blocks, such as storms, and forecasts for a block to come."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError

from stormgym.predictors.arrays import Floats
from stormgym.predictors.checks import check_confidence_level, check_features, check_target
from stormgym.predictors.quantile_models import QuantileModel, prepare


class BlockCQR(RegressorMixin, BaseEstimator):
    """Conformalised quantile regression whose scores are those of blocks that the model had not seen.

    Records of one storm are alike, so that a calibration set drawn from the storms that a model was fitted on shows
    too small errors for the next one. Here every block is scored by a model of the others, score max(q_lo - y, y -
    q_hi), and Q is where the mean over blocks of their scores' distribution functions passes the level: pooling of
    distribution functions, Dunn, Wasserman and Ramdas (2023). The interval is [q_lo - Q, q_hi + Q] of a model of all
    blocks. Each block counts the same, however many records it has. With few blocks there is no guarantee: it holds as
    the number of exchangeable blocks grows.

    Args:
        estimator: as of `CQR`.
        confidence_level: coverage aimed at, in (0, 1).
        random_state: seed handed to the estimator.

    Attributes:
        model_: quantiles and median of all blocks.
        quantile_: Q.
        scores_: scores of each block, by its label.

    >>> import numpy as np
    >>> from sklearn.linear_model import QuantileRegressor
    >>> rng = np.random.default_rng(0)
    >>> block = np.repeat(np.arange(8), 50)
    >>> X = rng.uniform(size=(400, 1))
    >>> y = X[:, 0] + rng.normal(size=8)[block] + rng.normal(scale=0.1, size=400)  # a shift for each block
    >>> model = BlockCQR(QuantileRegressor(alpha=0.0)).fit(X, y, block)
    >>> interval = model.predict_interval(X)
    >>> bool(((y >= interval[:, 0]) & (y <= interval[:, 1])).mean() > 0.9)
    True
    """

    def __init__(self, estimator: Any = None, *, confidence_level: float = 0.9, random_state: Any = None) -> None:
        self.estimator = estimator
        self.confidence_level = confidence_level
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, blocks: ArrayLike) -> Self:
        """Fit on all blocks, and score each by a model of the others.

        Args:
            X: features `[M, F]`, finite.
            y: target `[M]`, finite.
            blocks: label of each record's block `[M]`, at least two different ones.

        Raises:
            ValueError: wrong shapes, NaN, fewer than two blocks, or a `confidence_level` outside (0, 1).
        """
        level = check_confidence_level(self.confidence_level)
        features = check_features(X)
        target = check_target(y, len(features))
        block = np.asarray(blocks)
        if block.shape != target.shape:
            raise ValueError(f"blocks must hold one label a record, {len(target)}; got shape {block.shape}.")
        labels = np.unique(block)
        if labels.size < 2:
            raise ValueError(f"blocks must hold at least two different labels; got {labels.tolist()}.")
        self._levels = ((1.0 - level) / 2.0, 0.5, (1.0 + level) / 2.0)
        self.scores_ = {}
        for label in labels:
            held = block == label
            low, _, high = self._model(features[~held], target[~held]).quantiles(features[held]).T
            self.scores_[label.item()] = np.maximum(low - target[held], target[held] - high)
        self.quantile_ = pooled_quantile(list(self.scores_.values()), level)
        self.model_ = self._model(features, target)
        self.n_features_in_ = features.shape[1]
        return self

    def _model(self, X: Floats, y: Floats) -> QuantileModel:
        return QuantileModel(prepare(self.estimator, self.random_state), self._levels).fit(X, y)

    def _quantiles(self, X: ArrayLike) -> Floats:
        if not hasattr(self, "model_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(X, y, blocks) first.")
        return self.model_.quantiles(check_features(X, self.n_features_in_))

    def predict(self, X: ArrayLike) -> Floats:
        """Return the median `[M]`."""
        return self._quantiles(X)[:, 1]

    def predict_interval(self, X: ArrayLike) -> Floats:
        """Return intervals `[M, 2]` in the unit of `y`; one that a negative Q turns inside out is its middle."""
        low, _, high = self._quantiles(X).T
        ends = np.column_stack([low - self.quantile_, high + self.quantile_])
        crossed = ends[:, 0] > ends[:, 1]
        ends[crossed] = ends[crossed].mean(axis=1, keepdims=True)
        return ends


def pooled_quantile(scores: list[Floats], level: float) -> float:
    """The least score at which the mean of the blocks' distribution functions is at least `level`.

    >>> pooled_quantile([np.array([1.0, 2.0]), np.array([5.0])], 0.5)
    2.0
    """
    every = np.concatenate(scores)
    weight = np.concatenate([np.full(len(part), 1.0 / (len(part) * len(scores))) for part in scores])
    order = np.argsort(every, kind="stable")
    reached = np.cumsum(weight[order]) >= level - 1e-9
    return float(every[order][reached.argmax()])
