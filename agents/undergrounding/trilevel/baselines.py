"""Plans of models with fewer than three levels, the baselines of tri-level Appendix F.

    one-stage-mean    min_x               sum h_i m_i (1 - x_i)
    one-stage-worst   min_x  max_{u in U} sum h_i u_i (1 - x_i)
    two-stage-mean    min_{x, y}               sum h_i m_i (1 - x_i)(1 - y_i)
    two-stage-worst   min_{x, y}  max_{u in U} sum h_i u_i (1 - x_i)(1 - y_i)

With crews that can be shared, two-stage-worst IS the three-level problem (minimum and maximum change places); with
whole ones it sends them before the storm is known, and costs more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from stormgym.agents.undergrounding.trilevel.compact import CompactModel, solve_compact
from stormgym.agents.undergrounding.trilevel.problem import (
    Bools,
    CrewKind,
    Floats,
    TrilevelProblem,
    WorstStormProgram,
    affordable,
    budget_rows,
    knapsack,
    make_problem,
)

Baseline = Literal["one-stage-mean", "one-stage-worst", "two-stage-mean", "two-stage-worst"]
BASELINES: tuple[Baseline, ...] = ("one-stage-mean", "one-stage-worst", "two-stage-mean", "two-stage-worst")


@dataclass(frozen=True)
class BaselinePlan:
    """A plan with its loss in its own model, and in the worst storm when crews respond."""

    protect: Bools
    """`[n]` x."""
    crews: Floats
    """`[n]` y as planned; 0 in one-stage plans."""
    objective: float
    """The loss in its own model."""
    value: float
    """V(x), as in `TrilevelPlan`."""
    status: str
    """ "optimal" within `gap`, or what stopped the search."""
    seconds: float


def solve_baseline(
    kind: Baseline,
    weights: ArrayLike,
    protect_cost: ArrayLike,
    crew_cost: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    total_lower: float,
    total_upper: float,
    *,
    budget: float,
    crew_budget: float,
    mean: ArrayLike | None = None,
    crews: CrewKind = "continuous",
    gap: float = 1e-6,
    time_limit: float | None = None,
) -> BaselinePlan:
    """The plan of a simpler model (tri-level Appendix F).

    Args:
        kind: which of `BASELINES`.
        mean: `[n]` m, forecast outage of each region; the two mean models need it.
        crews: whether planned crews, and those that answer the worst storm, can be shared between regions.
        weights, protect_cost, crew_cost, lower, upper, total_lower, total_upper: as in `solve_trilevel`.
        budget, crew_budget, gap, time_limit: as there.

    Raises:
        ValueError: arguments that do not fit, or no mean where one is needed.
    """
    began = time.perf_counter()
    if kind not in BASELINES:
        raise ValueError(f"kind must be one of {BASELINES}; got {kind!r}")
    uncertain = (lower, upper, total_lower, total_upper)
    answers = make_problem(
        weights, protect_cost, crew_cost, *uncertain, budget=budget, crew_budget=crew_budget, crews=crews
    )
    nothing = np.zeros(answers.size)
    left = np.inf if time_limit is None else time_limit
    if kind.endswith("mean"):
        forecast = None if mean is None else np.asarray(mean, dtype=np.float64)
        if forecast is None or forecast.shape != nothing.shape or not (np.isfinite(forecast) & (forecast >= 0)).all():
            raise ValueError(f"{kind} needs mean, [{answers.size}] finite outages of at least 0; got {mean!r}")
        loss = np.asarray(weights, dtype=np.float64) * forecast
        if kind == "one-stage-mean":
            plan, sent, status = knapsack(loss, answers.protect_cost, answers.budget), nothing, "optimal"
        else:
            plan, sent, status = _two_stage_mean(answers, loss, crews == "binary", gap, left)
        objective = float((loss * (1.0 - plan) * (1.0 - sent)).sum())
    else:
        own = make_problem(
            weights,
            protect_cost,
            crew_cost,
            *uncertain,
            budget=budget,
            crew_budget=0.0 if kind == "one-stage-worst" else answers.crew_budget,
        )
        scale = WorstStormProgram(own)(nothing).value
        if scale <= 0:
            plan, sent, status = nothing > 0, nothing, "optimal"
        elif kind == "two-stage-worst" and crews == "binary":
            plan, sent, status = _static_crews(own, scale, gap, left)
        else:
            found = solve_compact(own, scale, gap=gap, time_limit=left)
            plan, sent, status = found.protect, WorstStormProgram(own)(found.protect).crews, found.stopped or "optimal"
        objective = _worst_of(own, plan, sent) * own.loss_unit
    value = WorstStormProgram(answers)(plan).value * answers.loss_unit
    return BaselinePlan(
        protect=plan,
        crews=np.where(plan, 0.0, sent),
        objective=objective,
        value=value,
        status=status,
        seconds=time.perf_counter() - began,
    )


def _worst_of(problem: TrilevelProblem, plan: Bools, sent: Floats) -> float:
    """Loss in the worst storm when crews stay where they are: largest sum over the box and the total, greedily."""
    gain = problem.weights * (1.0 - plan) * (1.0 - sent)
    order = np.argsort(-gain)
    room = (problem.upper - problem.lower)[order]
    before = np.cumsum(room) - room
    storm = problem.lower[order] + np.clip(problem.total_upper - problem.lower.sum() - before, 0.0, room)
    return float(gain[order] @ storm)


def _two_stage_mean(
    problem: TrilevelProblem, loss: Floats, whole: bool, gap: float, time_limit: float
) -> tuple[Bools, Floats, str]:
    """x and y that leave the least of a known loss: each region is served at most once."""
    n = problem.size
    reach = affordable(problem.crew_cost, problem.crew_budget) if whole else np.ones(n, dtype=np.bool_)
    eye = sparse.eye_array(n)
    once: Any = sparse.hstack([eye, eye], format="csr")
    unit = 1000.0 / problem.crew_budget if problem.crew_budget > 0 else 1.0
    crews = np.concatenate([np.zeros(n), np.where(reach, problem.crew_cost * unit, 0.0)])
    answer: Any = milp(
        -1000.0 * np.tile(loss, 2) / (float(loss.max()) or 1.0),
        integrality=np.concatenate([np.ones(n), np.full(n, float(whole))]),
        bounds=Bounds(0.0, np.concatenate([affordable(problem.protect_cost, problem.budget), reach])),
        constraints=[
            LinearConstraint(once, -np.inf, 1.0),
            LinearConstraint(crews[None], -np.inf, problem.crew_budget * unit),
            budget_rows(problem.protect_cost, problem.budget, n_columns=2 * n),
        ],
        options={"mip_rel_gap": gap, "time_limit": time_limit},
    )
    if answer.x is None:
        return np.zeros(n, dtype=np.bool_), np.zeros(n), str(answer.message)
    sent = answer.x[n:]
    status = "optimal" if answer.status == 0 else "time limit"
    return answer.x[:n] > 0.5, np.round(sent) if whole else np.clip(sent, 0.0, 1.0), status


def _static_crews(problem: TrilevelProblem, scale: float, gap: float, time_limit: float) -> tuple[Bools, Floats, str]:
    """The compact program with whole crews that are sent before the storm."""
    model, n = CompactModel(problem), problem.size
    rows, bounds = model.on(0.0, 1.0)
    answer: Any = milp(
        model.cost * (1000.0 / scale),
        integrality=np.concatenate([np.ones(2 * n), np.zeros(len(model.cost) - 2 * n)]),
        bounds=bounds,
        constraints=rows,
        options={"mip_rel_gap": gap, "time_limit": time_limit},
    )
    if answer.x is None:
        return np.zeros(n, dtype=np.bool_), np.zeros(n), str(answer.message)
    return answer.x[:n] > 0.5, np.round(answer.x[n : 2 * n]), "optimal" if answer.status == 0 else "time limit"
