"""Outcomes with heavy tails, such as prices: a law of their inverse hyperbolic sines.

asinh is linear near 0 and logarithmic far from it, on both sides, so a spike of twenty spreads becomes one of four.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn

from stormgym.predictors.conditional import checked_events, matrix_of

LEAST_SPREAD = 1e-9
NORMAL_IQR = 1.349
"""Distance between the quartiles of a normal law, in standard deviations."""


class HeavyTailed:
    """A law of asinh((y - median) / spread), each outcome in units of its own; spread is that of the middle half.

    Args:
        law: an unfitted network with a density.
    """

    def __init__(self, law: Any) -> None:
        self.law = law

    def fit(self, X: ArrayLike, y: ArrayLike, X_validation: ArrayLike, y_validation: ArrayLike) -> Self:
        """Learn the median and spread, then the law; see the law's own `fit`."""
        inputs, outcomes, others, held = checked_events(X, y, X_validation, y_validation)
        self.median_ = np.median(outcomes, axis=0)
        quartiles = np.quantile(outcomes, [0.25, 0.75], axis=0)
        self.spread_ = np.maximum((quartiles[1] - quartiles[0]) / NORMAL_IQR, LEAST_SPREAD)
        self.law.fit(inputs, self._bent(outcomes), others, self._bent(held))
        return self

    def sample(self, X: ArrayLike, n_samples: int, noise: torch.Generator, common: bool = False) -> Tensor:
        """Samples `[K, E, D]`, differentiable in the weights; see `Generator`."""
        if not hasattr(self, "median_"):
            raise NotFittedError("HeavyTailed is not fitted: call fit(X, y, X_validation, y_validation) first")
        bent: Tensor = self.law.sample(X, n_samples, noise, common)
        return torch.as_tensor(self.median_) + torch.as_tensor(self.spread_) * torch.sinh(bent)

    def log_prob(self, y: ArrayLike, X: ArrayLike) -> Tensor:
        """Log density `[E]` of outcomes `[E, D]`, differentiable in the weights."""
        bent = self._bent(matrix_of("y", y))
        # d asinh(u) / dy = 1 / (spread sqrt(1 + u^2)), and sqrt(1 + u^2) = cosh of the bent outcome
        slope = np.log(np.cosh(bent)) + np.log(self.spread_)
        density: Tensor = self.law.log_prob(bent, X)
        return density - torch.as_tensor(slope.sum(axis=1))

    def _bent(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        bent: NDArray[np.float64] = np.arcsinh((y - self.median_) / self.spread_)
        return bent

    def parameters(self) -> list[nn.Parameter]:
        """Those of the law."""
        weights: list[nn.Parameter] = self.law.parameters()
        return weights

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays."""
        return {**self.law.state(), "median_": self.median_, "spread_": self.spread_}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says."""
        self.median_, self.spread_ = np.array(state["median_"]), np.array(state["spread_"])
        self.law.restore(state)
