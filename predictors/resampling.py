"""Laws made of past outcomes: residuals of a point forecast, and past outcomes of events that are alike.

Both learn and sample as other generators do; their samples are atoms, so they have no density and no gradient.
Sources: Kannan, Bayraksan and Luedtke (2025, "residuals-based sample average approximation", ER-SAA); Bertsimas and
Kallus (2020, forest weights).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from torch import Tensor

from stormgym.predictors.arrays import Floats
from stormgym.predictors.conditional import checked_events, matrix_of
from stormgym.predictors.point import PointNet

MOST_RATIO = 3.0
"""Bound of an outcome's ratio to its forecast: where a forecast is near 0 ratios say nothing."""


class ResidualBootstrap:
    """A point forecast and the residuals of past events, those that stopped the fit among them.

    Args:
        relative: outcomes are forecast x ratio, for noise that multiplies positive outcomes; ratios are kept within
            [0, 3] and forecasts above a hundredth of the mean outcome.
        point: an unfitted forecaster.
    """

    def __init__(self, *, relative: bool = False, point: PointNet | None = None) -> None:
        self.relative = relative
        self.point = point if point is not None else PointNet(learning_rate=3e-3)

    def fit(self, X: ArrayLike, y: ArrayLike, X_validation: ArrayLike, y_validation: ArrayLike) -> Self:
        """Fit the forecaster, and keep what it left `[E + E', D]`."""
        inputs, outcomes, others, held = checked_events(X, y, X_validation, y_validation)
        self.point.fit(inputs, outcomes, others, held)
        self.least_ = 0.01 * np.maximum(np.abs(outcomes.mean(axis=0)), 1e-9)
        every, came = np.concatenate([inputs, others]), np.concatenate([outcomes, held])
        forecast = self._forecast(every)
        self.residuals_ = np.clip(came / forecast, 0.0, MOST_RATIO) if self.relative else came - forecast
        return self

    def sample(self, X: ArrayLike, n_samples: int, noise: torch.Generator, common: bool = False) -> Tensor:
        """Samples `[K, E, D]`: whole rows of residuals, so that outcomes stay as dependent as they were."""
        if not hasattr(self, "residuals_"):
            raise NotFittedError("ResidualBootstrap is not fitted: call fit(X, y, X_validation, y_validation) first")
        forecast = self._forecast(X)
        shape = (n_samples, 1 if common else len(forecast))
        rows = torch.randint(len(self.residuals_), shape, generator=noise).numpy()
        drawn = self.residuals_[rows]  # [K, E, D]
        return torch.as_tensor(forecast * drawn if self.relative else forecast + drawn)

    def _forecast(self, X: ArrayLike) -> Floats:
        with torch.no_grad():
            forecast: Floats = self.point.predict(X).numpy()
        return np.maximum(forecast, self.least_) if self.relative else forecast

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays."""
        return {**self.point.state(), "residuals_": self.residuals_, "least_": self.least_}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says."""
        self.residuals_, self.least_ = np.array(state["residuals_"]), np.array(state["least_"])
        self.point.restore(state)


class ForestWeights:
    """Past outcomes of events that fall into the same leaves of a forest of regression trees.

    A sample is drawn by a tree at random and an event at random among those in the leaf of the new one: so an event has
    the weight with which the forest averages its outcome.

    Args:
        n_trees: of the forest.
        min_leaf: events a leaf, at least.
        random_state: seed of the forest.
    """

    def __init__(self, *, n_trees: int = 200, min_leaf: int = 5, random_state: int = 0) -> None:
        if n_trees < 1 or min_leaf < 1:
            raise ValueError(f"n_trees and min_leaf must be at least 1; got {n_trees!r} and {min_leaf!r}")
        self.n_trees, self.min_leaf, self.random_state = n_trees, min_leaf, random_state

    def fit(self, X: ArrayLike, y: ArrayLike, X_validation: ArrayLike, y_validation: ArrayLike) -> Self:
        """Grow the forest on all events; nothing needs to be stopped."""
        from sklearn.ensemble import RandomForestRegressor

        inputs, outcomes, others, held = checked_events(X, y, X_validation, y_validation)
        every, came = np.concatenate([inputs, others]), np.concatenate([outcomes, held])
        forest = RandomForestRegressor(
            self.n_trees, min_samples_leaf=self.min_leaf, max_features=1.0, random_state=self.random_state
        ).fit(every, came)
        trees = [tree.tree_ for tree in forest.estimators_]
        most = max(tree.node_count for tree in trees)
        self.children_ = np.full((len(trees), most, 2), -1, dtype=np.int64)
        self.feature_ = np.zeros((len(trees), most), dtype=np.int64)
        self.threshold_ = np.zeros((len(trees), most))
        for i, tree in enumerate(trees):
            n = tree.node_count
            self.children_[i, :n, 0], self.children_[i, :n, 1] = tree.children_left, tree.children_right
            self.feature_[i, :n], self.threshold_[i, :n] = np.maximum(tree.feature, 0), tree.threshold
        self.outcomes_ = came
        self.leaf_ = self._leaves(every)
        return self

    def sample(self, X: ArrayLike, n_samples: int, noise: torch.Generator, common: bool = False) -> Tensor:
        """Samples `[K, E, D]`, each a past outcome."""
        if not hasattr(self, "outcomes_"):
            raise NotFittedError("ForestWeights is not fitted: call fit(X, y, X_validation, y_validation) first")
        leaf = self._leaves(X)  # [trees, E]
        shape = (n_samples, 1 if common else leaf.shape[1])
        tree = torch.randint(len(leaf), shape, generator=noise).numpy()
        place = torch.rand(shape, generator=noise, dtype=torch.float64).numpy()
        # events of each tree in order of their leaf: those of one leaf are neighbours
        order = np.argsort(self.leaf_, axis=1, kind="stable")
        first, after = self._ranges()
        at = leaf[tree, np.arange(leaf.shape[1])]  # [K, E]
        low, high = first[tree, at], after[tree, at]
        row = order[tree, np.minimum(low + (place * (high - low)).astype(np.int64), high - 1)]
        return torch.as_tensor(self.outcomes_[row])

    def _ranges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the events of each leaf begin and end in their tree's order, `[trees, nodes]`."""
        n_trees, n_nodes = self.feature_.shape
        flat = (np.arange(n_trees)[:, None] * n_nodes + self.leaf_).ravel()
        count = np.bincount(flat, minlength=n_trees * n_nodes).reshape(n_trees, n_nodes)
        after = np.cumsum(count, axis=1)
        return after - count, after

    def _leaves(self, X: ArrayLike) -> NDArray[np.int64]:
        """Leaf of each event in each tree, `[trees, E]`; all trees and events go down together."""
        inputs = matrix_of("X", X).astype(np.float32)  # as scikit-learn compares
        trees = np.arange(len(self.feature_))[:, None]
        node = np.zeros((len(trees), len(inputs)), dtype=np.int64)
        while True:
            inner = self.children_[trees, node, 0] >= 0
            if not inner.any():
                return node
            value = inputs[np.arange(len(inputs)), self.feature_[trees, node]]
            side = (value > self.threshold_[trees, node]).astype(np.int64)
            node = np.where(inner, self.children_[trees, node, side], node)

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays."""
        return {name: getattr(self, name) for name in _FOREST}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says."""
        for name in _FOREST:
            setattr(self, name, np.array(state[name]))


_FOREST = ("children_", "feature_", "threshold_", "outcomes_", "leaf_")
