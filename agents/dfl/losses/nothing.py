"""No decision loss: the forecaster's own loss goes on alone, as a control for what a decision loss is worth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stormgym.agents.dfl.decision import Forecast
from stormgym.agents.dfl.losses.contract import LossValue, WithoutTargets


class NoLoss(WithoutTargets):
    """0, whatever is decided."""

    def __call__(
        self,
        decision: Any,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """Zeros `[B]`."""
        del decision, forecast, targets, noise
        return LossValue(torch.zeros(len(outcomes), dtype=torch.float64))
