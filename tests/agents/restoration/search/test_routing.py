"""Routes: the shortest by brute force, and messages."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from stormgym.agents.restoration.search.routing import plan_route


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (2, 1), (5, 2), (7, 3), (7, 4)])
def test_route__is_the_brute_force_optimum(n: int, seed: int, map_of: Callable[[int, int], np.ndarray]) -> None:
    travel, service = map_of(n, seed), np.full(n, 1.5)
    plan = plan_route(travel, service, iterations=200)
    best = min(sum(travel[i, j] for i, j in zip((n, *p), p, strict=False)) for p in permutations(range(n)))
    assert_allclose(plan.duration_h, best + service.sum(), rtol=1e-12)
    assert plan.bound_h <= plan.duration_h + 1e-12
    assert sorted(plan.order.tolist()) == list(range(n))


def test_route__is_the_same_again_and_whatever_the_service_times(map_of: Callable[[int, int], np.ndarray]) -> None:
    travel = map_of(30, 5)
    plan = plan_route(travel, np.ones(30), iterations=300)
    assert_array_equal(plan_route(travel, np.ones(30), iterations=300).order, plan.order)
    assert_allclose(plan_route(travel, np.zeros(30), iterations=300).duration_h + 30, plan.duration_h)
    assert plan.status == "heuristic"
    assert 0.5 * (plan.duration_h - 30) < plan.bound_h - 30 < plan.duration_h - 30


def test_route__names_a_bad_argument() -> None:
    with pytest.raises(ValueError, match=r"service_h must be \[n\] and travel_h \[n\+1, n\+1\]; got shapes"):
        plan_route(np.ones((3, 3)), np.ones(3))
    with pytest.raises(ValueError, match=r"travel_h must be finite and >= 0 h; got -1"):
        plan_route(-np.ones((3, 3)), np.ones(2))
