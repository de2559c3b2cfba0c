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
from stormgym.agents.dfl.risk import Polytope, value_at_risk

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


class OracleDecision(Decision, Protocol):
    """A decision of cost prices . w + w'Qw over a polytope whose best plan for known prices is had at once."""

    def prices(self, outcomes: Tensor, smooth: float = 0.0) -> Tensor:
        """Prices `[..., n]` of outcomes `[..., n]`: a gain has a minus."""
        ...

    def oracle(self, prices: Tensor) -> Tensor:
        """The best plans `[B, n]` at prices `[B, n]`, exact, without gradient."""
        ...

    def quadratic_cost(self, plans: Tensor) -> Tensor:
        """w'Qw `[...]` of plans `[..., n]`; zeros where there is no Q."""
        ...

    def tail(self, samples: Tensor, risk: float) -> RiskPlans:
        """The plans of least CVaR for prices `[S, B, n]`, risk the share of worst samples, without gradient."""
        ...

    @property
    def polytope(self) -> Polytope:
        """What can be decided."""
        ...

    @property
    def quadratic(self) -> Floats | None:
        """Q `[n, n]`, or None."""
        ...


class RiskPlans(NamedTuple):
    """Plans of least CVaR, and the tail that decided them."""

    plan: Tensor  # [B, n]
    weight: Tensor  # [S, B] of each sample in the tail, adding up to 1
    threshold: Tensor  # [B] eta: linear cost at which the tail begins


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


def proper_score(decision: Decision, forecast: Forecast, outcomes: Floats, risk: float) -> Floats:
    """Score `[E]` of samples `[S, E, *]` (arrays) by their plans, proper for CVaR (Rockafellar and Uryasev 2000).

    With w the plan of least CVaR over the samples and eta the threshold of their tail, eta + [f(c, w) - eta]_+ / risk.
    Its mean is least for the true law, whose CVaR at the best plan it then is; one outcome an event is enough. At
    risk = 1 it is the cost of the plan.
    """
    if risk == 1.0:
        return planned_cost(decision, forecast, outcomes)
    plans = decision.decide(forecast, risk)
    cost: Floats = np.asarray(decision.cost(plans, outcomes), dtype=np.float64)
    expected = np.asarray(decision.cost(plans, np.asarray(forecast)), dtype=np.float64)  # [S, E]
    eta = value_at_risk(expected.T, risk)
    score: Floats = eta + np.maximum(cost - eta, 0.0) / risk
    return score
