"""The cost of the plan itself: decision-focused learning through the plan's own optimality conditions."""

from __future__ import annotations

import torch
from torch import Tensor

from stormgym.agents.dfl.decision import DifferentiableDecision, Forecast
from stormgym.agents.dfl.losses.contract import LossValue, WithoutTargets


class TaskLoss(WithoutTargets):
    """f(y, a(forecast)), with the derivative of the plan a in the forecast (`DifferentiableDecision.plan`).

    Source: Donti, Amos and Kolter (2017); SO-EBM's baseline DFL.
    """

    def __call__(
        self,
        decision: DifferentiableDecision,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """Cost `[B]`."""
        del targets, noise
        value: Tensor = decision.cost(decision.plan(forecast), outcomes)
        return LossValue(value)
