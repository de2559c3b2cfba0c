"""The three-level problem as arrays that have been checked and scaled, and what a plan costs in the worst storm.

    V(x) = max over u in U  min over y  sum h_i u_i (1 - x_i)(1 - y_i),   c.y <= C, 0 <= y <= 1
    U = { L_i <= u_i <= T_i,  L_0 <= sum u_i <= T_0 }                             (tri-level eq. 1-7)

The dual of the crews' problem (tri-level eq. 9) has mu = 0 at its best, which leaves one price of crews, lam:

    V(x) = max over u in U, lam >= 0  of  sum (1 - x_i) min(h_i u_i, lam c_i) - lam C

For whole crews the crews' choice is a mixture of affordable sets Y_k of regions, and lam c_i <= m_i becomes
sum_i m_i Y_ki <= lam for every k. No region gains from less damage, so L_0 decides only whether U is empty.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from stormgym.envs.core import is_number, numbers_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
CrewKind = Literal["continuous", "binary"]
"""Crews that can be split between regions, y in [0, 1], or whole ones, y in {0, 1}; sent once the storm is known."""

ROUNDING = 1e-9
"""Share by which sums of decimals may miss a limit."""
RESOLUTION = 1e-8
"""Share of the largest single loss below which solvers tell no plans apart; smaller weights count as nothing."""
LARGEST_COST = 1e14
"""Of a crew: HiGHS refuses coefficients of 1e15."""
_MOST_FLOAT = sys.float_info.max
MAX_PATTERNS = 3000
"""Most sets of regions for whole crews that are listed one by one; beyond, they are found as they are needed."""
MAX_KNAPSACK_NODES = 20000
MAX_LP_SECONDS = 120.0
"""The program for one storm takes milliseconds; this ends one whose numbers the solver cannot handle."""
_MAX_LISTED = 200
"""Most regions for which a list of sets is tried."""


@dataclass(frozen=True)
class TrilevelProblem:
    """Checked arrays in units in which the largest weight and the largest outage are 1."""

    weights: Floats
    """`[n]` h."""
    protect_cost: Floats
    """`[n]` b, in the caller's units."""
    crew_cost: Floats
    """`[n]` c, in the caller's units."""
    lower: Floats
    """`[n]` L, raised to what the totals leave."""
    upper: Floats
    """`[n]` T, lowered to what the totals leave."""
    total_upper: float
    """T_0."""
    budget: float
    crew_budget: float
    crew_kind: CrewKind
    loss_unit: float
    """The caller's loss for each unit of ours."""
    outage_unit: float

    @property
    def size(self) -> int:
        """n, the number of regions."""
        return len(self.weights)


def make_problem(
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
    crews: CrewKind = "continuous",
) -> TrilevelProblem:
    """Check the numbers of `solve_trilevel`, tighten the set and scale it.

    Raises:
        ValueError: shapes, signs, an empty set U (the message says which bound cannot be met) or an unbounded one.
    """
    h = numbers_of("weights", weights)
    if h.ndim != 1 or h.size == 0:
        raise ValueError(f"weights must be [n] with at least one region; got shape {h.shape}")
    b, c, low, high = (
        _vector(name, value, h.size)
        for name, value in (
            ("protect_cost", protect_cost),
            ("crew_cost", crew_cost),
            ("lower", lower),
            ("upper", upper),
        )
    )
    for name, values in (("weights", h), ("protect_cost", b), ("crew_cost", c)):
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(f"{name} must be finite and at least 0; got {values.min()} to {values.max()}")
    for name, limit in (("budget", budget), ("crew_budget", crew_budget)):
        if not is_number(limit) or not 0 <= limit <= _MOST_FLOAT:
            raise ValueError(f"{name} must be finite and at least 0; got {limit!r}")
    if crews not in ("continuous", "binary"):
        raise ValueError(f"crews must be continuous or binary; got {crews!r}")
    for name, total in (("total_lower", total_lower), ("total_upper", total_upper)):
        if not is_number(total) or not (abs(total) <= _MOST_FLOAT or total == np.inf):
            raise ValueError(f"{name} must be a number, or inf; got {str(total)[:40]}")
    if c.max() > LARGEST_COST:
        raise ValueError(f"crew_cost must be at most {LARGEST_COST:g}; got {c.max():g}. Count in a larger unit")
    low, high, t0 = _tighten(low, high, float(total_lower), float(total_upper))
    if float(h.max()) * float(high.max()) > _MOST_FLOAT:
        raise ValueError(
            f"weights times upper must be finite; got {h.max():g} times {high.max():g}. Count in larger units"
        )
    one_h, one_u = float(h.max()) or 1.0, float(high.max()) or 1.0
    kind, crew_limit = crews, float(crew_budget)
    if kind == "binary" and np.ptp(c) == 0 and c[0] > 0:
        # Equal costs: sets of at most floor(C / c) regions are the corners of {sum y <= floor(C / c)}.
        kind, crew_limit = "continuous", float(c[0] * np.floor(crew_limit / c[0] * (1 + ROUNDING)))
    return TrilevelProblem(
        weights=np.where(h > RESOLUTION * one_h, h / one_h, 0.0),
        protect_cost=b,
        crew_cost=c,
        lower=low / one_u,
        upper=high / one_u,
        total_upper=t0 / one_u,
        budget=float(budget),
        crew_budget=crew_limit,
        crew_kind=kind,
        loss_unit=one_h * one_u,
        outage_unit=one_u,
    )


def _vector(name: str, value: ArrayLike, n: int) -> Floats:
    array = numbers_of(name, value)
    if array.ndim == 0:
        array = np.full(n, float(array))
    if array.shape != (n,):
        raise ValueError(f"{name} must be a number or [{n}], one a region as in weights; got shape {array.shape}")
    if np.isnan(array).any():
        raise ValueError(f"{name} must not hold NaN; region {int(np.isnan(array).argmax())} does")
    return array.copy()


def _tighten(low: Floats, high: Floats, total_low: float, total_high: float) -> tuple[Floats, Floats, float]:
    """Bounds of each region and of the total that every storm in U keeps anyway; U stays as it is."""
    low = np.maximum(low, 0.0)  # nothing is less than no outage
    total_low = max(total_low, 0.0)
    slack = ROUNDING * max(1.0, float(low.sum()))
    if not np.isfinite(low).all() or not total_low < np.inf or np.isnan(total_high):
        raise ValueError(f"lower and total_lower must be finite; got {low.max()} and {total_low}")
    crossed = low > high + slack
    if crossed.any():
        i = int(crossed.argmax())
        raise ValueError(f"no storm fits: lower must be at most upper; region {i} has {low[i]:g} above {high[i]:g}")
    if total_low > total_high + slack:
        raise ValueError(
            f"no storm fits: total_lower must be at most total_upper; got {total_low:g} above {total_high:g}"
        )
    if low.sum() > total_high + slack:
        raise ValueError(
            f"no storm fits: the sum of lower is {low.sum():g}, above total_upper {total_high:g}; "
            "widen the total or lower the regions' bounds"
        )
    if total_low > high.sum() * (1 + ROUNDING):
        raise ValueError(
            f"no storm fits: the sum of upper is {high.sum():g}, below total_lower {total_low:g}; "
            "widen the total or raise the regions' bounds"
        )
    if np.isinf(high).any() and np.isinf(total_high):
        raise ValueError(
            f"the set is unbounded: upper is infinite in regions {np.flatnonzero(np.isinf(high)).tolist()} and so is "
            "total_upper; give one of them (a conformal bound is infinite where it has too few calibration records)"
        )
    high = np.maximum(np.minimum(high, total_high - (low.sum() - low)), low)
    low = np.minimum(np.maximum(low, total_low - (high.sum() - high)), high)
    return low, high, float(np.clip(total_high, low.sum(), high.sum()))


class Worst(NamedTuple):
    """The worst storm for a plan, in the problem's units, and the cut it gives: V(x) >= constant - slope.x."""

    value: float
    storm: Floats
    """`[n]` u."""
    crews: Floats
    """`[n]` y, the crews' best mixture."""
    slope: Floats
    """`[n]` pi, what region i adds to the loss while it is not protected."""
    constant: float


class WorstStormProgram:
    """The linear program for V, the loss of a plan in its worst storm; built once and solved for many plans.

    Columns are u `[n]`, m `[n]` and lam; at fractional x the value is that of the compact program, a lower envelope.
    For whole crews, sets of regions come as they are needed (column generation) and are kept between calls.
    """

    def __init__(self, problem: TrilevelProblem) -> None:
        self.problem = p = problem
        n = p.size
        eye = sparse.eye_array(n)
        outages: Any = sparse.hstack([-sparse.diags_array(p.weights), eye, sparse.csr_array((n, 1))])
        # Nature loses nothing by using all of T_0, which is at most sum T; so L_0 is kept without a row.
        self._total: Any = sparse.csr_array(np.concatenate([np.ones(n), np.zeros(n + 1)])[None])
        self._outages: Any = outages.tocsr()  # m <= h u
        self._bounds: Any = np.concatenate(
            [np.stack([p.lower, p.upper], axis=1), np.tile([0.0, np.inf], (n + 1, 1))],
        )
        if p.crew_kind == "continuous":
            price: Any = sparse.hstack([sparse.csr_array((n, n)), eye, sparse.csr_array(-p.crew_cost[:, None])])
            self._crews: Any = price.tocsr()  # m <= lam c
            self._price = p.crew_budget
        else:
            self.patterns = self.best_pattern(p.weights * p.upper)[None]
            self._price = 1.0

    def __call__(self, protect: ArrayLike) -> Worst:
        """The worst storm for a plan x `[n]` in [0, 1]."""
        x = np.asarray(protect, dtype=np.float64)
        if self.problem.crew_kind == "continuous":
            return self._solve(x)
        while True:
            worst = self._solve(x)
            pattern = self.best_pattern(worst.slope)
            short = float(worst.slope @ pattern) - float((self.patterns @ worst.slope).max())
            if short <= ROUNDING * max(1e-3, float(worst.slope.sum())) or (self.patterns == pattern).all(1).any():
                # Every set of regions keeps sum m Y <= lam once lam is raised by what is short: the cut holds.
                return worst._replace(constant=worst.constant - max(short, 0.0))
            self.patterns = np.concatenate([self.patterns, pattern[None]])

    def _solve(self, x: Floats) -> Worst:
        p = self.problem
        n = p.size
        open_share = 1.0 - x
        crews = self._crews if p.crew_kind == "continuous" else self._pattern_rows()
        rows: Any = sparse.vstack([self._outages, crews], format="csr")
        cost = np.concatenate([np.zeros(n), -open_share, [self._price]])
        answer: Any = linprog(
            cost,
            A_ub=rows,
            b_ub=np.zeros(rows.shape[0]),
            A_eq=self._total,
            b_eq=[p.total_upper],
            bounds=self._bounds,
            method="highs",
            options={"time_limit": MAX_LP_SECONDS},
        )
        if answer.status != 0:
            raise RuntimeError(
                f"the worst storm was not found: the solver stopped ({answer.message}) on weights of "
                f"{_span(p.weights)}, crew_cost of {_span(p.crew_cost)} and outages of {_span(p.upper)}. "
                "Bring them closer together"
            )
        storm, amount, price = answer.x[:n], answer.x[n : 2 * n], answer.x[-1]
        dual = np.maximum(-answer.ineqlin.marginals[n:], 0.0)
        if p.crew_kind == "continuous":
            # Where x_i = 1 the program leaves m_i open; the largest one gives the strongest cut.
            amount = np.minimum(p.weights * storm, price * p.crew_cost)
            sent = np.minimum(dual, 1.0)
        else:
            amount = np.where(open_share > 0, amount, 0.0)
            sent = np.minimum(dual @ self.patterns, open_share)
        return Worst(
            value=max(0.0, -float(answer.fun)),
            storm=storm,
            crews=sent,
            slope=amount,
            constant=float(amount.sum() - self._price * price),
        )

    def _pattern_rows(self) -> Any:
        k, n = self.patterns.shape
        sets = sparse.csr_array(self.patterns.astype(np.float64))
        return sparse.hstack([sparse.csr_array((k, n)), sets, sparse.csr_array(-np.ones((k, 1)))])

    def best_pattern(self, gain: Floats) -> Bools:
        """The affordable set of regions with the largest sum of gains, by a knapsack."""
        p = self.problem
        chosen = knapsack(gain, p.crew_cost, p.crew_budget)
        spare = p.crew_budget - float(p.crew_cost[chosen].sum())
        for i in np.argsort(-gain):  # complete it, so that one set serves more storms
            if not chosen[i] and p.crew_cost[i] <= spare:
                chosen[i], spare = True, spare - p.crew_cost[i]
        return chosen


def _span(values: Floats) -> str:
    """The least and the largest number above 0, in words."""
    some = values[values > 0]
    return f"{some.min():g} to {some.max():g}" if some.size else "0"


def knapsack(gain: Floats, cost: Floats, budget: float) -> Bools:
    """The set of items of the largest gain within the budget, `[n]`, by depth-first search with the relaxation's bound.

    Items come in the order of gain for cost; what could still be gained is that of the fractional knapsack. A search of
    more than `MAX_KNAPSACK_NODES` nodes goes to the solver instead.
    """
    useful = np.flatnonzero(affordable(cost, budget) & (gain > 0))
    order = useful[np.argsort(-gain[useful] / np.maximum(cost[useful], 1e-300), kind="stable")]
    g, c, n = gain[order].tolist(), cost[order].tolist(), len(order)
    chosen: Bools = np.zeros(len(gain), dtype=np.bool_)
    best, nodes = -1.0, 0
    best_set: tuple[int, ...] = ()
    least_step = 1e-12 * sum(g)
    stack: list[tuple[int, float, float, tuple[int, ...]]] = [(0, budget * (1 + ROUNDING), 0.0, ())]
    while stack:
        at, left, value, taken = stack.pop()
        nodes += 1
        if value > best:
            best, best_set = value, taken
        bound, room, i = value, left, at
        while i < n and c[i] <= room:
            bound, room, i = bound + g[i], room - c[i], i + 1
        if i < n:
            bound += g[i] * room / c[i]
        if at < n and bound > best + least_step:
            stack.append((at + 1, left, value, taken))
            if c[at] <= left:
                stack.append((at + 1, left - c[at], value + g[at], (*taken, at)))
        if nodes > MAX_KNAPSACK_NODES:
            return _knapsack_by_solver(gain, cost, budget)
    chosen[order[list(best_set)]] = True
    return chosen


def _knapsack_by_solver(gain: Floats, cost: Floats, budget: float) -> Bools:
    free = affordable(cost, budget)
    answer: Any = milp(
        -1000.0 * gain / float(gain.max()),
        integrality=np.ones(len(gain), dtype=np.int64),
        bounds=Bounds(0.0, free.astype(np.float64)),
        constraints=budget_rows(cost, budget),
        options={"mip_rel_gap": 1e-9},
    )
    if answer.x is None:
        raise RuntimeError(
            f"the knapsack was not solved: the solver stopped ({answer.message}) on gains of {_span(gain)} and "
            f"costs of {_span(cost)} with a budget of {budget:g}. Bring them closer together"
        )
    chosen: Bools = free & (answer.x > 0.5)
    return chosen


def greedy(gain: Floats, cost: Floats, budget: float) -> Bools:
    """Items of the most gain for their cost while the budget lasts, `[n]`."""
    chosen = np.zeros(len(gain), dtype=np.bool_)
    left = budget * (1 + ROUNDING)
    for i in np.argsort(-gain / np.maximum(cost, 1e-300), kind="stable"):
        if gain[i] > 0 and cost[i] <= left:
            chosen[i], left = True, left - cost[i]
    return chosen


def affordable(cost: Floats, budget: float) -> Bools:
    """Items that the budget can buy at all, `[n]`."""
    return cost <= budget * (1 + ROUNDING)


def budget_rows(cost: Floats, budget: float, *, first: int = 0, n_columns: int | None = None) -> LinearConstraint:
    """cost.x <= budget on columns `first` on, in units that make the solver's tolerance a billionth of the budget."""
    unit = 1000.0 / budget if budget > 0 else 1.0
    row = np.zeros(len(cost) if n_columns is None else n_columns)
    row[first : first + len(cost)] = np.where(affordable(cost, budget), cost * unit, 0.0)
    return LinearConstraint(row[None], -np.inf, budget * unit)


def list_patterns(cost: Floats, budget: float, most: int = MAX_PATTERNS) -> Bools | None:
    """Every affordable set of regions to which no region can be added, `[P, n]`; None where there are more than `most`.

    The list of sets grows region by region; a set is kept only if it can still become one that is full.
    """
    order = np.argsort(-cost, kind="stable")
    found: list[Bools] = []
    n, limit = len(cost), budget * (1 + ROUNDING)

    def extend(at: int, chosen: Bools, left: float, skipped: float) -> bool:
        # `skipped` is the cheapest region left out so far: in a full set it does not fit into what is left.
        if at == n:
            if skipped > left:
                found.append(chosen.copy())
            return len(found) <= most
        i = order[at]
        if left - float(cost[order[at:]].sum()) >= skipped:
            return True  # even with all others in, the skipped region still fits
        if cost[i] <= left:
            chosen[i] = True
            if not extend(at + 1, chosen, left - cost[i], skipped):
                return False
            chosen[i] = False
        return extend(at + 1, chosen, left, min(skipped, cost[i]))

    if n > _MAX_LISTED:
        return None
    return np.array(found) if extend(0, np.zeros(n, dtype=np.bool_), limit, np.inf) else None
