"""One data set of a task: its plans are scored against the true law, in percent of what the best plans cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from stormgym.agents.decisions.generative import samples_of
from stormgym.agents.decisions.linear import GeneratorModel, LinearTask
from stormgym.agents.decisions.tasks import task_of
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.energy_scheduling import EnergySchedulingProblem
from stormgym.envs.decisions.fractional_knapsack import FractionalKnapsackProblem
from stormgym.envs.decisions.linear import LinearProblem
from stormgym.envs.decisions.portfolio import PortfolioProblem
from stormgym.envs.decisions.price_market import synthetic_prices
from stormgym.envs.decisions.problem import Cases
from stormgym.envs.decisions.shortest_path import ShortestPathProblem

RISKS = (0.1, 0.5, 1.0)
N_CONTEXTS = 60
"""Fresh test contexts of a data set."""
PlansAt = Callable[[float], Floats]
"""Plans `[E, n]` of the test contexts at a risk."""


@dataclass(frozen=True)
class Family:
    """A task of the tables."""

    name: str
    make: Callable[..., LinearProblem]
    n_samples: int = 200
    """Samples of a law that a plan is made for; portfolio needs more, or the optimiser's curse is all there is."""
    decimals: int = 2
    most_seeds: int = 10
    """Data sets, at most."""
    most_tuned: int = 10
    """Data sets on which laws are tuned, at most."""
    most_tail: int = 0
    """Of these, for risk 0.1, which takes longest."""
    most_risks: int = 0
    """Data sets on which laws are planned on at many risks, at most."""
    sweeps: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values of arguments that are varied one at a time."""


def _energy(instance: int, n_test: int, **arguments: Any) -> LinearProblem:
    del n_test  # the last fifth of its days, by time
    return EnergySchedulingProblem(synthetic_prices(instance=instance), **arguments)


FAMILIES: Mapping[str, Family] = {
    "path": Family(
        "Shortest path, 5 x 5 grid",
        ShortestPathProblem,
        most_tuned=8,
        most_tail=5,
        most_risks=5,
        sweeps={"degree": (2, 8), "noise": (0.25, 1.0), "grid": (6,)},
    ),
    "knapsack": Family(
        "Fractional knapsack, 50 items",
        FractionalKnapsackProblem,
        most_tuned=6,
        sweeps={"degree": (2, 8), "n_items": (100,)},
    ),
    "portfolio": Family(
        "Portfolio, 50 assets, 1,000 samples a plan",
        PortfolioProblem,
        n_samples=1_000,
        decimals=1,
        most_tuned=0,
    ),
    "energy": Family("Energy scheduling, a made-up market", _energy, most_seeds=5, most_tuned=0),
}


class DataSet:
    """Task, test contexts, and what is best for the true law there.

    Args:
        family: of `FAMILIES`.
        instance: seed of the data.
        arguments: of the problem.
        n_contexts: of the test.
    """

    def __init__(self, family: str, instance: int, arguments: Mapping[str, Any], n_contexts: int = N_CONTEXTS) -> None:
        self.family = FAMILIES[family]
        self.problem = self.family.make(instance=instance, n_test=n_contexts, **arguments)
        task = task_of(self.problem)
        assert isinstance(task, LinearTask)
        self.task = task
        cases = self.problem.cases("test")
        # a recorded market has more days than contexts are needed: some of them, evenly
        self.test: Cases = cases.rows(np.linspace(0, len(cases) - 1, min(n_contexts, len(cases))).astype(np.int64))
        self._least: dict[float, Floats] = {}
        self.unit = float(np.abs(self.least(1.0)).sum())

    def least(self, risk: float) -> Floats:
        """True risk `[E]` of the best plans for it."""
        if risk not in self._least:
            plans = self.problem.true_plans(self.test, risk)
            self._least[risk] = self.problem.true_risk(plans, self.test, risk)
        return self._least[risk]

    def regret(self, plans: Floats, risk: float) -> float:
        """True regret in percent: one denominator for all risks."""
        gap = self.problem.true_risk(plans, self.test, risk) - self.least(risk)
        return 100.0 * float(gap.sum()) / self.unit

    def regrets(self, plans_at: PlansAt, risks: tuple[float, ...] = RISKS) -> dict[str, float]:
        """By risk."""
        return {f"{risk:g}": self.regret(plans_at(risk), risk) for risk in risks}

    def on_samples(self, model: GeneratorModel, seed: int, risks: tuple[float, ...] = RISKS) -> dict[str, float]:
        """Regrets of plans on a law's samples."""
        samples = samples_of(model, self.test, seed, 1 if model.n_samples == 1 else self.family.n_samples)
        decide = self.task.decision.decide
        return {f"{risk:g}": self.regret(decide(samples, risk), risk) for risk in risks}

    def true_samples(self, cases: Cases, n_samples: int, seed: int) -> Floats:
        """Samples `[S, E, n]` of the true law, apart from those that score."""
        return self.problem.true_outcomes(cases, n_samples, np.random.default_rng([9_019, seed]))


@lru_cache(maxsize=2)
def data_set(family: str, instance: int, arguments: tuple[tuple[str, Any], ...], small: bool) -> DataSet:
    """Made once for the cells that share it; the small form is for trials."""
    return DataSet(family, instance, dict(arguments), 6 if small else N_CONTEXTS)
