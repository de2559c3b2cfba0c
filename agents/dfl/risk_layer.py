"""The plan of least CVaR over samples as a differentiable layer (`stormgym.envs.risk_sensitivity` in torch)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from stormgym.agents.dfl.decision import OracleDecision
from stormgym.envs.risk_sensitivity import moving_plans


def risk_layer(decision: OracleDecision, samples: Tensor, risk: float, rho: float) -> tuple[Tensor, Tensor]:
    """Plans `[B, n]` and thresholds `[B]` of least CVaR, differentiable in prices `[S, B, n]`.

    Args:
        decision: with polytope and quadratic.
        samples: prices of the forecast.
        risk: share alpha of worst samples. At 1 the mean sample decides, and the threshold means nothing.
        rho: curvature of rho |w|^2 / 2, which makes the plan move smoothly.
    """
    if risk == 1.0:  # a tail of one atom is the atom
        samples, risk = samples.mean(dim=0, keepdim=True), 0.5
    plan, threshold = _RiskPlan.apply(samples, decision, risk, rho)
    return plan, threshold


class _RiskPlan(torch.autograd.Function):
    """See the module."""

    @staticmethod
    def forward(ctx: Any, samples: Tensor, decision: Any, risk: float, rho: float) -> tuple[Tensor, Tensor]:
        """Plans and thresholds."""
        n = samples.shape[-1]
        square = 0.5 * rho * np.eye(n) + (0.0 if decision.quadratic is None else decision.quadratic)
        ctx.found = moving_plans(samples.detach().numpy(), decision.polytope, alpha=risk, quadratic=square)
        return torch.as_tensor(ctx.found.plan), torch.as_tensor(ctx.found.threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient in the samples `[S, B, n]`."""
        return torch.as_tensor(ctx.found.slope(*(g.numpy() for g in gradients))), None, None, None
