"""The three levels as one mixed-integer linear program, exact, solved by intervals of one price.

The inner maximum and minimum change places (the loss is bilinear, both sets are convex and compact), for binary x the
product (1 - x_i)(1 - y_i) is max(0, 1 - x_i - y_i) = w_i, and the dual of the maximum over storms leaves

    min  sum (T_i - L_i) a_i + sum L_i h_i w_i + (T_0 - sum L_i) p
    s.t. a_i >= h_i w_i - p,  w_i >= 1 - x_i - y_i,  b.x <= B,  c.y <= C,  a, w, p, y >= 0,  x binary

(tri-level eq. 1 and 8-10, dualised once more; the dual of the lower bounds is written out, that of L_0 is 0). p is what
nature would gain from one unit more of total outage.

Its relaxation is weak, since protecting a share 1 - p / h_i of a region already gives a_i = 0. On an interval
lo <= p <= hi two stronger rows hold for binary x (the hull of "protected" and "not", p taken apart between the two):

    a_i >= h_i w_i - p + lo x_i,      a_i >= h_i w_i - hi (1 - x_i)

So intervals of p are halved, best bound first, until the relaxation can be rounded or the interval is short; then the
mixed-integer program on it closes in few nodes, because at a fixed p only the two budgets keep x from being whole.
"""

from __future__ import annotations

import heapq
import time
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from stormgym.agents.undergrounding.trilevel.problem import (
    Bools,
    Floats,
    TrilevelProblem,
    WorstStormProgram,
    affordable,
    budget_rows,
    greedy,
    list_patterns,
)

SMALL = 40
"""Most regions for which p is not split at all."""
SHORTEST = 1.0 / 64.0
"""Length of an interval of p, in the largest weight, that is halved no more."""
CLOSE = 0.01
"""Where the relaxation is within this share of the best plan, an interval of an eighth or less is halved no more."""


class Found(NamedTuple):
    """Result of a method, before `solve_trilevel` checks and scales it."""

    protect: Bools
    lower_bound: float
    """Lower bound on the loss of any plan, in the problem's units."""
    iterations: int
    stopped: str
    """ "" when the method ended by itself, else what stopped it."""


def solve_compact(
    problem: TrilevelProblem, scale: float, *, gap: float, time_limit: float, split_above: int = SMALL
) -> Found:
    """Solve the compact program. An iteration is one linear or mixed-integer program.

    Args:
        problem: what to solve.
        scale: V(0), the loss without protection, above 0; it sets the solver's absolute tolerances.
        gap: relative gap at which to stop.
        time_limit: seconds.
        split_above: with so many regions or fewer, one program over all p.

    Raises:
        ValueError: whole crews of unequal costs with too many sets of regions to list.
    """
    search = _Search(problem, scale, gap, time.perf_counter() + time_limit)
    return search.one_program() if problem.size <= split_above else search.run()


class _Search:
    """Branch and bound over intervals of p; losses are in units of V(0) / 1000."""

    def __init__(self, problem: TrilevelProblem, scale: float, gap: float, ends: float) -> None:
        self.problem, self.unit, self.gap, self.ends = problem, scale / 1000.0, gap, ends
        self.model = CompactModel(problem)
        self.storm = WorstStormProgram(problem)
        self.plan = greedy(problem.weights * problem.upper, problem.protect_cost, problem.budget)
        self.best = self.storm(self.plan).value / self.unit
        self.open: list[tuple[float, float, float]] = []  # bound, lo, hi
        self.iterations = 0
        self.stopped = ""

    def one_program(self) -> Found:
        bound = self.solve(0.0, 1.0)
        return Found(self.plan, min(self.best, bound) * self.unit, self.iterations, self.stopped)

    def run(self) -> Found:
        self.relax(0.0, 1.0, 0.0)
        closed = np.inf  # least bound of intervals that were left with a gap
        while self.open and self.open[0][0] < self.enough():
            if time.perf_counter() >= self.ends:
                self.stopped = "time limit"
                break
            bound, lo, hi = heapq.heappop(self.open)  # best first: the least bound is the bound of the whole search
            # Halving tightens the relaxation, but little once it is near the best plan or the interval is short: then
            # the mixed-integer program closes the interval faster than more relaxations would.
            near = bound >= (1.0 - CLOSE) * self.best and hi - lo <= 0.125
            if near or hi - lo <= SHORTEST * 1.01:
                closed = min(closed, max(bound, self.solve(lo, hi)))
            else:
                middle = 0.5 * (lo + hi)
                self.relax(lo, middle, bound)
                self.relax(middle, hi, bound)
        # closed intervals keep a bound below their value (the solver's gap), so they count as well as open ones
        lowest = min(self.best, closed, self.open[0][0] if self.open else np.inf)
        return Found(self.plan, lowest * self.unit, self.iterations, self.stopped)

    def enough(self) -> float:
        """An interval whose bound is above this holds no plan that is better by more than the gap."""
        return self.best - max(self.gap * self.best, 1e-6)

    def relax(self, lo: float, hi: float, bound: float) -> None:
        """Bound an interval by its relaxation, try the plan that this rounds to, and queue the interval."""
        x, value, _ = self.program(lo, hi, whole=False)
        if x is not None:
            bound = max(bound, value)
            self.try_plan(_rounded(x, self.problem))
        heapq.heappush(self.open, (bound, lo, hi))

    def solve(self, lo: float, hi: float) -> float:
        """Solve an interval in whole regions; returns its bound."""
        x, bound, stopped = self.program(lo, hi, whole=True)
        self.stopped = self.stopped or stopped
        if x is not None:
            self.try_plan(affordable(self.problem.protect_cost, self.problem.budget) & (x > 0.5))
        return bound

    def program(self, lo: float, hi: float, *, whole: bool) -> tuple[Floats | None, float, str]:
        """The program on an interval: x `[n]`, bound, and what stopped the solver."""
        self.iterations += 1
        rows, bounds = self.model.on(lo, hi)
        n = self.problem.size
        answer: Any = milp(
            self.model.cost / self.unit,
            integrality=np.concatenate([np.full(n, float(whole)), np.zeros(len(self.model.cost) - n)]),
            bounds=bounds,
            constraints=rows,
            options={"mip_rel_gap": 0.5 * self.gap, "time_limit": max(self.ends - time.perf_counter(), 1e-3)},
        )
        stopped = {0: "", 1: "time limit"}.get(answer.status, str(answer.message))
        x = None if answer.x is None else answer.x[:n]
        if whole:
            bound = answer.mip_dual_bound
        else:
            bound = answer.fun if answer.status == 0 else None
            x = x if answer.status == 0 else None
        return x, 0.0 if bound is None else float(bound), stopped

    def try_plan(self, plan: Bools) -> None:
        value = self.storm(plan).value / self.unit
        if value < self.best:
            self.best, self.plan = value, plan


def _rounded(x: Floats, problem: TrilevelProblem) -> Bools:
    """A plan within the budget from fractional x `[n]`: the largest shares first, ties by weight for cost."""
    cost = problem.protect_cost
    rank = np.lexsort((-problem.weights / np.maximum(cost, 1e-300), -np.round(x, 6)))
    plan, left = np.zeros(problem.size, dtype=np.bool_), problem.budget
    for i in rank:
        if cost[i] <= left:
            plan[i], left = True, left - cost[i]
    return plan


class CompactModel:
    """Rows and costs of the compact program.

    Columns are x, y, w, a `[n]` each, p, and for whole crews the weights q `[P]` of the affordable sets.

    Attributes:
        cost: `[columns]` in the problem's units.
    """

    def __init__(self, problem: TrilevelProblem) -> None:
        self.problem = p = problem
        n = p.size
        patterns = None if p.crew_kind == "continuous" else list_patterns(p.crew_cost, p.crew_budget)
        if p.crew_kind == "binary" and patterns is None:
            raise ValueError(
                "the compact program lists every set of regions that whole crews can serve, and there are too many; "
                'use method="benders", which finds them as it needs them'
            )
        k = 0 if patterns is None else len(patterns)
        self._rest = sparse.csr_array((n, k))
        self._none = sparse.csr_array((n, 1))
        eye, zero = sparse.eye_array(n), sparse.csr_array((n, n))
        self._eye, self._zero, self._weights = eye, zero, sparse.diags_array(p.weights)
        self._switch = sparse.hstack([eye, eye, eye, zero, self._none, self._rest])  # x + y + w >= 1
        self.cost = np.concatenate(
            [np.zeros(2 * n), p.lower * p.weights, p.upper - p.lower, [p.total_upper - p.lower.sum()], np.zeros(k)]
        )
        self._upper = np.concatenate(
            [affordable(p.protect_cost, p.budget), np.ones(n), np.full(2 * n + 1, np.inf), np.full(k, np.inf)]
        )
        self._budget = budget_rows(p.protect_cost, p.budget, n_columns=len(self.cost))
        self._crews: list[LinearConstraint]
        if patterns is None:
            unit = 1000.0 / p.crew_budget if p.crew_budget > 0 else 1.0
            price = np.concatenate([np.zeros(n), p.crew_cost * unit, np.zeros(2 * n + 1)])
            self._crews = [LinearConstraint(price[None], -np.inf, p.crew_budget * unit)]
        else:  # y <= sum q_k Y_k, sum q <= 1
            sets = sparse.csr_array(-patterns.T.astype(np.float64))
            mixture = sparse.hstack([zero, eye, zero, zero, self._none, sets], format="csr")
            shares = np.concatenate([np.zeros(4 * n + 1), np.ones(k)])
            self._crews = [
                LinearConstraint(mixture, -np.inf, 0.0),
                LinearConstraint(shares[None], -np.inf, 1.0),
            ]

    def on(self, lo: float, hi: float) -> tuple[list[LinearConstraint], Bounds]:
        """Rows and bounds with lo <= p <= hi."""
        n = self.problem.size
        one = sparse.csr_array(np.ones((n, 1)))
        eye, zero, weights, rest = self._eye, self._zero, self._weights, self._rest
        # rows of the module's docstring: w >= 1 - x - y, and a >= h w - p + lo x
        blocks = [self._switch, sparse.hstack([-lo * eye, zero, -weights, eye, one, rest])]
        low = [np.ones(n), np.zeros(n)]
        if hi < 1.0:  # a >= h w - hi (1 - x), which says nothing at hi = max h
            blocks.append(sparse.hstack([-hi * eye, zero, -weights, eye, self._none, rest]))
            low.append(np.full(n, -hi))
        rows: Any = sparse.vstack(blocks, format="csr")
        lower, upper = np.zeros(len(self.cost)), self._upper.copy()
        lower[4 * n], upper[4 * n] = lo, hi
        bounds = Bounds(lower, upper)
        return [LinearConstraint(rows, np.concatenate(low), np.inf), self._budget, *self._crews], bounds
