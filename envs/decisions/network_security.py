"""Where to put checkpoints in a network before attackers come (SO-EBM 4.3): the decision problem.

The game on a graph is in `security_game`, the environment in `network_security_env`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import connected_components, shortest_path

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.decisions.arguments import check_cells, check_number, check_whole
from stormgym.envs.decisions.problem import SPLITS, Cases, DecisionProblem, Split
from stormgym.envs.decisions.security_game import SecurityGame, to_capped_simplex

N_CASES: dict[Split, int] = {"train": 70, "validation": 30, "test": 50}
N_FEATURES = 16
MOST_GRAPHS = 10_000
"""Graphs drawn, at most, until one is connected."""
LEAST_SPREAD = 0.05
"""Of `usual`: learners may try edges that no past optimum covers."""


def defender_loss(
    edges: ArrayLike,
    coverage: ArrayLike,
    phi: ArrayLike,
    *,
    sources: ArrayLike,
    targets: ArrayLike,
    utility: ArrayLike,
    omega: float = 4.0,
    delta: float = 0.01,
) -> float:
    """Expected utility of one attacker against one cover.

    Args:
        edges: `[E, 2]` nodes, undirected.
        coverage: `[E]` probability that each is watched.
        phi: `[N]` attractiveness of nodes.
        sources, targets, utility, omega, delta: see `SecurityGame`.

    Raises:
        ValueError: see `SecurityGame`.
    """
    a, y = np.asarray(coverage, dtype=np.float64), np.asarray(phi, dtype=np.float64)
    return float(SecurityGame(edges, len(y), sources, targets, utility, omega, delta).cost(a, y))


def random_geometric(n_nodes: int, radius: float, rng: np.random.Generator) -> tuple[Floats, Bools]:
    """Nodes uniform on the unit square, joined when at most `radius` apart; drawn again until connected.

    Returns:
        Places `[N, 2]` and which nodes are neighbours `[N, N]`.

    Raises:
        ValueError: none of `MOST_GRAPHS` graphs is connected.
    """
    for _ in range(MOST_GRAPHS):
        place = rng.random((n_nodes, 2))
        near: Bools = ((place[:, None] - place) ** 2).sum(axis=-1) <= radius**2
        np.fill_diagonal(near, False)
        if near.any(axis=1).all() and connected_components(near, directed=False, return_labels=False) == 1:
            return place, near
    raise ValueError(
        f"no graph of {MOST_GRAPHS} was connected with n_nodes={n_nodes}, radius={radius}; take a larger radius"
    )


class NetworkSecurityProblem(DecisionProblem):
    """Cover `[E]` of edges against attackers that differ in what attracts them, phi `[N]`, seen through features.

    One graph an instance. phi is minus the hops to the nearest target plus U(-1, 1). With A the adjacency that graph
    convolutions use, D^-1/2 (A + I) D^-1/2, features are h W2 + noise, h = relu(A phi W0 + phi W1 + b) `[N, 16]`, with
    weights of the instance, normal with deviation 1 (W2: 1/4).

    A noise of 0.2 leaves next to nothing to gain beyond a plan on a fitted forecast: it is within 0.01 of the optimum.
    At 1.5 the features tell so little that one fixed cover can be better.

    Args:
        n_nodes: N.
        radius: largest distance of neighbours on the unit square.
        noise: deviation of the noise of features.
        budget: sum of a cover, at most.
        n_sources, n_targets: nodes where attackers start, and those that they want.
        instance: seed of the graph, the weights and the recorded cases.

    Raises:
        TypeError, ValueError: an argument out of its range, or no connected graph.
    """

    def __init__(
        self,
        n_nodes: int = 50,
        radius: float = 0.2,
        noise: float = 0.7,
        budget: float = 3.0,
        n_sources: int = 5,
        n_targets: int = 5,
        instance: int = 0,
    ) -> None:
        check_whole("n_sources", n_sources, 1)
        check_whole("n_targets", n_targets, 1)
        check_whole("n_nodes", n_nodes, n_sources + n_targets, " (sources and targets are different nodes)")
        check_cells(int(n_nodes) ** 2, "n_nodes, squared,")
        check_whole("instance", instance, 0, most=math.inf)
        check_number("radius", radius, above=0)
        check_number("noise", noise)
        check_number("budget", budget, above=0)
        self.budget, self.noise, self.instance = float(budget), float(noise), int(instance)
        self.key = ("network-security", n_nodes, radius, noise, budget, n_sources, n_targets, instance)
        rng = np.random.default_rng([self.instance, 0])
        self.place, near = random_geometric(n_nodes, radius, rng)
        chosen = rng.permutation(n_nodes)[: n_sources + n_targets]
        sources, targets = chosen[:n_sources], chosen[n_sources:]
        utility = 5 + 5 * rng.random(n_targets)
        self.game = SecurityGame(np.argwhere(np.triu(near)), n_nodes, sources, targets, utility)
        self.hops: Floats = shortest_path(near, unweighted=True, indices=targets).min(axis=0)  # [N] to a target
        looped = near + np.eye(n_nodes)
        scale = 1 / np.sqrt(looped.sum(axis=1))
        self.adjacency: Floats = scale[:, None] * looped * scale  # [N, N] D^-1/2 (A + I) D^-1/2
        self._weights = (*rng.standard_normal((3, N_FEATURES)), rng.standard_normal((N_FEATURES, N_FEATURES)) / 4)
        self.n = len(self.game.edges)
        self.low, self.high = np.zeros(self.n), np.ones(self.n)
        self.context_shapes = {"features": (n_nodes, N_FEATURES)}
        # dictionaries, so that `for_planners` shares what has been computed
        self._recorded: dict[Split, Cases] = {}
        self._best_costs: dict[Split, Floats] = {}
        self._usual: list[Floats] = []

    @property
    def usual(self) -> Floats:
        """Centre and spread `[2, E]` of the best covers in hindsight on the training cases."""
        if not self._usual:
            best = self.best(self.cases("train").outcomes)
            self._usual.append(np.stack([best.mean(axis=0), np.maximum(best.std(axis=0), LEAST_SPREAD)]))
        return self._usual[0]

    def _cases(self, split: Split) -> Cases:
        if split not in self._recorded:
            stream = 1 + SPLITS.index(split)
            rngs = [np.random.default_rng([self.instance, stream, i]) for i in range(N_CASES[split])]
            fresh = self._simulate(rngs)
            self._recorded[split] = Cases(fresh.context, fresh.outcomes, number=np.arange(len(fresh)))
        return self._recorded[split]

    def _simulate(self, rngs: list[np.random.Generator]) -> Cases:
        """A fresh case a generator; row by row, so that none depends on how many there are."""
        phi = np.empty((len(rngs), self.game.n_nodes))
        features = np.empty((len(rngs), self.game.n_nodes, N_FEATURES))
        w0, w1, b, w2 = self._weights
        for i, rng in enumerate(rngs):
            phi[i] = rng.uniform(-1, 1, self.game.n_nodes) - self.hops
            hidden = np.maximum(np.outer(self.adjacency @ phi[i], w0) + np.outer(phi[i], w1) + b, 0)
            features[i] = hidden @ w2 + self.noise * rng.standard_normal(features[i].shape)
        return Cases({"features": features}, phi)

    def draw(self, rngs: list[np.random.Generator], split: Split) -> Cases:
        """One case a generator: a recorded one at random, a fresh one for `test`."""
        return self._simulate(rngs) if split == "test" else super().draw(rngs, split)

    def cost(self, plans: Any, outcomes: Any) -> Any:
        """What attackers `[..., N]` get on average `[...]` against covers `[..., E]`, broadcast; arrays or tensors."""
        return self.game.cost(plans, outcomes)

    def project(self, plans: Floats) -> Floats:
        """The nearest covers `[..., E]` with 0 <= a <= 1 and sum a <= budget; those that keep both stay as they are."""
        return to_capped_simplex(plans, self.budget)

    def best(self, outcomes: Floats) -> Floats:
        """The best covers `[B, E]` that a descent from many starts finds against known attackers `[B, N]`."""
        return self.best_mean(outcomes[None])

    def best_mean(self, samples: Floats, alpha: float = 1.0) -> Floats:
        """The best covers `[B, E]` known for the mean over samples `[S, B, N]` of attackers, or their worst share."""
        return self.game.minimise(samples, self.budget, alpha)

    def picture(self, axes: Any, case: Cases, plan: Floats | None) -> None:
        """A map: edges as wide as they are covered, sources, targets, and nodes as dark as they attract."""
        from matplotlib.collections import LineCollection

        place = self.place
        ends = place[self.game.edges]  # [E, 2, 2]
        axes.add_collection(LineCollection(list(ends), colors="0.8", linewidths=0.8, zorder=1))
        if plan is not None:
            widths = 9 * plan
            axes.add_collection(LineCollection(list(ends), colors="#0072B2", linewidths=widths, zorder=2))
            axes.scatter(*place.T, s=26, c=case.outcomes[0], cmap="Greys", edgecolors="0.4", linewidths=0.5, zorder=3)
        else:  # what attracts is not known yet
            axes.scatter(*place.T, s=26, c="white", edgecolors="0.4", linewidths=0.5, zorder=3)
        marks: tuple[tuple[Ints, str, str, str], ...] = (
            (self.game.sources, "s", "#E69F00", "source"),
            (self.game.targets, "*", "#D55E00", "target"),
        )
        for nodes, marker, colour, label in marks:
            size = 60 if marker == "s" else 22 * self.game.utility[nodes]
            axes.scatter(*place[nodes].T, s=size, c=colour, marker=marker, label=label, zorder=4)
        axes.set_aspect("equal")
        axes.axis("off")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
