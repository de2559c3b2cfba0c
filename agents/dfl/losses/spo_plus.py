"""SPO+, a convex bound of the regret of a linear decision (Elmachtoub and Grigas 2022), and its form for the tail."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stormgym.agents.dfl.decision import Forecast, LinearDecision, OracleDecision
from stormgym.agents.dfl.losses.contract import LossValue
from stormgym.agents.dfl.losses.relaxed import PriceLoss, relaxed_plan


def spo_plus(problem: LinearDecision | OracleDecision, predicted: Tensor, true: Tensor, true_plan: Tensor) -> Tensor:
    """SPO+ loss, convex in predicted prices and an upper bound of the regret (Elmachtoub and Grigas 2022, eq. 9).

    2 predicted . x*(true) - true . x*(true) - min over x of (2 predicted - true) . x: one linear problem a step, and
    2 (x*(true) - x*(2 predicted - true)) is a subgradient. A quadratic that does not depend on prices enters once, as
    2 f(predicted, .) - f(true, .) = f(2 predicted - true, .).

    Args:
        problem: polytope, or oracle.
        predicted, true: `[B, n]` prices.
        true_plan: `[B, n]`, the best plan for the true prices (`relaxed_plan`).
    """
    tilted = 2.0 * predicted - true
    plan = relaxed_plan(problem, tilted)  # constant: the derivative of the minimum is the plan that attains it
    linear = 2.0 * (predicted * true_plan).sum(-1) - (true * true_plan).sum(-1) - (tilted * plan).sum(-1)
    if hasattr(problem, "quadratic_cost"):
        linear = linear + problem.quadratic_cost(true_plan) - problem.quadratic_cost(plan)
    return linear


class SPOPlusLoss(PriceLoss):
    """SPO+ of the mean of the samples' prices."""

    def __call__(
        self,
        decision: LinearDecision | OracleDecision,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """The bound `[B]`."""
        del outcomes, noise
        return LossValue(spo_plus(decision, self.predicted(decision, forecast), *targets))


@dataclass(frozen=True)
class TailSPOPlusLoss(PriceLoss):
    """SPO+ for CVaR: of the mean prices of the worst share of samples at the current plan.

    At the plan w of least CVaR over the samples, w is a best plan for the mean of the tail's prices as well (the saddle
    point of CVaR's dual form), so what has to be right is that mean: E[c | f(c, w) in the tail]. An event therefore
    counts, with weight 1 / alpha, when its own cost at w is beyond the threshold of the samples' tail; the others say
    nothing of the tail. With `every_event` all count alike, which pulls the tail's mean to the mean of all: it is there
    to be compared with. At alpha = 1 both are `SPOPlusLoss`. Source: the suite's own (Gen-DFL has no such loss).

    Attributes:
        smooth: see `PriceLoss`.
        risk: share alpha of worst samples.
        every_event: whether events count that are not in the tail.
    """

    risk: float = 1.0
    every_event: bool = False

    def __call__(
        self,
        decision: OracleDecision,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """The bound `[B]`, 0 for events that do not count."""
        del outcomes, noise
        true, true_plan = targets
        prices = decision.prices(forecast, self.smooth)  # [S, B, n]
        found = decision.tail(prices.detach(), self.risk)
        tail = (found.weight.unsqueeze(-1) * prices).sum(0)  # [B, n]
        value = spo_plus(decision, tail, true, true_plan)
        if self.every_event or self.risk == 1.0:
            return LossValue(value)
        counts = (true * found.plan).sum(-1) > found.threshold
        return LossValue(value * counts / self.risk)
