"""What every decision-focused loss is."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from stormgym.agents.dfl.decision import Forecast


class LossValue(NamedTuple):
    """Values of a batch, and what a reader should know of how they were computed."""

    value: Tensor
    """`[B]`, differentiable in the forecast; constants may be left out."""
    ess: Tensor | None = None
    """`[B]` effective sample size of the estimate, where it rests on weighted samples."""


class WithoutTargets:
    """Of losses that need nothing of the outcomes beforehand, in units of their own."""

    def targets(self, decision: Any, outcomes: Tensor) -> tuple[Tensor, ...]:
        """Nothing."""
        del decision, outcomes
        return ()

    def scale(self, targets: tuple[Tensor, ...]) -> float:
        """1."""
        del targets
        return 1.0


class PreparedLoss(Protocol):
    """A loss with its settings."""

    def targets(self, decision: Any, outcomes: Tensor) -> tuple[Tensor, ...]:
        """What the loss needs of E outcomes `[E, *]`, computed once before training: tensors `[E, ...]`."""
        ...

    def scale(self, targets: tuple[Tensor, ...]) -> float:
        """A usual size of the loss; gradients are divided by it, which only matters for the optimiser's epsilon."""
        ...

    def __call__(
        self,
        decision: Any,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """The loss of a batch.

        Args:
            decision: what is decided.
            forecast: of B events, samples `[S, B, *]` or a `Gaussian`.
            outcomes: `[B, *]` what came.
            targets: rows of `targets` for these events.
            noise: of losses that sample.
        """
        ...
