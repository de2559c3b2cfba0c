"""The three levels through the optimality conditions of the middle one, with big-M (tri-level Appendix C, corrected).

For a plan x, nature and the crews' prices solve one linear program in u, lam, mu (tri-level eq. 10):

    max  sum h_i u_i (1 - x_i) - lam C - sum mu_i
    s.t. lam c_i + mu_i >= h_i u_i (1 - x_i)  [rho_i],  L_i <= u_i <= T_i,  sum u_i <= T_0,  lam, mu >= 0

Its conditions become rows, its complementary pairs binary switches. Corrected: stationarity in lam is
C - sum c_i rho_i - gamma = 0 (eq. 22 has B and no c), all of eq. 24-30 need switches (eq. 32-33 treat the first only),
and the products with 1 - x_i are replaced by their envelopes, exact for binary x. rho_i is the crews' y_i.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from stormgym.agents.undergrounding.trilevel.compact import Found
from stormgym.agents.undergrounding.trilevel.problem import Floats, TrilevelProblem, affordable, budget_rows, greedy


class _Model:
    """Columns by name, and rows one block after the other."""

    def __init__(self) -> None:
        self.n_columns = 0
        self.upper: list[Floats] = []
        self.whole: list[Floats] = []
        self.blocks: list[tuple[list[tuple[Any, slice]], Any, Any]] = []

    def columns(self, upper: Floats | float, n: int, *, whole: bool = False) -> slice:
        """n columns from 0 to `upper`."""
        self.upper.append(np.broadcast_to(np.asarray(upper, dtype=np.float64), (n,)))
        self.whole.append(np.full(n, float(whole)))
        self.n_columns += n
        return slice(self.n_columns - n, self.n_columns)

    def rows(self, terms: list[tuple[Any, slice]], low: Any, high: Any) -> None:
        """low <= sum of matrix times columns <= high; a vector stands for a diagonal matrix."""
        self.blocks.append((terms, low, high))

    def at_most(self, terms: list[tuple[Any, slice]], high: Any = 0.0) -> None:
        """Rows with an upper end alone."""
        self.rows(terms, -np.inf, high)

    def constraint(self) -> LinearConstraint:
        """All rows."""
        parts, lows, highs = [], [], []
        for terms, low, high in self.blocks:
            matrices = [(sparse.diags_array(m) if np.ndim(m) == 1 else sparse.csr_array(m), at) for m, at in terms]
            n_rows = matrices[0][0].shape[0]
            block = sparse.csr_array((n_rows, self.n_columns))
            for matrix, at in matrices:
                left = sparse.csr_array((n_rows, at.start))
                right = sparse.csr_array((n_rows, self.n_columns - at.stop))
                block = block + sparse.hstack([left, matrix, right], format="csr")
            parts.append(block)
            lows.append(np.broadcast_to(low, (n_rows,)))
            highs.append(np.broadcast_to(high, (n_rows,)))
        matrix = sparse.vstack(parts, format="csr")
        return LinearConstraint(matrix, np.concatenate(lows), np.concatenate(highs))


def solve_kkt(problem: TrilevelProblem, scale: float, *, gap: float, time_limit: float) -> Found:
    """Solve the single-level program; arguments as in `solve_compact`. Slow beyond about 10 regions.

    Raises:
        ValueError: whole crews of unequal costs, whose choice is no linear program with these conditions.
    """
    p, n = problem, problem.size
    if p.crew_kind == "binary":
        raise ValueError('method="kkt" is for crews="continuous" or equal crew costs; use compact or benders')
    h, low, high = p.weights, p.lower, p.upper
    one, row = np.ones(n), np.ones((1, n))
    paid = p.crew_cost > 0
    # big-M of lam: above the largest h u / c no crew would be sent anywhere, so a larger price changes nothing
    most_price = float((h * high / np.where(paid, p.crew_cost, np.inf)).max()) + 1e-9
    model = _Model()
    x = model.columns(affordable(p.protect_cost, p.budget).astype(np.float64), n, whole=True)
    u, ux = model.columns(high, n), model.columns(high, n)  # ux = u x
    rho, rx = model.columns(1.0, n), model.columns(1.0, n)  # rx = rho x
    lam, mu = model.columns(most_price, 1), model.columns(h * high, n)
    gamma = model.columns(p.crew_budget, 1)
    below, above, total = model.columns(1.0, n), model.columns(h, n), model.columns(1.0, 1)
    model.rows([(one, u)], low, high)
    model.at_most([(row, u)], p.total_upper)
    # McCormick rows: product <= factor, product <= most x, product >= factor - most (1 - x)
    for product, factor, most in ((ux, u, high), (rx, rho, one)):
        model.at_most([(one, product), (-one, factor)])
        model.at_most([(one, product), (-most, x)])
        model.at_most([(one, factor), (-one, product), (most, x)], most)
    damage = [(h, u), (-h, ux)]  # h u (1 - x)
    price = [(p.crew_cost[:, None], lam)]
    model.at_most([*damage, (-p.crew_cost[:, None], lam), (-one, mu)])
    # Stationarity in u, lam and mu; that in mu is rho <= 1 with sigma = 1 - rho.
    model.rows([(-h, x), (-h, rho), (h, rx), (one, below), (-one, above), (-one[:, None], total)], -h, -h)
    model.rows([(p.crew_cost[None], rho), (np.ones((1, 1)), gamma)], p.crew_budget, p.crew_budget)
    # Complementary pairs, each with a switch: the multiplier may be above 0 where it is on, the slack where it is off.
    slack_dual = p.crew_cost * most_price + h * high

    def switch(multiplier: slice, most: Any, terms: list[tuple[Any, slice]], constant: Any, slack: Any) -> None:
        size = multiplier.stop - multiplier.start
        on = model.columns(1.0, size, whole=True)
        model.at_most([(np.ones(size), multiplier), (-np.broadcast_to(most, (size,)), on)])
        # on: the slack, terms + constant, is held at 0; off: the multiplier is
        most_slack = np.broadcast_to(slack, (size,))
        model.at_most([*terms, (most_slack, on)], most_slack - constant)

    switch(rho, 1.0, [*price, (one, mu), (-h, u), (h, ux)], 0.0, slack_dual)  # eq. 24
    switch(mu, h * high, [(-one, rho)], 1.0, 1.0)  # eq. 25
    switch(lam, most_price, [(np.ones((1, 1)), gamma)], 0.0, max(p.crew_budget, 1e-12))  # eq. 26
    switch(below, 1.0, [(one, u)], -low, high - low)  # eq. 27
    switch(above, h, [(-one, u)], high, high - low)  # eq. 28
    switch(total, 1.0, [(-row, u)], p.total_upper, p.total_upper - float(low.sum()))  # eq. 29; eq. 30 has multiplier 0
    cost = np.zeros(model.n_columns)
    cost[u], cost[ux], cost[lam], cost[mu] = h, -h, -p.crew_budget, -1.0
    answer: Any = milp(
        cost * (1000.0 / scale),
        integrality=np.concatenate(model.whole),
        bounds=Bounds(0.0, np.concatenate(model.upper)),
        constraints=[model.constraint(), budget_rows(p.protect_cost, p.budget, n_columns=model.n_columns)],
        options={"mip_rel_gap": gap, "time_limit": time_limit},
    )
    if answer.x is None:
        plan = greedy(h * high, p.protect_cost, p.budget)
    else:
        plan = affordable(p.protect_cost, p.budget) & (answer.x[:n] > 0.5)
    bound = 0.0 if answer.mip_dual_bound is None else answer.mip_dual_bound * scale / 1000.0
    stopped = {0: "", 1: "time limit"}.get(answer.status, str(answer.message))
    return Found(plan, max(bound, 0.0), int(answer.mip_node_count or 0), stopped)
