"""Shortest path through a grid before the costs of its arcs are known (Gen-DFL section 6.1, B.3).

    f(c, w) = c.w,   w a unit flow from the first to the last node;   c = m(x) (1 + noise u),   u uniform on (-1, 1)

with m(x) = (Bx / sqrt p + 3)^degree / 3.5^degree + 1. Arcs go right or down: first all to the right, row by row, then
all down. Flows may split, and where risk counts splitting is better than any single path. The paper prints w in
[0, 1]^n alone, of which the best decision is no arc at all.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from math import comb
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from scipy import sparse

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.core import check_choice
from stormgym.envs.decisions.arguments import check_whole
from stormgym.envs.decisions.problem import Cases
from stormgym.envs.decisions.synthetic_costs import MultipliedCosts
from stormgym.envs.risk import Polytope, cvar

Actions = Literal["flow", "moves"]
ACTIONS: tuple[Actions, ...] = ("flow", "moves")
MOST_PATHS = 5_000
"""All are looked at for the best single path under risk; on larger grids the best flow takes its place."""
MOST_GRID = 100
"""The balance of its nodes is kept as one array of 2 g^4 numbers."""
KEPT = 1e-6
"""How far a flow may miss a balance or a bound and still count as one."""


class ShortestPathProblem(MultipliedCosts):
    """Flows `[n]` on the n = 2 g (g - 1) arcs of a grid of g x g nodes.

    Args:
        grid: g, 2 to 100.
        noise: of the costs, as a share of their mean.
        actions: `flow`: a flow, which may split; `moves`: 2 (g - 1) steps, each right (0) or down (1). Decisions are
            then single paths, and a move off the grid becomes the other one.
        **kwargs: of `SyntheticCosts`.
    """

    stream = 8_003

    def __init__(self, grid: int = 5, *, noise: float = 0.5, actions: Actions = "flow", **kwargs: Any) -> None:
        self.grid = check_whole("grid", grid, 2, most=MOST_GRID)
        check_choice("actions", actions, ACTIONS)
        super().__init__(2 * self.grid * (self.grid - 1), noise=noise, **kwargs)
        self.actions: Actions = actions
        self.integral = actions == "moves"
        self.arcs = arcs_of(self.grid)
        node = self.arcs @ np.array([self.grid, 1])  # [n, 2] from, to
        arc, n_nodes = np.arange(self.n), self.grid**2
        balance = np.zeros((n_nodes, self.n))  # out minus in
        balance[node[:, 0], arc], balance[node[:, 1], arc] = 1.0, -1.0
        # the last node's balance follows from the others
        self.balance, self.supply = balance[:-1], np.eye(n_nodes)[0, :-1]
        self.polytope = Polytope(
            np.zeros(self.n), np.ones(self.n), A_eq=sparse.csr_matrix(self.balance), b_eq=self.supply
        )
        self.key = (*self.key, actions)

    def mean_of(self, features: Floats) -> Floats:
        """m(x) `[E, n]`."""
        mean: Floats = (self.mixed(features) + 3.0) ** self.degree / 3.5**self.degree + 1.0
        return mean

    def oracle(self, prices: Floats) -> Floats:
        """The cheapest paths `[B, n]` at prices `[B, n]` of any sign, by dynamic programming from the last node."""
        g = self.grid
        right, down = self._by_node(prices)
        rest = np.full((len(prices), g + 1, g + 1), np.inf)  # from each node to the last
        rest[:, g - 1, g - 1] = 0.0
        turns = np.zeros((len(prices), g, g), dtype=bool)  # whether to go down
        for r in range(g - 1, -1, -1):
            for c in range(g - 1, -1, -1):
                if r == c == g - 1:
                    continue
                by_right, by_down = right[:, r, c] + rest[:, r, c + 1], down[:, r, c] + rest[:, r + 1, c]
                turns[:, r, c] = by_down < by_right
                rest[:, r, c] = np.minimum(by_right, by_down)
        return self._walk(turns)

    def _by_node(self, prices: Floats) -> tuple[Floats, Floats]:
        """Prices of the arcs to the right of and down from each node, `[B, g, g]` each; 0 where there is none."""
        g, half = self.grid, self.n // 2
        right = np.pad(prices[:, :half].reshape(-1, g, g - 1), ((0, 0), (0, 0), (0, 1)))
        down = np.pad(prices[:, half:].reshape(-1, g - 1, g), ((0, 0), (0, 1), (0, 0)))
        return right, down

    def _walk(self, turns: Bools) -> Floats:
        """Paths `[B, n]` that go down where `turns` `[B, g, g]` says so and at the right edge, else right."""
        g, row = self.grid, np.arange(len(turns))
        plans = np.zeros((len(turns), self.n))
        r, c = np.zeros_like(row), np.zeros_like(row)
        for _ in range(2 * (g - 1)):
            goes_down = (turns[row, r, c] | (c == g - 1)) & (r < g - 1)
            plans[row, np.where(goes_down, self.n // 2 + r * g + c, r * (g - 1) + c)] = 1.0
            r, c = r + goes_down, c + ~goes_down
        return plans

    def project(self, plans: Floats) -> Floats:
        """The nearest flows `[B, n]`, or single paths (with moves); those that are one stay as they are.

        A quadratic program each for the flows; |z - w|^2 is linear in z of zeros and ones, so that the nearest path is
        a cheapest one.
        """
        nearest = np.clip(plans, 0.0, 1.0)
        off = np.einsum("bn,mn->bm", nearest, self.balance) - self.supply
        wrong = (np.abs(off) > KEPT).any(axis=1) | (np.abs(nearest - plans) > KEPT).any(axis=1)
        if self.integral:
            whole = np.round(nearest)
            wrong |= (np.abs(whole - nearest) > KEPT).any(axis=1)
            nearest = whole
            nearest[wrong] = self.oracle(1.0 - 2.0 * plans[wrong])
            return nearest
        for i in np.flatnonzero(wrong):
            nearest[i] = self._nearest_flow(plans[i])
        return nearest

    def _nearest_flow(self, plan: Floats) -> Floats:
        """min |w - plan|^2 / 2 over unit flows."""
        import clarabel

        eye = sparse.eye(self.n, format="csc")
        rows: Any = sparse.vstack([sparse.csc_matrix(self.balance), eye, -eye]).tocsc()
        right = np.concatenate([self.supply, np.ones(self.n), np.zeros(self.n)])
        cones = [clarabel.ZeroConeT(len(self.supply)), clarabel.NonnegativeConeT(2 * self.n)]
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
        answer = clarabel.DefaultSolver(eye, -plan, rows, right, cones, settings).solve()
        if str(answer.status) not in ("Solved", "AlmostSolved"):
            raise RuntimeError(f"no flow was found: Clarabel ends with {answer.status}")
        return np.clip(np.array(answer.x), 0.0, 1.0)

    @cached_property
    def _paths(self) -> Floats:
        """All single paths `[P, n]`."""
        n_steps = 2 * (self.grid - 1)
        down = np.array(list(combinations(range(n_steps), self.grid - 1)))
        moves = np.zeros((len(down), n_steps), dtype=np.int64)
        np.put_along_axis(moves, down, 1, axis=1)
        return self.plans_of(moves)[0]

    def _true_plans(self, cases: Cases, alpha: float) -> Floats:
        if alpha == 1.0 or not self.integral or comb(2 * (self.grid - 1), self.grid - 1) > MOST_PATHS:
            return super()._true_plans(cases, alpha)
        noise, plans = self._planning_noise(), np.empty((len(cases), self.n))
        for i in range(len(cases)):
            each = cases.rows(np.full(len(self._paths), i))
            plans[i] = self._paths[cvar(self._sampled_costs(self._paths, each, noise).T, alpha).argmin()]
        return plans

    @property
    def action_space(self) -> spaces.Space[Any]:
        """Flows, or moves."""
        return super().action_space if not self.integral else spaces.MultiDiscrete([2] * (2 * (self.grid - 1)))

    def plans_of(self, actions: Any) -> tuple[Floats, Bools]:
        """Flows `[B, n]`; a move off the grid becomes the other one and counts as repaired."""
        if not self.integral:
            return super().plans_of(actions)
        g, row = self.grid, np.arange(len(actions))
        plans, repaired = np.zeros((len(actions), self.n)), np.zeros(len(actions), dtype=bool)
        r, c = np.zeros_like(row), np.zeros_like(row)
        for wanted in np.asarray(actions).T > 0:
            goes_down = (wanted | (c == g - 1)) & (r < g - 1)
            repaired |= goes_down != wanted
            plans[row, np.where(goes_down, self.n // 2 + r * g + c, r * (g - 1) + c)] = 1.0
            r, c = r + goes_down, c + ~goes_down
        return plans, repaired

    def actions_of(self, plans: Floats) -> Any:
        """Flows, or the moves `[B, 2 (g - 1)]` along the nearest single path."""
        if not self.integral:
            return plans
        paths = self.project(plans)
        steps = self.arcs.sum(axis=2)[:, 0]  # at which step each arc is gone
        down = np.arange(self.n) >= self.n // 2
        return np.stack([(paths * (down & (steps == t))).sum(axis=1) for t in range(2 * (self.grid - 1))], 1).astype(
            np.int64
        )

    def picture(self, axes: Any, case: Cases, plan: Floats | None) -> None:
        """The grid: arcs as dear as they are dark, the flow as wide as it is, and the best path in hindsight."""
        from matplotlib.collections import LineCollection

        ends = np.stack([self.arcs[..., 1], -self.arcs[..., 0]], axis=-1).astype(np.float64)  # [n, 2, 2] x, y
        if plan is None:
            axes.add_collection(LineCollection(list(ends), colors="0.8", linewidths=2))
        else:
            dear = LineCollection(list(ends), cmap="Greys", linewidths=3, zorder=1)
            dear.set_array(case.outcomes[0])
            dear.set_clim(0.0, float(case.outcomes.max()))
            axes.add_collection(dear)
            axes.figure.colorbar(dear, ax=axes, label="cost of an arc")
            best = self.best(case.outcomes)[0] > 0.5
            aside = ends[best] + 0.06
            axes.add_collection(LineCollection(list(aside), colors="#D55E00", linewidths=1.5, linestyles=":", zorder=3))
            axes.add_collection(LineCollection(list(ends), colors="#0072B2", linewidths=9 * plan, alpha=0.7, zorder=2))
            axes.plot([], [], color="#0072B2", linewidth=5, alpha=0.7, label="flow")
            axes.plot([], [], ":", color="#D55E00", label="best path in hindsight")
            axes.legend(loc="center right", bbox_to_anchor=(0.0, 0.5), frameon=False)
        nodes = ends.reshape(-1, 2)
        axes.plot(*nodes.T, "o", color="0.4", markersize=4, zorder=4)
        axes.plot([0, self.grid - 1], [0, 1 - self.grid], "s", color="#009E73", markersize=9, zorder=5)
        axes.set_aspect("equal")
        axes.axis("off")


def arcs_of(grid: int) -> Ints:
    """Ends `[n, 2, 2]` of the arcs as (row, column): from, to."""
    row, column = np.divmod(np.arange(grid * (grid - 1)), grid - 1)
    right = np.stack([np.stack([row, column], 1), np.stack([row, column + 1], 1)], axis=1)
    row, column = np.divmod(np.arange(grid * (grid - 1)), grid)
    down = np.stack([np.stack([row, column], 1), np.stack([row + 1, column], 1)], axis=1)
    return np.concatenate([right, down]).astype(np.int64)
