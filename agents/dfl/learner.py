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
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stormgym.agents.dfl.decision import Data, Decision, Model, as_arrays, planned_cost, proper_score
from stormgym.agents.dfl.losses import LOSSES, NoLoss, PreparedLoss
from stormgym.agents.dfl.losses.energy import Normaliser
from stormgym.agents.dfl.risk import check_alpha

Floats = NDArray[np.float64]
DecisionLoss = Literal[
    "none",
    "qp",
    "spo+",
    "tail-spo+",
    "tail-spo+-every",
    "proper",
    "nce",
    "map",
    "pairwise",
    "pool-listwise",
    "task",
    "so-ebm",
    "listwise",
]


@dataclass(frozen=True)
class FineTuning:
    """Settings of stage 2."""

    loss: DecisionLoss = "qp"
    """`qp`: cost of the plan of a smoothed problem; `spo+`: the convex bound of the regret; `task`: cost of the plan by
    its optimality conditions; `so-ebm`: energy-based model; `listwise`: ranking; `tail-spo+`: the bound for the worst
    share of samples; `proper`: the score of plan and threshold; `nce`, `map`, `pairwise`, `pool-listwise`: plans of a
    pool compared; `none`: the forecaster's own loss alone."""
    risk: float = 1.0
    """Share alpha of worst outcomes whose mean plans keep least (CVaR); epochs are then chosen by its proper score."""
    rho: float = 200.0
    """Curvature of the smoothed problem (`qp`)."""
    fit_weight: float = 0.1
    """Weight of the forecaster's own loss beside the decision's (lambda of GDF Algorithm 1)."""
    decision_weight: float | None = None
    """Weight of the decision's loss in units of what plans in hindsight cost (beta of Gen-DFL eq. 7); None: its own."""
    curvature: float = 0.1
    """Of the quadratic that smooths plans (`proper`), in mean absolute prices."""
    smooth: float = 0.1
    """How far corners of prices are rounded, in units of the problem's."""
    learning_rate: float = 1e-3
    """Of Adam."""
    weight_decay: float = 0.0
    """Of Adam."""
    patience: int | None = None
    """Epochs without a better one after which training ends; None trains them all."""
    keep: Literal["best", "last"] = "best"
    """`best`: the epoch of the least validation regret, the start among them; `last`: the last one, whatever its
    regret. Where validation cases are few and outcomes noisy, choosing loses more than it gains."""
    margin: float = 1.0
    """Standard errors of the paired difference by which an epoch must beat the start on the validation split."""
    n_epochs: int = 15
    batch_size: int = 32
    """Events a gradient step; as many as there are makes an epoch one step."""
    random_state: int = 0
    temperature: float = 1.0
    """T of the energy-based model, in units of cost (`so-ebm`, `listwise`)."""
    mle_weight: float = 1.0
    """Weight of its likelihood loss."""
    kl_weight: float = 0.01
    """Weight of its KL loss (lambda of SO-EBM eq. 5)."""
    cost_weight: float = 0.0
    """Weight of the expected cost of decisions drawn from the model."""
    normaliser: Normaliser = "exact"
    """How its normaliser is computed."""
    n_proposals: int = 128
    """Samples a case, where it is sampled."""
    proposal_sd: tuple[float, ...] = (0.3, 0.15, 0.06)
    """Spreads of the proposal's components, as shares of the usual spread of decisions."""

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}; got {self.loss!r}")
        for name in ("rho", "learning_rate", "n_epochs", "batch_size", "temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)!r}")
        for name in ("fit_weight", "smooth", "margin", "curvature", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0; got {getattr(self, name)!r}")
        for name in ("decision_weight", "patience"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0 or None; got {getattr(self, name)!r}")
        check_alpha(self.risk, "risk")
        if self.keep not in ("best", "last"):
            raise ValueError(f"keep must be best or last; got {self.keep!r}")
        self.prepared()  # the loss checks its own settings

    def prepared(self) -> PreparedLoss:
        """The loss, with these settings."""
        return LOSSES[self.loss](self)


@dataclass(frozen=True)
class Tuned:
    """How a fine-tuning went."""

    regret: Floats
    """`[n_epochs + 1]` mean regret of whole plans on the validation split, the start first; with a risk below 1 their
    proper score less the cost of plans in hindsight. Shorter where patience ended it."""
    relaxed: Floats
    """`[n_epochs]` mean decision loss of each epoch's training batches: it can fall while the regret rises."""
    best_epoch: int
    seconds: float
    ess: Floats | None = None
    """`[n_epochs]` mean effective sample size, where the loss rests on weighted samples; else NaN."""


def fine_tune(
    model: Model,
    problem: Decision | Any,
    train: Data,
    validation: Data,
    settings: FineTuning,
    on_epoch: Callable[[int, float], None] | None = None,
    loss: PreparedLoss | None = None,
) -> Tuned:
    """Change `model` in place to the best of its epochs.

    Args:
        model: forecaster that fits already.
        problem: the decision, with what the loss needs of it (`stormgym.agents.dfl.decision`).
        train, validation: events, apart from each other.
        settings: of the training.
        on_epoch: called with the epoch (0 first) and its validation regret.
        loss: in place of the settings', where it needs more than they can say (the plans of a proxy).

    Raises:
        ValueError: no events to learn from or to choose by.
    """
    if not len(train) or not len(validation):
        raise ValueError(f"events to learn from and to choose by are needed; got {len(train)} and {len(validation)}")
    began = time.perf_counter()
    rng = np.random.default_rng([settings.random_state, 2])
    noise = torch.Generator().manual_seed(settings.random_state)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    loss_of = settings.prepared() if loss is None else loss
    outcomes = torch.as_tensor(train.outcomes)
    targets = loss_of.targets(problem, outcomes)
    scale = loss_of.scale(targets)  # Adam does not care; its epsilon does
    optimum = planned_cost(problem, validation.outcomes[None], validation.outcomes)  # [E'] of plans in hindsight
    weight, fit_weight = 1.0 / scale, settings.fit_weight / scale
    if settings.decision_weight is not None:  # beta l / usual cost + gamma l_fit
        weight = settings.decision_weight / max(float(np.abs(optimum).mean()), 1e-9)
        fit_weight = settings.fit_weight
    start = validation_regret(model, problem, validation, settings.random_state, optimum, settings.risk)  # [E']
    scores, losses, sizes = [float(start.mean())], [], []
    best, best_epoch = weights_of(model), 0
    if on_epoch:
        on_epoch(0, scores[0])
    for epoch in range(1, settings.n_epochs + 1):
        order, total, ess = rng.permutation(len(train)), 0.0, 0.0
        for first in range(0, len(order), settings.batch_size):
            index = order[first : first + settings.batch_size]
            batch, share = train.rows(index), len(index) / len(order)
            forecast = None if isinstance(loss_of, NoLoss) else model.outcomes(batch, noise)
            found = loss_of(problem, forecast, outcomes[index], tuple(part[index] for part in targets), noise)
            decided = found.value.mean()
            step_loss = weight * decided
            if fit_weight:
                step_loss = step_loss + fit_weight * model.fit_loss(batch, noise)
            optimizer.zero_grad()
            step_loss.backward()
            optimizer.step()
            total += decided.item() * share
            ess += (np.nan if found.ess is None else float(found.ess.mean())) * share
        losses.append(total)
        sizes.append(ess)
        now = validation_regret(model, problem, validation, settings.random_state, optimum, settings.risk)
        scores.append(float(now.mean()))
        better = scores[-1] < scores[best_epoch]
        if better and scores[0] - scores[-1] > settings.margin * standard_error(now - start):
            best, best_epoch = weights_of(model), epoch
        if on_epoch:
            on_epoch(epoch, scores[-1])
        if settings.keep == "last":
            best, best_epoch = weights_of(model), epoch
        if settings.patience is not None and epoch - int(np.argmin(scores)) >= settings.patience:
            break
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), best, strict=True):
            parameter.copy_(value)
    return Tuned(np.array(scores), np.array(losses), best_epoch, time.perf_counter() - began, np.array(sizes))


def standard_error(values: Floats) -> float:
    """Of the mean of `[E]`; infinite for one value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.inf


def validation_regret(
    model: Model,
    problem: Decision | Any,
    data: Data,
    random_state: int,
    optimum: Floats | None = None,
    risk: float = 1.0,
) -> Floats:
    """Regret of whole plans `[E]`; samples come from one seed, so that epochs are compared on the same draws.

    Args:
        model, problem, data: as for `fine_tune`.
        random_state: of the samples.
        optimum: `[E]` cost of the plans in hindsight, where it is known already.
        risk: share of worst outcomes that plans are made for; below 1 the proper score stands for the cost.
    """
    with torch.no_grad():
        forecast = as_arrays(model.outcomes(data, torch.Generator().manual_seed(random_state + 1)))
    if optimum is None:
        optimum = planned_cost(problem, data.outcomes[None], data.outcomes)
    return proper_score(problem, forecast, data.outcomes, risk) - optimum


def weights_of(model: Model) -> list[nn.Parameter]:
    """A deep copy of the weights."""
    return copy.deepcopy(list(model.parameters()))
