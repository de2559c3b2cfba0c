"""Fine-tune a forecaster on the cost of the decisions that follow from it (GDF Algorithm 1, stage 2).

It starts from a forecaster that was fitted to outcomes (stage 1). The relaxed loss can fall while the regret of whole
plans rises, so an epoch is chosen by that regret on a validation split, and the start is one of the candidates. The
least of many noisy means looks better than it is, so an epoch must beat the start by a standard error of their paired
difference.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stormgym.agents.dfl.losses import relaxed_cost, relaxed_plan, spo_plus
from stormgym.agents.dfl.problem import Data, Model, Problem, regret

Floats = NDArray[np.float64]
DecisionLoss = Literal["qp", "spo+"]


@dataclass(frozen=True)
class FineTuning:
    """Settings of stage 2."""

    loss: DecisionLoss = "qp"
    """`qp`: cost of the plan of a smoothed problem; `spo+`: the convex bound of the regret."""
    rho: float = 200.0
    """Curvature of the smoothed problem (`qp`)."""
    fit_weight: float = 0.1
    """Weight of the forecaster's own loss beside the decision's (lambda of GDF Algorithm 1)."""
    smooth: float = 0.1
    """How far corners of prices are rounded, in units of the problem's."""
    learning_rate: float = 1e-3
    """Of Adam."""
    margin: float = 1.0
    """Standard errors of the paired difference by which an epoch must beat the start on the validation split."""
    n_epochs: int = 15
    batch_size: int = 32
    random_state: int = 0

    def __post_init__(self) -> None:
        if self.loss not in ("qp", "spo+"):
            raise ValueError(f"loss must be qp or spo+; got {self.loss!r}")
        for name in ("rho", "learning_rate", "n_epochs", "batch_size"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)!r}")
        for name in ("fit_weight", "smooth", "margin"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0; got {getattr(self, name)!r}")


@dataclass(frozen=True)
class Tuned:
    """How a fine-tuning went."""

    regret: Floats
    """`[n_epochs + 1]` mean regret of whole plans on the validation split, the start first."""
    relaxed: Floats
    """`[n_epochs]` mean decision loss of each epoch's training batches: it can fall while the regret rises."""
    best_epoch: int
    seconds: float


def fine_tune(
    model: Model,
    problem: Problem,
    train: Data,
    validation: Data,
    settings: FineTuning,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Tuned:
    """Change `model` in place to the best of its epochs.

    Args:
        model: forecaster that fits already.
        problem: the decision.
        train, validation: events, apart from each other.
        settings: of the training.
        on_epoch: called with the epoch (0 first) and its validation regret.

    Raises:
        ValueError: no events to learn from or to choose by.
    """
    if not len(train) or not len(validation):
        raise ValueError(f"events to learn from and to choose by are needed; got {len(train)} and {len(validation)}")
    began = time.perf_counter()
    rng = np.random.default_rng([settings.random_state, 2])
    noise = torch.Generator().manual_seed(settings.random_state)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    true = problem.prices(torch.as_tensor(train.outcomes))
    true_plan = relaxed_plan(problem, true)
    scale = float(true.abs().sum(-1).mean().clamp_min(1e-9))  # Adam does not care; its epsilon does
    start = validation_regret(model, problem, validation, settings.random_state)  # [E']
    scores, relaxed, best, best_epoch = [float(start.mean())], [], weights_of(model), 0
    if on_epoch:
        on_epoch(0, scores[0])
    for epoch in range(1, settings.n_epochs + 1):
        order, total = rng.permutation(len(train)), 0.0
        for first in range(0, len(order), settings.batch_size):
            index = order[first : first + settings.batch_size]
            batch = train.rows(index)
            predicted = problem.prices(model.outcomes(batch, noise), settings.smooth).mean(dim=0)
            decided = decision_loss(problem, predicted, true[index], true_plan[index], settings).mean()
            loss = decided + settings.fit_weight * model.fit_loss(batch, noise)
            optimizer.zero_grad()
            (loss / scale).backward()
            optimizer.step()
            total += decided.item() * len(index) / len(order)
        relaxed.append(total)
        now = validation_regret(model, problem, validation, settings.random_state)
        scores.append(float(now.mean()))
        better = scores[-1] < scores[best_epoch]
        if better and scores[0] - scores[-1] > settings.margin * standard_error(now - start):
            best, best_epoch = weights_of(model), epoch
        if on_epoch:
            on_epoch(epoch, scores[-1])
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), best, strict=True):
            parameter.copy_(value)
    return Tuned(np.array(scores), np.array(relaxed), best_epoch, time.perf_counter() - began)


def decision_loss(problem: Problem, predicted: Tensor, true: Tensor, true_plan: Tensor, settings: FineTuning) -> Tensor:
    """The chosen loss `[B]`; of both, the part that does not depend on the forecast is left out or constant."""
    if settings.loss == "qp":
        return relaxed_cost(problem, predicted, true, settings.rho) - (true * true_plan).sum(-1)
    return spo_plus(problem, predicted, true, true_plan)


def standard_error(values: Floats) -> float:
    """Of the mean of `[E]`; infinite for one value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.inf


def validation_regret(model: Model, problem: Problem, data: Data, random_state: int) -> Floats:
    """Regret of whole plans `[E]`; samples come from one seed, so that epochs are compared on the same draws."""
    with torch.no_grad():
        forecasts = model.outcomes(data, torch.Generator().manual_seed(random_state + 1)).numpy()
    return regret(problem, forecasts, data.outcomes)


def weights_of(model: Model) -> list[nn.Parameter]:
    """A deep copy of the weights."""
    return copy.deepcopy(list(model.parameters()))
