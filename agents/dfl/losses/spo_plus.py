"""SPO+, a convex bound of the regret of a linear decision (Elmachtoub and Grigas 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from stormgym.agents.dfl.decision import Forecast, LinearDecision
from stormgym.agents.dfl.losses.contract import LossValue
from stormgym.agents.dfl.losses.relaxed import PriceLoss, relaxed_plan


def spo_plus(problem: LinearDecision, predicted: Tensor, true: Tensor, true_plan: Tensor) -> Tensor:
    """SPO+ loss, convex in predicted prices and an upper bound of the regret (Elmachtoub and Grigas 2022, eq. 9).

    2 predicted . x*(true) - true . x*(true) - min over x of (2 predicted - true) . x: one linear problem a step, and
    2 (x*(true) - x*(2 predicted - true)) is a subgradient.

    Args:
        problem: polytope.
        predicted, true: `[B, n]` prices.
        true_plan: `[B, n]`, the best plan for the true prices (`relaxed_plan`).
    """
    tilted = 2.0 * predicted - true
    plan = relaxed_plan(problem, tilted)  # constant: the derivative of the minimum is the plan that attains it
    return 2.0 * (predicted * true_plan).sum(-1) - (true * true_plan).sum(-1) - (tilted * plan).sum(-1)


class SPOPlusLoss(PriceLoss):
    """SPO+ of the mean of the samples' prices."""

    def __call__(
        self,
        decision: LinearDecision,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """The bound `[B]`."""
        del outcomes, noise
        return LossValue(spo_plus(decision, self.predicted(decision, forecast), *targets))
