"""The network security game: which edges of a graph to watch when an attacker walks it at random (SO-EBM 4.3).

An attacker starts at a source and goes on until a target or a watched edge ends the walk. Of the edges at a node u it
takes the one to v with probability P_uv, a softmax of phi_v - omega a_uv: nodes attract by phi, covered edges deter. It
is caught on the way with probability a_uv, so M = P (1 - a) are the moves that succeed. With Q and R, the moves between
ordinary nodes and those into targets of utility u, the attacker gets on average

    loss(a, phi) = p0' ((1 + delta) I - Q)^-1 R u,

p0 uniform on the sources; delta ends a walk now and then and keeps the inverse tame. The defender minimises it over
0 <= a <= 1, sum a <= budget. It is not convex.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.decisions.problem import namespace
from stormgym.envs.risk import cvar, tail_weights

WALL = -1e9
"""Logit of a move that does not exist: its probability is exactly 0, and 0 times it is no NaN."""
STAGES = ((20, 0.05, 4), (40, 0.05, 1), (100, 0.1, 1))
"""Descent: steps, length of a step, and how many plans go on. Ends within 1e-7 of a local optimum (N = 50)."""
MOMENTUM = 0.8
CHUNK = 1024
"""Walks solved at a time: bounds the memory of a descent."""
FULL = 1 + 1e-12
"""Covers that use this share of the budget or less are feasible: sums round."""


class SecurityGame:
    """The game on one graph of N nodes and E undirected edges, a cover watching an edge in both directions.

    Args:
        edges: `[E, 2]` nodes.
        n_nodes: N.
        sources: nodes where attackers start, each as likely.
        targets: nodes where walks end, none of them a source.
        utility: `[len(targets)]` what reaching each is worth to the attacker.
        omega: how much cover deters.
        delta: see the module.

    Raises:
        ValueError: a source is a target, or a node that is no target has no edge.
    """

    def __init__(
        self,
        edges: ArrayLike,
        n_nodes: int,
        sources: ArrayLike,
        targets: ArrayLike,
        utility: ArrayLike,
        omega: float = 4.0,
        delta: float = 0.01,
    ) -> None:
        self.edges, self.n_nodes, self.omega = np.asarray(edges, dtype=np.int64), n_nodes, omega
        self.sources, self.targets = np.asarray(sources, dtype=np.int64), np.asarray(targets, dtype=np.int64)
        if (both := np.intersect1d(self.sources, self.targets)).size:
            raise ValueError(f"sources and targets must differ; nodes {both.tolist()} are both")
        self.utility = np.zeros(n_nodes)  # [N]
        self.utility[self.targets] = utility
        self.inner = np.setdiff1d(np.arange(n_nodes), self.targets)  # [I] nodes where a walk goes on
        m, n_edges = len(self.inner), len(self.edges)
        row = np.full(n_nodes, -1)
        row[self.inner] = np.arange(m)
        # Moves in a table [I, W], row by row those from a node to its neighbours. The last column is never used, so
        # that `entry` and `sides` can point to a move of probability 0 where there is none.
        degree = np.bincount(self.edges.ravel(), minlength=n_nodes)
        if not degree[self.inner].all():
            alone = self.inner[degree[self.inner] == 0].tolist()
            raise ValueError(f"every node that is no target must have an edge; nodes {alone} have none")
        width = int(degree.max()) + 1
        self.head = np.zeros((m, width), dtype=np.int64)  # [I, W] node that a move leads to
        self.edge = np.zeros((m, width), dtype=np.int64)  # [I, W] edge that it takes
        self.wall = np.full((m, width), WALL)  # [I, W] 0 where there is a move
        self.entry = np.repeat(np.arange(m) * width + width - 1, m).reshape(m, m)  # [I, I] moves of Q
        self.sides = np.full((2, n_edges), width - 1)  # [2, E] the moves of an edge
        used, taken = np.zeros(m, dtype=np.int64), np.zeros(n_edges, dtype=np.int64)
        for e, (u, v) in enumerate(self.edges.tolist()):
            for tail, head in ((row[u], v), (row[v], u)):
                if tail < 0:
                    continue  # walks end at targets
                column, move = used[tail], tail * width + used[tail]
                self.head[tail, column], self.edge[tail, column], self.wall[tail, column] = head, e, 0.0
                self.sides[taken[e], e] = move
                if row[head] >= 0:
                    self.entry[tail, row[head]] = move
                used[tail] += 1
                taken[e] += 1
        self.reward = self.utility[self.head] * (self.wall == 0)  # [I, W] u of the target that a move ends at
        self.first = np.bincount(row[self.sources], minlength=m) / len(self.sources)  # [I] p0 on inner nodes
        self.damped = (1 + delta) * np.eye(m)

    def _walks(self, coverage: Any, phi: Any) -> tuple[Any, Any, Any, Any]:
        """Cover and probability of moves `[..., I, W]`, the matrix (1 + delta) I - Q `[..., I, I]`, and R u `[..., I]`.

        Every row of a batch goes through the same operations whatever the other rows are: sums run over the last axis,
        and matrices are solved one by one.
        """
        xp = namespace(coverage)
        cover = pick(coverage, self.edge)
        pull = pick(phi, self.head) - self.omega * cover + xp.asarray(self.wall)
        weight = xp.exp(pull - xp.amax(pull, axis=-1, keepdims=True))
        chance = weight / xp.sum(weight, axis=-1, keepdims=True)  # P
        free = chance * (1 - cover)  # M
        moves = pick(free.reshape((*free.shape[:-2], -1)), self.entry)  # Q
        return cover, chance, xp.asarray(self.damped) - moves, xp.sum(free * xp.asarray(self.reward), axis=-1)

    def cost(self, coverage: Any, phi: Any) -> Any:
        """Loss `[...]` of covers `[..., E]` against attackers `[..., N]`, broadcast; both arrays or both tensors."""
        xp = namespace(coverage)
        _, _, matrix, gain = self._walks(coverage, phi)
        value = xp.linalg.solve(matrix, gain[..., None])[..., 0]
        return xp.sum(value * xp.asarray(self.first), axis=-1)

    def cost_and_slope(self, coverage: Floats, phi: Floats) -> tuple[Floats, Floats]:
        """Loss `[...]` and its gradient in the cover `[..., E]`, by the adjoint walk: two solves, whatever E is."""
        cover, chance, matrix, gain = self._walks(coverage, phi)
        value = np.linalg.solve(matrix, gain[..., None])[..., 0]  # [..., I] what a walk from a node will bring
        visits = np.linalg.solve(np.swapaxes(matrix, -1, -2), self.first[:, None])[..., 0]  # [..., I] expected
        worth = np.zeros((*value.shape[:-1], self.n_nodes))
        worth[..., self.inner] = value
        at_stake = visits[..., None] * pick(worth + self.utility, self.head)  # d loss / d M
        lost = at_stake * (1 - cover)  # d loss / d P
        to_logit = chance * (lost - (chance * lost).sum(axis=-1, keepdims=True))  # softmax
        by_move = (-self.omega * to_logit - chance * at_stake).reshape((*chance.shape[:-2], -1))
        slope: Floats = pick(by_move, self.sides[0]) + pick(by_move, self.sides[1])
        return (value * self.first).sum(axis=-1), slope

    def minimise(self, samples: Floats, budget: float, alpha: float = 1.0) -> Floats:
        """Covers of least mean loss over samples, or CVaR, the best that projected gradient with momentum finds.

        Many starts go a few steps, the best of them go on, and the best goes to the end. Deterministic, and a row's
        result does not depend on the others.

        Args:
            samples: `[S, B, N]` attackers.
            budget: sum of a cover, at most.
            alpha: share of worst samples whose mean is taken.

        Returns:
            `[B, E]`.
        """
        starts, by_row = self.starts(budget), np.swapaxes(samples, 0, 1)  # [K, E], [B, S, N]
        size = max(1, CHUNK // (len(starts) * len(samples)))
        found = [self._descend(by_row[i : i + size], starts, budget, alpha) for i in range(0, len(by_row), size)]
        return np.concatenate(found) if found else np.zeros((0, len(self.edges)))

    def _descend(self, samples: Floats, starts: Floats, budget: float, alpha: float) -> Floats:
        samples = np.ascontiguousarray(samples[:, None])  # [B, 1, S, N]
        plans = np.broadcast_to(starts, (len(samples), *starts.shape))  # [B, K, E]
        for stage, (n_steps, length, n_kept) in enumerate(STAGES):
            best, lowest, speed = plans, np.full(plans.shape[:-1], np.inf), np.zeros(plans.shape)
            for t in range(n_steps + 1):
                cost, slope = self.cost_and_slope(plans[:, :, None], samples)  # [B, K, S], [B, K, S, E]
                if alpha == 1.0:
                    cost, slope = cost.mean(axis=-1), slope.mean(axis=2)
                else:  # the slope of a CVaR is that of the samples in the tail
                    slope = (tail_weights(cost, alpha)[..., None] * slope).sum(axis=2)
                    cost = cvar(cost, alpha)
                better = cost < lowest
                lowest, best = np.where(better, cost, lowest), np.where(better[..., None], plans, best)
                speed = MOMENTUM * speed + slope
                # the last stage shortens its steps to nothing, by a cosine
                step = length * (0.5 + 0.5 * np.cos(np.pi * t / n_steps) if stage == len(STAGES) - 1 else 1.0)
                plans = to_capped_simplex(plans - step * speed, budget)
            order = np.argsort(lowest, axis=-1, kind="stable")[:, :n_kept, None]
            plans = np.take_along_axis(best, order, axis=1)
        return plans[:, 0]

    def starts(self, budget: float) -> Floats:
        """Covers `[K, E]` that a descent begins from: none, even, around each source and target, and at random."""
        around = [(self.edges == node).any(axis=1) for node in (*self.sources, *self.targets)]
        rng = np.random.default_rng([len(self.edges), 0])
        random = rng.exponential(size=(4, len(self.edges))) ** 3
        shares = np.concatenate([np.ones((1, len(self.edges))), np.array(around, dtype=np.float64), random])
        shares *= budget / np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
        return np.concatenate([np.zeros((1, len(self.edges))), to_capped_simplex(shares, budget)])


def pick(array: Any, index: Ints) -> Any:
    """Entries `array[..., index]`, with the batch outermost in memory: sums are then the same whatever its size."""
    return np.take(array, index, axis=-1) if isinstance(array, np.ndarray) else array[..., index]


def to_capped_simplex(plans: Floats, budget: float) -> Floats:
    """The points of {0 <= a <= 1, sum a <= budget} nearest to `plans` `[..., E]`; those of the set stay as they are.

    The nearest point is clip(a - tau, 0, 1). Its sum falls with tau along straight lines between the values a and
    a - 1, where a coordinate begins to grow or is full. The line that crosses the budget gives tau.
    """
    nearest = np.clip(plans, 0.0, 1.0)
    over = nearest.sum(axis=-1) > budget * FULL
    if not over.any():
        return nearest
    a = plans[over]  # [R, E]
    kinks = np.concatenate([a, a - 1], axis=-1)
    order = np.argsort(-kinks, axis=-1, kind="stable")
    kinks = np.take_along_axis(kinks, order, axis=-1)  # [R, 2 E] falling
    growing = np.cumsum(np.where(order < a.shape[-1], 1, -1), axis=-1)  # coordinates that grow below each kink
    gained = np.cumsum(growing[:, :-1] * -np.diff(kinks, axis=-1), axis=-1)  # [R, 2 E - 1] sum at kinks 1, 2, ...
    row, at = np.arange(len(a)), (gained >= budget).argmax(axis=-1)
    tau = kinks[row, at + 1] + (gained[row, at] - budget) / growing[row, at]
    nearest[over] = np.clip(a - tau[:, None], 0.0, 1.0)
    return nearest
