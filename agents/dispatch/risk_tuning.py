"""A generator of waves fine-tuned on what its plans of least risk cost (Gen-DFL on GDF eq. 8-14).

The generator is the outage ODE with its own noise (`OutageODE(loss="crps")`). With w the plan of least mean and CVaR
over its samples and eta the threshold of their tail, one wave y scores

    mean_weight f(y, w) + (1 - mean_weight) (eta + [f(y, w) - eta]_+ / alpha),

which is proper: least in the mean for the true law, whatever the wave that came. It chooses epochs as it stands. As a
loss it needs dw / dtheta, and w is whole; so its subgradient is used. The cost is linear in the plan's segments, and
near w that of the samples is their prices, weighted as the tail weighs them; a true wave's weight is mean_weight, and
(1 - mean_weight) / alpha more when it costs more than eta. Between the two stands the bound SPO+, or a smoothed plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stormgym.agents.dfl.learner import FineTuning
from stormgym.agents.dfl.losses.contract import LossValue
from stormgym.agents.dfl.losses.relaxed import PriceLoss, relaxed_cost
from stormgym.agents.dfl.losses.spo_plus import spo_plus
from stormgym.agents.dfl.risk import check_alpha, check_mean_weight, tail_weights, value_at_risk
from stormgym.agents.dispatch.decision import DispatchProblem
from stormgym.agents.dispatch.planners import risk_plan
from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.dispatch.generators import StormProfile

Kind = Literal["qp", "spo+"]
N_RISK_SAMPLES = 60
"""Waves an event while a generator is fine-tuned: six of them are the worst tenth."""
TUNING_GAP = 1e-3
"""Gap at which the search for a plan ends there: what noise of the samples leaves is larger."""
N_EPOCHS, FIT_WEIGHT = 5, 1.0
"""Epochs of fine-tuning, and the weight of the forecaster's own loss in it (gamma = 1 of Gen-DFL eq. 7)."""


class ScoredPlans(NamedTuple):
    """Plans with what they were told of their tails."""

    stock: Ints  # [B, T, K]
    threshold: Floats  # [B] eta
    weight: Floats  # [S, B] of each sample's cost in mean and CVaR, adding up to 1


class RiskProblem(DispatchProblem):
    """Generator dispatch for the mean and the tail: a plan comes with its threshold, and its cost is the proper score.

    So a learner that knows costs alone (`stormgym.agents.dfl.learner.fine_tune`) chooses epochs by the score. For one
    wave, known beforehand, threshold and cost are the same, and so is the score.

    Args:
        profile: counties, generators and costs.
        alpha: share of worst samples.
        mean_weight: of the mean of all beside the CVaR.
    """

    def __init__(self, profile: StormProfile, alpha: float, mean_weight: float) -> None:
        super().__init__(profile)
        self.alpha, self.mean_weight = check_alpha(alpha), check_mean_weight(mean_weight)

    def decide(self, outcomes: Floats, risk: float = 1.0) -> Any:
        """Plans of least mean and CVaR for waves `[S, B, T, K]`, a `ScoredPlans`; `risk` has no part in it."""
        del risk
        stock = np.stack(
            [
                risk_plan(
                    self.profile, outcomes[:, i], alpha=self.alpha, mean_weight=self.mean_weight, gap=TUNING_GAP
                ).stock
                for i in range(outcomes.shape[1])
            ]
        )
        costs = super().cost(stock, outcomes)  # [S, B]
        tail = tail_weights(costs.T, self.alpha).T
        weight = self.mean_weight / len(outcomes) + (1.0 - self.mean_weight) * tail
        return ScoredPlans(stock, value_at_risk(costs.T, self.alpha), weight)

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """The proper score `[B]` of `ScoredPlans` in waves `[B, T, K]`; of stocks the cost, as in the base."""
        if not isinstance(plans, ScoredPlans):
            return super().cost(plans, outcomes)
        cost = super().cost(plans.stock, outcomes)
        over = np.maximum(cost - plans.threshold, 0.0)
        return self.mean_weight * cost + (1.0 - self.mean_weight) * (plans.threshold + over / self.alpha)


@dataclass(frozen=True)
class TailLoss(PriceLoss):
    """SPO+ or the smoothed plan's regret for the tail-mean prices at the current plan, events weighted by their tail.

    Attributes:
        smooth: see `PriceLoss`.
        kind: `spo+`, the convex bound of the regret; `qp`, the cost of a plan smoothed by `rho`.
        rho: curvature of the smoothed problem.
    """

    kind: Kind = "qp"
    rho: float = 200.0

    def __call__(
        self,
        decision: RiskProblem,
        forecast: Tensor,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """The loss `[B]`; the plans, thresholds and weights are constants of it."""
        del noise
        true, true_plan = targets
        plans = decision.decide(forecast.detach().numpy())
        weight = torch.as_tensor(plans.weight).unsqueeze(-1)  # [S, B, 1]
        predicted = (decision.prices(forecast, self.smooth) * weight).sum(dim=0)
        counts = torch.as_tensor(self.event_weight(decision, plans, outcomes.numpy()))
        if self.kind == "spo+":
            return LossValue(counts * spo_plus(decision, predicted, true, true_plan))
        regret = relaxed_cost(decision, predicted, true, self.rho) - (true * true_plan).sum(-1)
        return LossValue(counts * regret)

    @staticmethod
    def event_weight(decision: RiskProblem, plans: ScoredPlans, outcomes: Floats) -> Floats:
        """Derivative `[B]` of the score in the cost of what came: 1 in the mean where thresholds are right."""
        over = decision.cost(plans.stock, outcomes) > plans.threshold
        return decision.mean_weight + (1.0 - decision.mean_weight) * over / decision.alpha


def risk_tuning(kind: Kind | None) -> tuple[FineTuning, TailLoss | None]:
    """Settings of fine-tuning, those of GDF but for the fit's weight, and its loss; None: the fit's own loss alone."""
    if kind is None:
        return FineTuning("none", fit_weight=1.0, n_epochs=N_EPOCHS), None
    return FineTuning(kind, fit_weight=FIT_WEIGHT, n_epochs=N_EPOCHS), TailLoss(FineTuning.smooth, kind)
