"""Synthetic costs of known law: what portfolio, knapsack and shortest path of Gen-DFL have in common (section 4).

Features x ~ N(0, I), a mixing matrix B of zeros and ones, and a mean m(x) that is a polynomial of B x; what comes is
drawn around it. Each instance draws B, all that a task adds to it, and its data. The published tables keep one data set
and vary the training alone, so that their spread is that of training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.arguments import check_cells, check_number, check_whole
from stormgym.envs.decisions.problem import SPLITS, Cases, Split
from stormgym.envs.decisions.sampled_law import SampledLaw
from stormgym.envs.risk import check_alpha


class SyntheticCosts(SampledLaw):
    """Costs or gains `[n]` of a decision's parts, known by features `[p]`.

    Train, validation and test are drawn from streams of their own, row by row: more cases of one split change neither
    the others nor its first cases.

    Args:
        n: parts of a decision.
        n_features: p.
        degree: of the polynomial, 1 to 100.
        noise: of what comes around its mean; see the task.
        n_train, n_validation, n_test: recorded cases of each split.
        instance: seed.
        risk: see `LinearProblem`.

    Raises:
        TypeError, ValueError: an argument out of its range.
    """

    stream: ClassVar[int]
    """Keeps the data of tasks apart."""
    knows_truth = True
    key: tuple[Any, ...]

    def __init__(
        self,
        n: int,
        *,
        n_features: int = 5,
        degree: int = 4,
        noise: float = 0.0,
        n_train: int = 256,
        n_validation: int = 64,
        n_test: int = 500,
        instance: int = 0,
        risk: float = 1.0,
    ) -> None:
        self.n_features = check_whole("n_features", n_features, 1)
        self.degree = check_whole("degree", degree, 1, most=MOST_DEGREE)
        self.noise = check_number("noise", noise)
        sizes = {"n_train": n_train, "n_validation": n_validation, "n_test": n_test}
        self._sizes = {split: check_whole(name, sizes[name], 1) for split, name in _SIZE_OF.items()}
        self.instance = check_whole("instance", instance, 0, most=math.inf)
        self.risk = check_alpha(risk, "risk")
        check_cells(n * self.n_features, "what is decided, times n_features,")
        check_cells(
            (n + self.n_features) * sum(self._sizes.values()), "what is decided and n_features, times all cases,"
        )
        self.n = n
        self.low, self.high = np.zeros(n), np.ones(n)
        # what an instance is made of: subclasses go on drawing from it
        self._made_by = np.random.default_rng([self.instance, self.stream])
        self.mixing: Floats = self._made_by.integers(0, 2, (n, self.n_features)).astype(np.float64)  # B [n, p]
        self.key = (type(self).__name__, n, n_features, degree, noise, *self._sizes.values(), instance, self.risk)
        self._recorded: dict[Split, Cases] = {}

    @property
    def context_shapes(self) -> Mapping[str, tuple[int, ...]]:  # type: ignore[override]  # constants differ
        """Features, and what never changes."""
        return {"features": (self.n_features,), **{name: v.shape for name, v in self.constants().items()}}

    def constants(self) -> dict[str, Floats]:
        """What is known and never changes, by name."""
        return {}

    def mixed(self, features: Floats) -> Floats:
        """B x / sqrt p `[E, n]` of features `[E, p]`."""
        # not a matrix product, whose last bits depend on how many rows there are
        return np.einsum("ep,np->en", features, self.mixing) / np.sqrt(self.n_features)

    def mean_of(self, features: Floats) -> Floats:
        """m(x) `[E, n]` of features `[E, p]`."""
        raise NotImplementedError(f"{type(self).__name__} must write mean_of()")

    def true_mean(self, cases: Cases) -> Floats:
        """m(x) `[E, n]`."""
        return self.mean_of(cases.context["features"])

    def _cases(self, split: Split) -> Cases:
        if split not in self._recorded:
            n, stream = self._sizes[split], [self.instance, self.stream, 1 + SPLITS.index(split)]
            features = np.random.default_rng([*stream, 0]).standard_normal((n, self.n_features))
            context = {"features": features, **{k: np.tile(v, (n, 1)) for k, v in self.constants().items()}}
            cases = Cases(context, np.zeros((n, self.n)), number=np.arange(n))
            noise = self.law_noise((1, n), np.random.default_rng([*stream, 1]))
            self._recorded[split] = Cases(context, self.outcomes_of(cases, noise)[0], number=cases.number)
        return self._recorded[split]


class MultipliedCosts(SyntheticCosts):
    """c = m(x) (1 + noise u), u uniform on (-1, 1), independent from part to part."""

    def __init__(self, n: int, *, noise: float = 1.0, **kwargs: Any) -> None:
        super().__init__(n, noise=noise, **kwargs)

    def law_noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
        """u `[*shape, n]`."""
        return rng.uniform(-1.0, 1.0, (*shape, self.n))

    def outcomes_of(self, cases: Cases, noise: Floats) -> Floats:
        """c `[S, E, n]` of u `[S, E, n]` or `[S, 1, n]`."""
        outcomes: Floats = self.true_mean(cases) * (1.0 + self.noise * noise)
        return outcomes

    def _sampled_costs(self, plans: Floats, cases: Cases, noise: Floats) -> Floats:
        parts = self.sense * self.true_mean(cases) * plans  # [E, n]
        costs: Floats = parts.sum(axis=1) + self.noise * (noise[:, 0] @ parts.T)
        return costs


MOST_DEGREE = 100
"""3.5 to the power of more than 566 is no number any more."""
_SIZE_OF: dict[Split, str] = {"train": "n_train", "validation": "n_validation", "test": "n_test"}
