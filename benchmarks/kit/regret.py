"""What benchmarks of learnt forecasts share: a cell's costs, and regret, differences and headroom over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from stormgym.agents.statistics import Estimate, mean_estimate

K = TypeVar("K")


@dataclass(frozen=True)
class Result:
    """What a cell gave."""

    optimum: float
    """Mean cost of the plans for what came."""
    cost: dict[str, float]
    """Mean cost of each agent on the same storms."""
    best_epoch: dict[str, int]
    """Epoch that fine-tuning kept; 0: its start."""
    error: dict[str, float] = field(default_factory=dict)
    """Mean squared error of forecasts, where it was measured."""

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Result:
        """A result as it is kept."""
        return cls(**kept)

    def regret(self, agent: str) -> float:
        """Mean cost above the optimum."""
        return self.cost[agent] - self.optimum


Group = list[Result]
"""Seeds of one setting."""


def grouped(results: dict[K, Result], key: Callable[[K], Any]) -> dict[Any, Group]:
    """Results of the seeds of each value of `key`, values in order."""
    values = sorted({key(cell) for cell in results})
    return {value: [result for cell, result in results.items() if key(cell) == value] for value in values}


def joined(results: Mapping[K, Result], others: Mapping[K, Result], same: Callable[[K], Any]) -> dict[K, Result]:
    """Results with the agents of other cells beside their own.

    Agents that came later have cells of their own, so that those of before stay as they were measured.

    Args:
        results, others: cells of each; where both have an agent `results` counts.
        same: what cells of the same storms share, so that differences are paired.
    """
    more = {same(cell): result for cell, result in others.items()}
    found = {}
    for cell, one in results.items():
        other = more.get(same(cell), one)
        parts = ({**getattr(other, name), **getattr(one, name)} for name in ("cost", "best_epoch", "error"))
        found[cell] = Result(one.optimum, *parts)
    return found


def regrets(group: Group, agent: str) -> Estimate:
    """Mean regret over seeds."""
    return mean_estimate([result.regret(agent) for result in group])


def difference(group: Group, agent: str, other: str = "two-stage") -> Estimate:
    """Mean over seeds of the paired difference of costs."""
    return mean_estimate([result.cost[agent] - result.cost[other] for result in group])


def headroom(group: Group, agent: str) -> float:
    """Share of what two-stage leaves above the floor that an agent takes."""
    left = np.mean([result.cost["two-stage"] - result.cost["floor"] for result in group])
    taken = np.mean([result.cost["two-stage"] - result.cost[agent] for result in group])
    return float(taken / left)
