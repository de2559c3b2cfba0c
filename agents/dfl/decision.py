"""Contracts of decision-focused learning: a decision, the cases it is taken in, and the model that forecasts them.

Decision, loss and network are separate: `losses` and `learner` use a `Decision` and a `Model` and know neither
generators nor cables nor beds, so the same learner serves every decision. A forecast is what a model says of an
outcome: samples `[S, B, *]`, or a `Gaussian` where a decision has closed forms for one. Nothing averages samples before
the loss that needs it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stormgym.agents.dfl.constraints import Constraints

Floats = NDArray[np.float64]


class Gaussian(NamedTuple):
    """Independent normal outcomes."""

    mean: Any  # [B, D]
    sd: Any  # [B, D], above 0

    def sample(self, n_samples: int, noise: torch.Generator) -> Tensor:
        """Samples `[S, B, D]`, differentiable in mean and sd."""
        mean = torch.as_tensor(self.mean)
        eps = torch.randn((n_samples, *mean.shape), generator=noise, dtype=mean.dtype)
        return mean + torch.as_tensor(self.sd) * eps


Forecast = Any
"""Samples `[S, B, *]` or a `Gaussian`; tensors in losses, arrays in `Decision.decide`."""


class Decision(Protocol):
    """min over a in C of E f(y, a): what a decision costs, and the best one for a forecast; B cases at a time."""

    separable: bool
    """Whether `energy` is a sum over the plan's coordinates (`coordinate_energy`): then its normaliser is exact."""

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """f `[...]` of plans `[..., *]` and outcomes `[..., *]`, broadcast; of tensors differentiable in the plan."""
        ...

    def decide(self, forecast: Forecast, risk: float = 1.0) -> Any:
        """The best plans `[B, *]` in C for a forecast, exact or the best known.

        Args:
            forecast: arrays: samples `[S, B, *]`, or a `Gaussian` where the decision takes one.
            risk: share alpha of worst outcomes whose mean cost is least (CVaR); 1 is the mean of all.
        """
        ...

    def energy(self, forecast: Forecast, plans: Tensor) -> Tensor:
        """Expected cost `[..., B]` of plans `[..., B, n]` under the forecast, differentiable in both; C is left out."""
        ...

    def project(self, plans: Tensor) -> Tensor:
        """The feasible plans `[..., n]` nearest to those given, without gradient."""
        ...


class SeparableDecision(Decision, Protocol):
    """A decision whose energy is a sum over coordinates."""

    def coordinate_energy(self, forecast: Forecast, plans: Tensor) -> Tensor:
        """Terms `[..., B, n]` that add up to `energy`."""
        ...

    def coordinate_mode(self, forecast: Forecast) -> Any:
        """`[B, n]` where each coordinate's energy is least (C left out), without gradient."""
        ...


class DifferentiableDecision(Decision, Protocol):
    """A decision whose best plan has a derivative in the forecast, by its optimality conditions."""

    def plan(self, forecast: Forecast) -> Tensor:
        """The best plans `[B, n]`, differentiable in the forecast."""
        ...


class LinearDecision(Decision, Protocol):
    """A decision whose cost is linear in the relaxed plan `x [B, n]`: prices . x over a polytope."""

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


class Data(Protocol):
    """E events: what is known before each, and the outcomes."""

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

    def outcomes(self, data: Any, noise: torch.Generator) -> Forecast:
        """Forecasts of each event, differentiable: samples `[S, E, *]` (S = 1: one outcome), or a `Gaussian`."""
        ...

    def fit_loss(self, data: Any, noise: torch.Generator) -> Tensor:
        """Forecasting loss, whatever is decided (a scalar)."""
        ...


def as_arrays(forecast: Forecast) -> Forecast:
    """A forecast of tensors as `Decision.decide` takes it."""
    if isinstance(forecast, Gaussian):
        return Gaussian(*(part.detach().numpy() for part in forecast))
    return forecast.detach().numpy()


def planned_cost(decision: Decision, forecast: Forecast, outcomes: Floats) -> Floats:
    """Cost `[E]` of the plans for forecasts (arrays) when outcomes `[E, *]` come."""
    cost: Floats = np.asarray(decision.cost(decision.decide(forecast), outcomes), dtype=np.float64)
    return cost


def regret(decision: Decision, forecast: Forecast, outcomes: Floats) -> Floats:
    """Regret `[E]`: cost of plans for forecasts (arrays) less that of plans for the true outcomes `[E, *]`."""
    return planned_cost(decision, forecast, outcomes) - planned_cost(decision, outcomes[None], outcomes)


def check_risk(risk: float, what: str) -> None:
    """Raise `ValueError` unless a planner is asked for the mean alone."""
    if risk != 1.0:
        raise ValueError(f"{what} plans for the mean of all outcomes; risk must be 1, got {risk!r}")
