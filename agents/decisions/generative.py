"""Generative decision-focused learning: laws that are sampled, tuned on what their plans cost, and a ball around them.

Every model is fitted once a problem, seed and settings, and then recalled. Sources: Gen-DFL; Ma, Ning and Du (2024) for
the ball.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from stormgym.agents.decisions.linear import GeneratorModel, LinearTask
from stormgym.agents.decisions.methods import recalled
from stormgym.agents.dfl.learner import FineTuning, Tuned, fine_tune
from stormgym.agents.dfl.losses import PoolLoss, PreparedLoss
from stormgym.agents.dfl.risk import cvar
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.problem import Cases
from stormgym.predictors.threads import one_thread

RADII = (0.0, 0.03, 0.1, 0.3, 1.0)
"""Radii of the ball that are tried, in mean costs of the best plans over their mean norm."""
SPO_PLUS = FineTuning("spo+", fit_weight=0.0, learning_rate=3e-4, n_epochs=30, patience=15)
"""From a fitted point forecast: level with it. From nothing it is worse (`FROM_SCRATCH`)."""
GEN_DFL = FineTuning("tail-spo+", fit_weight=1.0, decision_weight=10.0, learning_rate=3e-4, n_epochs=8)
"""NLL and the bound of the tail's regret; at risk 1 SPO+ of the sample mean."""
CONTRASTIVE = FineTuning("map", fit_weight=1.0, decision_weight=10.0, learning_rate=3e-4, n_epochs=8)
"""The loss of the paper, beta = 10 and gamma = 1; the plans under a proxy are given with it (`contrastive_loss`)."""
FROM_SCRATCH = FineTuning(
    "spo+", fit_weight=0.0, learning_rate=3e-3, weight_decay=1e-4, margin=0.0, n_epochs=60, patience=15
)
"""Of losses that begin with untrained weights; `loss` is replaced."""


def generator_of(task: LinearTask, name: str, seed: int = 0) -> GeneratorModel:
    """A law fitted by its own loss, of those that `LinearTask.new_generator` knows. It is shared."""

    def fit() -> GeneratorModel:
        model = task.new_generator(name, seed)
        model.fit(task.problem.cases("train"), task.problem.cases("validation"))
        return model

    return recalled(task, ("generator", name, seed), fit, lambda: task.new_generator(name, seed))


def tuned_generator(task: LinearTask, name: str, settings: FineTuning, seed: int = 0) -> GeneratorModel:
    """A fitted law, fine-tuned on its plans. It is shared: copy it before you change it.

    Args:
        task: of the problem.
        name: as for `generator_of`.
        settings: of the fine-tuning, risk and loss among them.
        seed: of weights, batches and noise.
    """
    return recalled(
        task,
        ("tuned generator", name, seed, repr(settings)),
        lambda: tune(task, generator_of(task, name, seed), settings, seed)[0],
        lambda: task.new_generator(name, seed),
    )


def tune(
    task: LinearTask, model: GeneratorModel, settings: FineTuning, seed: int = 0, loss: PreparedLoss | None = None
) -> tuple[GeneratorModel, Tuned]:
    """A copy of a model, fine-tuned, and how it went; arguments as for `stormgym.agents.dfl.learner.fine_tune`."""
    twin, problem = copy.deepcopy(model), task.problem
    chosen = replace(settings, random_state=seed)
    with one_thread():
        how = fine_tune(twin, task.decision, problem.cases("train"), problem.cases("validation"), chosen, loss=loss)
    return twin, how


def from_scratch(task: LinearTask, settings: FineTuning, seed: int = 0) -> tuple[GeneratorModel, Tuned]:
    """A point forecast trained by a decision loss alone, from untrained weights on, and how it went."""
    model, train = task.new_model(seed), task.problem.cases("train")
    network: Any = model.generator
    network.initialise(model.features(train), train.outcomes)
    return tune(task, model, settings, seed)


def contrastive_loss(task: LinearTask, settings: FineTuning, samples_of: Callable[[Cases], Floats]) -> PoolLoss:
    """The paper's loss: samples shall agree with the plans that a proxy of the law makes for the training cases.

    Args:
        task: of the problem.
        settings: `loss` is `map` or `nce`; `risk`.
        samples_of: cases -> samples `[S, E, n]` of the proxy.

    Raises:
        ValueError: another loss.
    """
    if settings.loss not in ("map", "nce"):
        raise ValueError(f"the contrastive loss is map or nce; got {settings.loss!r}")
    plans = task.decision.decide(samples_of(task.problem.cases("train")), settings.risk)
    return PoolLoss(settings.loss, settings.risk, torch.as_tensor(plans))


def samples_of(
    model: GeneratorModel, cases: Cases, seed: int = 0, n_samples: int | None = None, *, common: bool = False
) -> Floats:
    """Samples `[S, E, n]` that plans are made for.

    Args:
        model: a fitted law.
        cases: what is known.
        seed: of the random numbers.
        n_samples: S; None takes the law's own number.
        common: whether cases share random numbers: then a case has the same samples whatever the others are.
    """
    twin = copy.copy(model)
    twin.common_noise = common
    twin.n_samples = twin.n_samples if n_samples is None else n_samples
    with one_thread(), torch.no_grad():
        drawn: Floats = twin.outcomes(cases, torch.Generator().manual_seed(seed + 1)).numpy()
    return drawn


def ball_unit(task: LinearTask) -> float:
    """What `RADII` are counted in: the mean cost of the best plans for past outcomes over their mean norm."""
    train = task.problem.cases("train")
    best = task.problem.best(train.outcomes)
    usual = float(np.abs(task.problem.cost(best, train.outcomes)).mean())
    return usual / max(float(np.linalg.norm(best, axis=1).mean()), 1e-12)


def ball_radius(task: LinearTask, model: GeneratorModel, risk: float, seed: int = 0) -> float:
    """The radius of the Wasserstein ball around a law, validated: that whose plans have the least risk in what came.

    One outcome a context says nothing of the tail in it, and the dearest of the validation costs are those of dear
    contexts. So the tail is that of surprises, what a plan cost less what the law expected, pooled over contexts, and
    their mean cost is added.
    """
    validation, unit = task.problem.cases("validation"), ball_unit(task)
    samples = samples_of(model, validation, seed)
    scores = []
    for radius in RADII:
        plans = task.decision.decide_in_ball(samples, radius * unit, risk)
        cost = task.problem.cost(plans, validation.outcomes)
        surprise = cost - task.problem.cost(plans, samples.mean(axis=0))
        scores.append(float(cost.mean() + cvar(surprise, risk) - surprise.mean()))
    return RADII[int(np.argmin(scores))] * unit
