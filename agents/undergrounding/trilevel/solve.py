"""Which regions to protect when nature answers with the worst storm of a set, and crews answer the storm.

    min_x  max_{u in U}  min_y  sum h_i u_i (1 - x_i)(1 - y_i),   b.x <= B, x binary,   c.y <= C     (tri-level eq. 1)
    U = { L_i <= u_i <= T_i,  L_0 <= sum u_i <= T_0 }                                                 (tri-level eq. 7)

Four methods that agree (compact program, Benders, optimality conditions with big-M, brute force), behind
`solve_trilevel`. `problem.py` has the checks and the worst storm of a plan; each method has a file of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stormgym.agents.undergrounding.trilevel.benders import solve_benders
from stormgym.agents.undergrounding.trilevel.compact import Found, solve_compact
from stormgym.agents.undergrounding.trilevel.kkt import solve_kkt
from stormgym.agents.undergrounding.trilevel.problem import (
    RESOLUTION,
    ROUNDING,
    Bools,
    CrewKind,
    Floats,
    TrilevelProblem,
    Worst,
    WorstStormProgram,
    affordable,
    knapsack,
    list_patterns,
    make_problem,
)
from stormgym.envs.core import is_number

Method = Literal["compact", "benders", "kkt", "brute-force"]
MAX_BRUTE_FORCE = 20000
"""Most plans that brute force tries."""


@dataclass(frozen=True)
class TrilevelPlan:
    """The regions to protect, the storm that is worst for that plan, and how good the plan is known to be."""

    protect: Bools
    """`[n]` x, True for protected regions."""
    value: float
    """V(x): the loss in the worst storm when crews respond at their best, exact for this plan."""
    lower_bound: float
    """Lower bound on the value of any plan within the budget."""
    gap: float
    """(value - lower_bound) / value; 0 where they meet."""
    storm: Floats
    """`[n]` u, a worst storm for this plan."""
    crews: Floats
    """`[n]` y, the crews' best response; where several are equally good against this storm it is the mixture that no
    storm of the set beats. With whole crews: how often each region gets one in that mixture."""
    crew_kind: CrewKind
    """Whose value this is: of crews that can be shared between regions, or of whole ones."""
    method: Method
    iterations: int
    """Nodes (compact, kkt), cuts (benders), or plans tried (brute-force)."""
    status: str
    """ "optimal" within `gap`, or what stopped the search, such as "time limit"."""
    seconds: float

    @property
    def upper_bound(self) -> float:
        """The best plan's own value."""
        return self.value


class WorstCase(NamedTuple):
    """The loss of a given plan in its worst storm."""

    value: float
    storm: Floats
    """`[n]` u."""
    crews: Floats
    """`[n]` y, as in `TrilevelPlan`."""


def solve_trilevel(
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
    method: Method = "compact",
    crews: CrewKind = "continuous",
    gap: float = 1e-6,
    time_limit: float | None = None,
) -> TrilevelPlan:
    """The regions to protect before a storm, exact or within a gap (tri-level eq. 1).

    The case study, where each of n' crews goes to one region and a region takes one at most, is `crew_cost=1.0` with
    the number of crews as `crew_budget`.

    Args:
        weights: `[n]` h, loss for each unit of outage, at least 0.
        protect_cost: `[n]` or a number, b.
        crew_cost: `[n]` or a number, c.
        lower: `[n]` or a number, L, least outage of each region; below 0 counts as 0.
        upper: `[n]` or a number, T, largest outage; may be infinite where `total_upper` is finite.
        total_lower: L_0. It decides only whether the set is empty: the worst storm never wants less.
        total_upper: T_0; may be infinite where every `upper` is finite.
        budget: B of protection.
        crew_budget: C of crews.
        method: `compact`, one mixed-integer program, the one to take; `benders`; `kkt`, up to about 10 regions;
            `brute-force`, every plan to which nothing can be added.
        crews: `continuous`, y in [0, 1]; or `binary`, whole crews, which cost the same where crew costs are equal and
            more elsewhere.
        gap: relative optimality gap at which to stop. Losses that differ by less than 1e-8 of the loss without
            protection, or of the largest weight times the largest outage, count as equal: the solvers' tolerances
            end there.
        time_limit: seconds; the best plan so far comes back with its gap. None: until it is solved.

    Raises:
        ValueError: arguments that do not fit, an empty or unbounded set, a method that cannot solve this problem.
    """
    began = time.perf_counter()
    if method not in ("compact", "benders", "kkt", "brute-force"):
        raise ValueError(f"method must be compact, benders, kkt or brute-force; got {method!r}")
    if not is_number(gap) or not 0 <= gap < 1:
        hint = f". Did you mean {gap / 100:g}?" if is_number(gap) and 1 <= gap < 100 else ""
        raise ValueError(f"gap must be in [0, 1); got {gap!r}{hint}")
    if time_limit is not None and (not is_number(time_limit) or not time_limit > 0):
        raise ValueError(f"time_limit must be above 0 seconds, or None; got {time_limit!r}")
    problem = make_problem(
        weights,
        protect_cost,
        crew_cost,
        lower,
        upper,
        total_lower,
        total_upper,
        budget=budget,
        crew_budget=crew_budget,
        crews=crews,
    )
    storm = WorstStormProgram(problem)
    nothing = np.zeros(problem.size, dtype=np.bool_)
    unprotected = storm(nothing)
    left = np.inf if time_limit is None else max(time_limit - (time.perf_counter() - began), 1e-3)
    if unprotected.value <= ROUNDING:
        found = Found(nothing, 0.0, 0, "")
    else:
        solvers: dict[str, Callable[..., Found]] = {
            "compact": solve_compact,
            "benders": solve_benders,
            "kkt": solve_kkt,
            "brute-force": _solve_brute_force,
        }
        found = solvers[method](problem, unprotected.value, gap=gap, time_limit=left)
    found = found._replace(protect=_within_budget(found.protect, problem))
    worst = storm(found.protect)
    bound = min(found.lower_bound, worst.value)
    missing = worst.value - bound
    if missing <= RESOLUTION * max(unprotected.value, 1.0):  # 1 is the largest weight times the largest outage
        bound, missing = worst.value, 0.0
    relative = missing / worst.value if missing > 0 else 0.0
    solved = relative <= gap + ROUNDING
    return TrilevelPlan(
        protect=found.protect,
        value=worst.value * problem.loss_unit,
        lower_bound=bound * problem.loss_unit,
        gap=relative,
        storm=worst.storm * problem.outage_unit,
        crews=_sent(worst, found.protect),
        crew_kind=crews,
        method=method,
        iterations=found.iterations,
        status="optimal" if solved else found.stopped or f"gap {relative:.1e}",
        seconds=time.perf_counter() - began,
    )


def worst_case(
    protect: ArrayLike,
    weights: ArrayLike,
    crew_cost: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    total_lower: float,
    total_upper: float,
    *,
    crew_budget: float,
    crews: CrewKind = "continuous",
) -> WorstCase:
    """Loss of a plan in its worst storm, V(x), by which tri-level Table II compares plans.

    "Without eq. 5" of that table is `lower=0.0, upper=np.inf`, "without eq. 6" `total_lower=0.0, total_upper=np.inf`.

    Args:
        protect: `[n]` x, 0 or 1.
        weights, crew_cost, lower, upper, total_lower, total_upper, crew_budget, crews: as in `solve_trilevel`.

    Raises:
        ValueError: arguments that do not fit.
    """
    uncertain = (lower, upper, total_lower, total_upper)
    problem = make_problem(weights, 0.0, crew_cost, *uncertain, budget=0.0, crew_budget=crew_budget, crews=crews)
    plan = np.asarray(protect, dtype=np.float64)
    if plan.shape != (problem.size,) or not np.isin(plan, (0.0, 1.0)).all():
        raise ValueError(f"protect must be [{problem.size}] of 0 and 1; got {protect!r}")
    worst = WorstStormProgram(problem)(plan)
    return WorstCase(
        value=worst.value * problem.loss_unit,
        storm=worst.storm * problem.outage_unit,
        crews=_sent(worst, plan > 0.5),
    )


def crew_response(
    loss: ArrayLike, crew_cost: ArrayLike, *, crew_budget: float, crews: CrewKind = "continuous"
) -> Floats:
    """The crews' best response `[n]` once the storm is known: least sum of loss_i (1 - y_i) (tri-level eq. 8).

    Args:
        loss: `[n]` zeta_i = h_i u_i (1 - x_i), at least 0.
        crew_cost: `[n]` or a number.
        crew_budget: C.
        crews: `continuous`, a fractional knapsack; `binary`, a knapsack.
    """
    zeta = np.asarray(loss, dtype=np.float64)
    if zeta.ndim != 1 or not (np.isfinite(zeta) & (zeta >= 0)).all():
        raise ValueError(f"loss must be [n], finite and at least 0; got {loss!r}")
    cost = np.broadcast_to(np.asarray(crew_cost, dtype=np.float64), zeta.shape)
    if not (np.isfinite(cost) & (cost >= 0)).all() or not 0 <= crew_budget < np.inf:
        raise ValueError(f"crew_cost and crew_budget must be at least 0; got {crew_cost!r} and {crew_budget!r}")
    if crews == "binary":
        return knapsack(zeta, cost, crew_budget).astype(np.float64)
    sent, left = np.zeros_like(zeta), float(crew_budget)
    for i in np.argsort(-zeta / np.maximum(cost, 1e-300), kind="stable"):
        if zeta[i] > 0 and (left > 0 or cost[i] == 0):
            sent[i] = 1.0 if cost[i] <= left else left / cost[i]
            left -= sent[i] * cost[i]
    return sent


def _within_budget(plan: Bools, problem: TrilevelProblem) -> Bools:
    """The plan without its least regions where whole numbers, whole to the solver's millionth, overdraw the budget."""
    plan = plan.copy()
    while float(problem.protect_cost @ plan) > problem.budget * (1 + ROUNDING):
        paid = plan & (problem.protect_cost > 0)
        plan[np.where(paid, problem.weights * problem.upper, np.inf).argmin()] = False
    return plan


def _sent(worst: Worst, protect: Bools) -> Floats:
    return np.where(protect, 0.0, worst.crews)


def _solve_brute_force(problem: TrilevelProblem, scale: float, *, gap: float, time_limit: float) -> Found:
    """Try every affordable plan to which no region can be added: V falls in x, so one of them is best."""
    del scale, gap
    ends = time.perf_counter() + time_limit
    plans = list_patterns(problem.protect_cost, problem.budget, MAX_BRUTE_FORCE)
    if plans is None:
        raise ValueError(
            f"brute force tries at most {MAX_BRUTE_FORCE} plans, and {problem.size} regions with this budget have "
            'more; use method="compact"'
        )
    storm, best, least = WorstStormProgram(problem), plans[0], np.inf
    for tried, plan in enumerate(plans, start=1):
        value = storm(plan).value
        if value < least:
            best, least = plan, value
        if time.perf_counter() >= ends and tried < len(plans):
            return Found(best, 0.0, tried, "time limit")
    return Found(best & affordable(problem.protect_cost, problem.budget), least, len(plans), "")
