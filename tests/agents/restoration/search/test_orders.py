"""Values of orders: those of the equity module, from the start and from the middle."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

from stormgym.agents.restoration.search.orders import OrderProblem
from stormgym.envs import equity


def test_values__agree_with_the_equity_module(instances: Callable[..., dict[str, Any]]) -> None:
    arguments = instances(5, 9, 3, 2)
    problem = OrderProblem.of(**arguments)
    order = np.random.default_rng(0).permuted(np.tile(np.arange(9), (5, 1)), axis=1)
    times = np.empty((5, 9))
    for row in range(5):
        here, clock = 9, 0.0
        for region in order[row]:
            clock += arguments["travel_h"][here, region] + arguments["repair_h"][row, region]
            times[row, region], here = clock, region
    assert_allclose(problem.mean_outage(order), times.mean(axis=1), rtol=1e-12)
    assert_allclose(problem.pair_gaps(order), equity.pairwise_w1(times, arguments["group"]), rtol=1e-12)
    assert_allclose(problem.gap(order), equity.gap(times, arguments["group"]), rtol=1e-12)


def test_plan__from_the_middle_counts_what_came_before(instances: Callable[..., dict[str, Any]]) -> None:
    arguments = instances(3, 10, 3, 10)
    whole = OrderProblem.of(**arguments)
    order = whole.greedy_order()
    ahead, accrued = np.zeros((3, 3)), np.zeros((3, 3))
    size, pairs = np.bincount(arguments["group"]), equity.pair_matrix(3)
    for row in range(3):
        here = 10
        for region in order[row, :4]:
            hours = arguments["travel_h"][here, region] + arguments["repair_h"][row, region]
            accrued[row] += np.abs(ahead[row]) * hours
            ahead[row] += (np.eye(3)[arguments["group"][region]] / size) @ pairs
            here = region
        left = np.sort(order[row, 4:])
        nodes = np.append(left, here)
        rest = OrderProblem.of(
            arguments["travel_h"][np.ix_(nodes, nodes)],
            arguments["repair_h"][row, left],
            arguments["group"][left],
            group_size=size,
            ahead=ahead[row],
            accrued_h=accrued[row],
        )
        local = np.searchsorted(left, order[row, 4:])[None]
        assert_allclose(rest.gap(local)[0], whole.gap(order)[row], rtol=1e-12)
