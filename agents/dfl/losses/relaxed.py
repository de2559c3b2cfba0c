"""The cost of the plan of a smoothed linear problem (GDF eq. 15-23)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stormgym.agents.dfl.decision import Forecast, LinearDecision, OracleDecision
from stormgym.agents.dfl.losses.contract import LossValue
from stormgym.agents.dfl.qp_layer import qp_layer, solve_qp

NEARLY_LINEAR, TOLERANCE = 1e-2, 1e-6
"""Curvature and tolerance with which linear problems are solved by `solve_qp`: vertices to about 1e-5."""


def relaxed_plan(problem: LinearDecision | OracleDecision | Any, prices: Tensor) -> Tensor:
    """The best relaxed plan `[B, n]` at given prices, without gradient: by an oracle where the decision has one."""
    with torch.no_grad():
        if hasattr(problem, "oracle"):
            exact: Tensor = problem.oracle(prices)
            return exact
        return solve_qp(prices, problem.curvature(NEARLY_LINEAR), problem.constraints, tolerance=TOLERANCE).x


def relaxed_cost(problem: LinearDecision, predicted: Tensor, true: Tensor, rho: float) -> Tensor:
    """True cost of the plan of predicted prices, smoothed by a quadratic (GDF eq. 15-23).

    The plan moves with the prices, and its gradient comes from the optimality conditions with active bounds held
    (`qp_layer`). Without the quadratic the plan of a linear problem would jump, with a gradient of zero in between.

    Args:
        problem: polytope.
        predicted: `[B, n]` prices that the plan is made for.
        true: `[B, n]` prices that are paid.
        rho: curvature, in money; the larger, the smoother, and the farther from the plan that is decided on.
    """
    plan = qp_layer(predicted, problem.curvature(rho), problem.constraints)
    return (plan * true).sum(dim=-1)


@dataclass(frozen=True)
class PriceLoss:
    """What losses of linear decisions share.

    Attributes:
        smooth: how far corners of prices are rounded, in units of the decision's.
    """

    smooth: float

    def targets(self, decision: LinearDecision | OracleDecision, outcomes: Tensor) -> tuple[Tensor, ...]:
        """True prices `[E, n]` of outcomes and the best relaxed plans for them `[E, n]`."""
        true = decision.prices(outcomes)
        return true, relaxed_plan(decision, true)

    def scale(self, targets: tuple[Tensor, ...]) -> float:
        """Mean sum of absolute prices."""
        return float(targets[0].abs().sum(-1).mean().clamp_min(1e-9))

    def predicted(self, decision: LinearDecision | OracleDecision, forecast: Forecast) -> Tensor:
        """Mean prices of the samples `[B, n]`: exact, as cost is linear in them."""
        return decision.prices(forecast, self.smooth).mean(dim=0)


@dataclass(frozen=True)
class RelaxedLoss(PriceLoss):
    """Regret of the smoothed plan for the mean of the samples' prices.

    Attributes:
        smooth: see `PriceLoss`.
        rho: curvature of the smoothed problem.
    """

    rho: float

    def __call__(
        self,
        decision: LinearDecision,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """Smoothed regret `[B]`."""
        del outcomes, noise
        true, true_plan = targets
        predicted = self.predicted(decision, forecast)
        return LossValue(relaxed_cost(decision, predicted, true, self.rho) - (true * true_plan).sum(-1))
