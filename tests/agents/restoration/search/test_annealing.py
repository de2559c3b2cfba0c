"""Moves of the annealing: valued as the orders that they lead to."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from stormgym.agents.restoration.search.annealing import Annealing
from stormgym.agents.restoration.search.orders import OrderProblem


@pytest.mark.parametrize("midway", [False, True])
@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_moves__are_valued_as_the_orders_they_lead_to(
    midway: bool, length: int, reverse: bool, instances: Callable[..., dict[str, Any]]
) -> None:
    n, n_rows, first = 11, 3, np.array([0, 3, 6])
    problem = OrderProblem.of(**instances(n_rows, n, 3, 5, midway=midway))
    search = Annealing(problem, np.arange(n_rows), np.full(n_rows, 1.0), problem.greedy_order())
    search._value_order()
    moves = search._moves(first, length, reverse=reverse)
    mean, gap = search._mean_outage(moves), search._gap(moves)
    for k in range(n - length + 1):
        for j in range(first.size):
            order = search._moved(moves, np.full(n_rows, k * first.size + j)).T
            assert_array_equal(np.sort(order), np.tile(np.arange(n), (n_rows, 1)))
            assert_allclose(mean[k, j], problem.mean_outage(order), rtol=1e-5)
            assert_allclose(gap[k, j], problem.gap(order), rtol=1e-5)
