"""Small linear decisions that the tests of losses share."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stormgym.agents.decisions.linear import LinearCosts, LinearTask
from stormgym.envs.decisions.fractional_knapsack import FractionalKnapsackProblem
from stormgym.envs.decisions.portfolio import PortfolioProblem
from stormgym.envs.decisions.shortest_path import ShortestPathProblem

SIZES: dict[str, Any] = {"n_train": 24, "n_validation": 12, "n_test": 8}
PROBLEMS: dict[str, Any] = {
    "path": lambda: ShortestPathProblem(3, **SIZES),
    "knapsack": lambda: FractionalKnapsackProblem(8, **SIZES),
    "portfolio": lambda: PortfolioProblem(6, **SIZES),
}


@pytest.fixture(params=list(PROBLEMS))
def task(request: pytest.FixtureRequest) -> LinearTask:
    """Of each problem."""
    return LinearTask(PROBLEMS[request.param]())


@pytest.fixture
def decision(task: LinearTask) -> LinearCosts:
    """Its decision."""
    return task.decision


@pytest.fixture
def noise() -> torch.Generator:
    """Seeded."""
    return torch.Generator().manual_seed(0)
