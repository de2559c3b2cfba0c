"""A loss for risk that needs no proxy: the score of Rockafellar and Uryasev at the forecast's own plan."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stormgym.agents.dfl.decision import Forecast, OracleDecision
from stormgym.agents.dfl.losses.contract import LossValue
from stormgym.agents.dfl.losses.relaxed import PriceLoss
from stormgym.agents.dfl.risk_layer import risk_layer


@dataclass(frozen=True)
class ProperRiskLoss(PriceLoss):
    """w'Qw + eta + [c.w - eta]_+ / alpha, w and eta the plan of least CVaR over the samples and its threshold.

    It is the score by which an epoch is chosen (`stormgym.agents.dfl.decision.proper_score`), made differentiable: plan
    and threshold move with the samples by their optimality conditions (`risk_layer`), the plan smoothed by a quadratic.
    At alpha = 1 it is the cost of the smoothed plan. Its population minimum is at the true plan of least CVaR, from one
    outcome an event and without a proxy. Source: the suite's own, in place of Gen-DFL's contrastive loss.

    Attributes:
        smooth: see `PriceLoss`.
        risk: share alpha of worst samples.
        rho: curvature, as a share of the mean absolute price.
    """

    risk: float = 1.0
    rho: float = 0.1

    def __call__(
        self,
        decision: OracleDecision,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """The score `[B]`."""
        del outcomes, noise
        true, _ = targets
        prices = decision.prices(forecast, self.smooth)  # [S, B, n]
        plan, eta = risk_layer(decision, prices, self.risk, self.rho * float(true.abs().mean()))
        cost = (true * plan).sum(-1)
        if self.risk < 1.0:
            cost = eta + (cost - eta).clamp_min(0.0) / self.risk
        return LossValue(cost + decision.quadratic_cost(plan))
