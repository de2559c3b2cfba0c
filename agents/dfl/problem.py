"""What a decision-focused learner has to know of a decision: linear, with prices that follow from what is forecast.

Problem, loss and network are apart: `losses` and `learner` see a `Problem` and a `Model` and nothing of generators or
cables, so the same learner serves other decisions.
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
        """Prices `[..., n]` of outcomes `[..., *]`; `smooth` rounds the corners off so that gradients pass them."""
        ...

    def decide(self, outcomes: Floats) -> Any:
        """Best plans `[B, *]`, exact and whole, for the mean prices of S outcomes each, `[S, B, *]`."""
        ...

    def cost(self, plans: Any, outcomes: Floats) -> Floats:
        """What plans cost `[B]` when these outcomes come, `[B, *]`."""
        ...


class Data(Protocol):
    """E events: what is known before each, and what came."""

    def __len__(self) -> int:
        """E."""
        ...

    def rows(self, index: NDArray[np.int64]) -> Self:
        """Some of them."""
        ...

    @property
    def outcomes(self) -> Floats:
        """What came, `[E, *]`."""
        ...


class Model(Protocol):
    """A forecaster that gradient steps can change."""

    def parameters(self) -> list[nn.Parameter]:
        """What they change."""
        ...

    def outcomes(self, data: Any, noise: torch.Generator) -> Tensor:
        """S forecasts of each event `[S, E, *]`, differentiable; S = 1 where one outcome is forecast."""
        ...

    def fit_loss(self, data: Any, noise: torch.Generator) -> Tensor:
        """How well it forecasts, whatever is decided (a scalar)."""
        ...


def regret(problem: Problem, forecasts: Floats, outcomes: Floats) -> Floats:
    """What planning on forecasts `[S, E, *]` costs more than planning on what came, `[E]`."""
    planned = problem.cost(problem.decide(forecasts), outcomes)
    best: Floats = problem.cost(problem.decide(outcomes[None]), outcomes)
    return planned - best
