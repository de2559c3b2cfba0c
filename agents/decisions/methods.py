"""The methods: how a forecaster or a network of a decision is trained. Each is fitted once and recalled (`dfl.recall`).

Every method starts from the two-stage forecaster and is chosen by the cost of its plans on validation cases.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import warnings
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch

from stormgym.agents.decisions.tasks import DirectPolicy, FittedModel, Task
from stormgym.agents.dfl.decision import as_arrays
from stormgym.agents.dfl.learner import FineTuning, Tuned, fine_tune
from stormgym.agents.dfl.recall import fit_or_recall
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.problem import Cases
from stormgym.predictors.threads import one_thread

M = TypeVar("M")
Method = Literal["two-stage", "two-stage-calibrated", "dfl", "dfl-cvx", "so-ebm", "energy-cost"]
METHODS: tuple[Method, ...] = get_args(Method)
"""Methods that plan on a forecast."""
ALL_AT_ONCE = 1_000_000
"""Batch size of training steps on all cases, as the paper's "epochs" are."""
TUNING: dict[str, FineTuning] = {
    "dfl": FineTuning("task", fit_weight=0.0, learning_rate=1e-4, n_epochs=20, batch_size=ALL_AT_ONCE),
    "dfl-cvx": FineTuning("task", fit_weight=0.0, learning_rate=1e-4, n_epochs=2, batch_size=64),
    "so-ebm": FineTuning("so-ebm", fit_weight=0.0, learning_rate=1e-4, n_epochs=14, batch_size=ALL_AT_ONCE),
    "energy-cost": FineTuning(
        "so-ebm",
        fit_weight=0.0,
        learning_rate=1e-4,
        n_epochs=20,
        batch_size=ALL_AT_ONCE,
        temperature=0.3,
        mle_weight=0.0,
        kl_weight=0.0,
        cost_weight=1.0,
    ),
}
"""Settings where a task names none of its own."""
IN_SUITE = ("stormgym", "builtins", "typing", "abc")
"""Packages whose code is no user's."""


def tuning_of(task: Task, method: str) -> FineTuning:
    """Settings of a method for a task; the normaliser is sampled where no structure makes it exact.

    Raises:
        ValueError: the method needs an exact one.
    """
    chosen: FineTuning = getattr(task, "tuning", {}).get(method) or TUNING[method]
    structured = task.decision.separable or hasattr(task.decision, "log_normaliser")
    if structured or chosen.normaliser != "exact":
        return chosen
    if chosen.cost_weight:
        raise ValueError(
            f"{method} needs energies that are sums over the parts of a decision, which those of "
            f"{type(task.decision).__name__} are not; take so-ebm"
        )
    return replace(chosen, normaliser="snis")


def fitted(task: Task, method: str, seed: int = 0) -> FittedModel:
    """The forecaster of a method, fitted once a problem and seed. It is shared: copy it before you change it.

    Args:
        task: of the problem.
        method: one of METHODS.
        seed: of weights and noise.

    Raises:
        ValueError: another method, or one that the decision does not allow (no derivative of its plan).
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if method == "dfl-cvx" and not hasattr(task, "cvx_decision"):
        raise ValueError(f"dfl-cvx is written for power scheduling; {type(task.problem).__name__} has dfl")
    tuned = method in TUNING
    if tuned and tuning_of(task, method).loss == "task" and not hasattr(task.decision, "plan"):
        raise ValueError(
            f"{method} needs the derivative of a plan, which {type(task.decision).__name__} does not have; take so-ebm"
        )

    def fit() -> FittedModel:
        if method == "two-stage":
            model = task.new_model(seed)
            model.fit(task.problem.cases("train"), task.problem.cases("validation"))
            return model
        start = fitted(task, "two-stage-calibrated" if method == "energy-cost" else "two-stage", seed)
        if method == "two-stage-calibrated":
            return calibrated(task, start, seed)
        model, how = tuned_from(task, start, method, seed)
        if how.best_epoch == 0:
            warnings.warn(
                f"{method}: no epoch was better than the forecaster that it began with, so it decides as that does. "
                f"Settings of its epochs are the `tuning` of {type(task).__name__}",
                UserWarning,
                stacklevel=2,
            )
        return model

    settings = repr(tuning_of(task, method)) if tuned else ""
    if method == "two-stage-calibrated":
        settings = repr(tuple(task.calibrations))
    return recalled(task, (method, seed, settings), fit, lambda: task.new_model(seed))


def recalled(task: Task, what: tuple[Hashable, ...], fit: Callable[[], M], blank: Callable[[], M]) -> M:
    """A model of a task, fitted once: in memory, and on disk unless it rests on code that has no file (a notebook's).

    The key tells tasks apart that one problem can have, and their settings (`key` of a task that has some).
    """
    problem = task.problem
    code = code_of(type(task), type(problem))
    key = ("decision", type(task), getattr(task, "key", ()), type(problem), problem.key, *what, code)
    return fit_or_recall(key, fit, blank=None if code is None else blank)


def code_of(*classes: type) -> str | None:
    """A digest of the files outside the suite that define classes and their bases; None where one has no file.

    What is kept of the suite's own code is told apart already (`stormgym.agents.dfl.recall.source_digest`).
    """
    own = {base for cls in classes for base in cls.__mro__ if base.__module__.partition(".")[0] not in IN_SUITE}
    try:
        files = sorted({str(inspect.getsourcefile(base)) for base in own})
        return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:16] if files else ""
    except (OSError, TypeError):
        return None


def calibrated(task: Task, model: FittedModel, seed: int = 0) -> FittedModel:
    """A copy with the factor of `task.calibrations` whose plans cost least on the validation cases."""
    validation = task.problem.cases("validation")
    twin = copy.deepcopy(model)
    costs = []
    for factor in task.calibrations:
        twin.scale_ = factor
        costs.append(float(costs_of(task, twin, validation, seed).mean()))
    twin.scale_ = task.calibrations[int(np.argmin(costs))]
    return twin


def tuned_from(
    task: Task,
    model: FittedModel,
    method: str,
    seed: int = 0,
    settings: FineTuning | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> tuple[FittedModel, Tuned]:
    """A copy fine-tuned by a method, and how it went.

    Args:
        task: of the problem.
        model: where it starts.
        method: `dfl`, `dfl-cvx`, `so-ebm` or `energy-cost`.
        seed: of batches and noise.
        settings: in place of the task's own.
        on_epoch: as for `stormgym.agents.dfl.learner.fine_tune`.
    """
    twin = copy.deepcopy(model)
    decision = task.decision if method != "dfl-cvx" else task.cvx_decision()  # type: ignore[attr-defined]  # of scheduling
    chosen = replace(settings or tuning_of(task, method), random_state=seed)
    problem = task.problem
    with one_thread():
        how = fine_tune(twin, decision, problem.cases("train"), problem.cases("validation"), chosen, on_epoch)
    return twin, how


def fitted_policy_net(task: Task, seed: int = 0) -> DirectPolicy:
    """The network from what is known to a decision, fitted once a problem and seed."""

    def fit() -> DirectPolicy:
        net = task.new_policy_net(seed)
        net.fit(task.problem.cases("train"), task.problem.cases("validation"))
        return net

    return recalled(task, ("policy-net", seed), fit, lambda: task.new_policy_net(seed))


def plans_of(task: Task, model: FittedModel, cases: Cases, seed: int = 0, risk: float = 1.0) -> Floats:
    """Plans `[E, n]` of least CVaR at a share of worst outcomes; the noise of sampled forecasts has one seed."""
    with one_thread(), torch.no_grad():
        forecast: Any = as_arrays(model.outcomes(cases, torch.Generator().manual_seed(seed + 1)))
    return np.asarray(task.decision.decide(forecast, risk))


def costs_of(task: Task, model: FittedModel, cases: Cases, seed: int = 0, risk: float = 1.0) -> Floats:
    """Cost `[E]` of its plans when the cases' outcomes come."""
    return np.asarray(task.decision.cost(plans_of(task, model, cases, seed, risk), cases.outcomes), dtype=np.float64)
