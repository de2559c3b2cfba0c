"""Protocols of decision-focused learning: a linear problem whose prices depend on the forecast, its data, its model.

Problem, loss and network are separate: `losses` and `learner` use a `Problem` and a `Model` and know neither generators
nor cables, so the same learner serves other decisions.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stormgym.agents.dfl.constraints import Constraints

Floats = NDArray[np.float64]


class Problem(Protocol):
    """min prices . x over x in a polytope, for B outcomes at a time; `x` is the relaxed plan `[B, n]`."""

    @property
    def constraints(self) -> Constraints:
        """The polytope, the same for all outcomes."""
        ...

    def curvature(self, rho: float) -> Tensor:
        """r `[n]` of the quadratic sum r x^2 / 2 that smooths the plan: rho where x decides, little elsewhere."""
        ...

    def prices(self, outcomes: Tensor, smooth: float = 0.0) -> Tensor:
        """Prices `[..., n]` of outcomes `[..., *]`, differentiable; `smooth` rounds corners, which stop gradients."""
        ...

    def decide(self, outcomes: Floats) -> Any:
        """Optimal integer plans `[B, *]` for the mean prices of S outcomes each, `[S, B, *]`."""
        ...

    def cost(self, plans: Any, outcomes: Floats) -> Floats:
        """Cost `[B]` of plans `[B, *]` under outcomes `[B, *]`."""
        ...


class Data(Protocol):
    """E events: covariates that are known before each, and the outcomes."""

    def __len__(self) -> int:
        """E."""
        ...

    def rows(self, index: NDArray[np.int64]) -> Self:
        """The events of these indices."""
        ...

    @property
    def outcomes(self) -> Floats:
        """Observed outcomes `[E, *]`."""
        ...


class Model(Protocol):
    """A differentiable forecaster."""

    def parameters(self) -> list[nn.Parameter]:
        """Trainable weights."""
        ...

    def outcomes(self, data: Any, noise: torch.Generator) -> Tensor:
        """S forecasts of each event `[S, E, *]`, differentiable; S = 1 where one outcome is forecast."""
        ...

    def fit_loss(self, data: Any, noise: torch.Generator) -> Tensor:
        """Forecasting loss, whatever is decided (a scalar)."""
        ...


def regret(problem: Problem, forecasts: Floats, outcomes: Floats) -> Floats:
    """Regret `[E]`: cost of plans for forecasts `[S, E, *]` less that of plans for the true outcomes `[E, *]`."""
    planned = problem.cost(problem.decide(forecasts), outcomes)
    best: Floats = problem.cost(problem.decide(outcomes[None]), outcomes)
    return planned - best
