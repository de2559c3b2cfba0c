"""Benders decomposition with valid cuts, in two phases.

For a fixed storm and price of crews the loss is affine in x, so every plan that has been tried gives

    V(x) >= sum pi_i (1 - x_i) - lam C,   pi_i = min(h_i u_i, lam c_i)

and the master, the least value over x that all cuts allow, is a LOWER bound; V of any plan is an upper one. (The
subproblem printed as tri-level eq. 12 has x among its constraints, and what is read from it is no cut; Algorithm 2 has
the two bounds exchanged.) First x may be fractional, which is cheap and gives most of the cuts (kept off the corners by
the in-out rule of Ben-Ameur and Neto 2007); then the master is solved in whole regions.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from stormgym.agents.undergrounding.trilevel.compact import Found
from stormgym.agents.undergrounding.trilevel.problem import (
    ROUNDING,
    Bools,
    Floats,
    TrilevelProblem,
    Worst,
    WorstStormProgram,
    affordable,
    budget_rows,
    greedy,
)

IN_OUT = 0.5
"""Where the first phase makes its cuts: this share of the way from the best fractional plan to the master's. The phase
makes n = 50 several times faster; 0.5 beat 1 (no stabilisation) and 0.2 on most instances, not on all."""
MAX_LP_ROUNDS = 300


class _Cuts:
    """Cuts as rows constant - slope.x <= eta, and the master over them in units of V(0) / 1000."""

    def __init__(self, problem: TrilevelProblem, unit: float) -> None:
        self.problem, self.unit = problem, unit
        self.slopes: list[Floats] = []
        self.constants: list[float] = []
        self.best = np.inf
        self.plan: Bools = np.zeros(problem.size, dtype=np.bool_)

    def add(self, worst: Worst, plan: Bools | None = None) -> float:
        """Keep the cut, and the plan if it is whole and the best so far; return V in the master's units."""
        self.slopes.append(worst.slope / self.unit)
        self.constants.append(worst.constant / self.unit)
        value = worst.value / self.unit
        if plan is not None and value < self.best:
            self.best, self.plan = value, plan
        return value

    def master(self, *, whole: bool, gap: float = 0.0, time_limit: float = np.inf) -> tuple[Floats | None, float]:
        """The master's x `[n]` and its bound."""
        p = self.problem
        n = p.size
        rows = np.column_stack([np.array(self.slopes), np.ones(len(self.slopes))])
        upper = np.append(affordable(p.protect_cost, p.budget), np.inf)
        cost = np.append(np.zeros(n), 1.0)
        budget = budget_rows(p.protect_cost, p.budget, n_columns=n + 1)
        answer: Any
        if not whole:
            matrix = np.concatenate([-rows, budget.A])
            right = np.append(-np.array(self.constants), budget.ub)
            bounds: Any = np.stack([np.zeros(n + 1), upper], axis=1)
            answer = linprog(cost, A_ub=matrix, b_ub=right, bounds=bounds, method="highs")
            if answer.status != 0:
                raise RuntimeError(f"the relaxed master failed: {answer.message}")
            return answer.x[:n], float(answer.fun)
        answer = milp(
            cost,
            integrality=np.append(np.ones(n), 0.0),
            bounds=Bounds(0.0, upper),
            constraints=[LinearConstraint(rows, np.array(self.constants), np.inf), budget],
            # A few dense rows: presolve gains nothing and costs half of the time.
            options={"mip_rel_gap": gap, "time_limit": max(time_limit, 1e-3), "presolve": False},
        )
        bound = 0.0 if answer.mip_dual_bound is None else float(answer.mip_dual_bound)
        return (None if answer.x is None else answer.x[:n]), bound


def solve_benders(problem: TrilevelProblem, scale: float, *, gap: float, time_limit: float) -> Found:
    """Cut until the bounds meet; arguments as in `solve_compact`. An iteration is one cut."""
    ends = time.perf_counter() + time_limit
    storm = WorstStormProgram(problem)
    cuts = _Cuts(problem, scale / 1000.0)
    start = greedy(problem.weights * problem.upper, problem.protect_cost, problem.budget)
    for plan in (np.zeros(problem.size, dtype=np.bool_), start):
        cuts.add(storm(plan), plan)
    bound = _relaxed_phase(cuts, storm, start.astype(np.float64), gap, ends)
    small = ROUNDING * 1000.0
    tried: set[bytes] = set()
    tight = False  # whether the master is solved to the final gap, after a loose one has repeated a plan
    while cuts.best - bound > max(gap * cuts.best, small):
        left = ends - time.perf_counter()
        if left <= 0:
            return _found(cuts, bound, "time limit")
        # A master that is a tenth of the gap off is good enough: its own bound is what counts.
        loose = 0.1 * (cuts.best - bound) / max(cuts.best, small)
        loose = 0.5 * gap if tight else min(max(loose, 0.5 * gap), 0.05)
        x, lowest = cuts.master(whole=True, gap=loose, time_limit=left)
        if x is None:
            return _found(cuts, bound, "time limit")
        plan = affordable(problem.protect_cost, problem.budget) & (x > 0.5)
        known = plan.tobytes() in tried
        if known and tight and lowest <= bound + small:
            break  # its cut is there already: the rest is less than the master's tolerance
        tight, bound = known, max(bound, lowest)
        tried.add(plan.tobytes())
        cuts.add(storm(plan), plan)
        # one more cut halfway to the best plan, as by the in-out rule of the first phase
        cuts.add(storm(0.5 * (plan + cuts.plan.astype(np.float64))))
        _descend(cuts, storm, ends)
    return _found(cuts, bound, "")


def _relaxed_phase(cuts: _Cuts, storm: WorstStormProgram, inside: Floats, gap: float, ends: float) -> float:
    """Cuts for fractional x until the relaxation is solved, or stalls; returns its bound."""
    problem = cuts.problem
    bound, least = 0.0, np.inf
    for _ in range(MAX_LP_ROUNDS):
        if time.perf_counter() >= ends:
            break
        outside, bound = cuts.master(whole=False)
        if outside is None or (np.isfinite(least) and least - bound <= max(0.01 * gap * least, 1e-6)):
            break
        # in-out: a cut at the master's corner alone moves it little; one nearer to the best point cuts deeper
        x = np.clip(inside + IN_OUT * (outside - inside), 0.0, 1.0)
        value = cuts.add(storm(x))
        if value < least:
            least, inside = value, x
        # an integer plan near x: its value is an upper bound for the second phase, and its cut is kept
        plan = greedy(cuts.slopes[-1] * (0.01 + x), problem.protect_cost, problem.budget)
        cuts.add(storm(plan), plan)
    return bound


def _descend(cuts: _Cuts, storm: WorstStormProgram, ends: float) -> None:
    """Protect what the last storm hit hardest for its cost, while that lowers the loss."""
    problem, value = cuts.problem, np.inf
    while time.perf_counter() < ends:
        plan = greedy(cuts.slopes[-1], problem.protect_cost, problem.budget)
        new = cuts.add(storm(plan), plan)
        if new >= value:
            return
        value = new


def _found(cuts: _Cuts, bound: float, stopped: str) -> Found:
    return Found(cuts.plan, max(bound, 0.0) * cuts.unit, len(cuts.slopes), stopped)
