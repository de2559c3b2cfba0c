"""Benders' cuts: they meet the other methods, and the paper's printed cut does not."""

import os
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from stormgym.agents.undergrounding.trilevel.solve import solve_trilevel, worst_case

FULL = os.environ.get("STORMGYM_FULL") == "1"
METHODS = ("compact", "benders", "kkt", "brute-force")


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 50, 100] if FULL else [20])
def test_large__benders_meets_compact(n: int, draw: Callable[..., Any]) -> None:
    for seed in range(4 if FULL else 2):
        data, limits = draw(n, seed)
        exact = solve_trilevel(*data, **limits)
        found = solve_trilevel(*data, **limits, method="benders", time_limit=60.0 if FULL else 10.0)
        assert exact.status == "optimal"
        assert found.lower_bound <= exact.value * (1 + 1e-6)
        assert found.value >= exact.lower_bound * (1 - 1e-6)
        if found.status == "optimal":
            assert found.value == pytest.approx(exact.value, rel=2e-6)


FAULT: tuple[Any, ...] = ([2.0, 4.0, 5.0], [2.0, 1.0, 3.0], [1.0, 3.0, 2.0], 0.0, [4.0, 7.0, 1.0], 0.0, 11.0)
"""Regions with B = 1, C = 3: protecting the second leaves nothing that crews cannot take, V = 0."""


def printed_slope(plan: np.ndarray, data: tuple[Any, ...], crew_budget: float) -> tuple[float, np.ndarray]:
    """V and what eq. 12 gives for a subgradient: the derivative of its objective, -h u (1 - y)."""
    worst = worst_case(plan, data[0], *data[2:], crew_budget=crew_budget)
    return worst.value, -np.asarray(data[0]) * worst.storm * (1.0 - worst.crews)


def test_fault__the_printed_cut_cuts_the_optimum_off() -> None:
    h, t = [1.0, 1.0], [10.0, 9.0]
    rest = (h, 1.0, 0.0, t, 0.0, 19.0)
    value, slope = printed_slope(np.zeros(2), (h, [1.0, 1.0], *rest[1:]), 1.0)
    assert value == pytest.approx(9.0)  # the crew takes the 10
    optimum = np.array([1.0, 0.0])
    assert worst_case(optimum, *rest, crew_budget=1.0).value == pytest.approx(0.0)
    assert value + slope @ optimum == pytest.approx(9.0)  # eq. 13 claims that V is at least 9 there


def test_fault__printed_benders_returns_a_wrong_plan() -> None:
    plans = [np.array(x) for x in product((0, 1), repeat=3) if np.dot(FAULT[1], x) <= 1.0]
    cuts: list[tuple[float, np.ndarray, np.ndarray]] = []
    for _ in range(20):
        master = [max((v + g @ (x - at) for v, g, at in cuts), default=0.0) for x in plans]
        plan = plans[int(np.argmin(master))]
        value, slope = printed_slope(plan, FAULT, 3.0)
        cuts.append((value, slope, plan))
        if value - min(master) <= 1e-9:
            break
    assert min(v for v, _, _ in cuts) == pytest.approx(13.0)
    for method in METHODS:
        exact = solve_trilevel(*FAULT, budget=1.0, crew_budget=3.0, method=method)  # type: ignore[arg-type]
        assert exact.value == pytest.approx(0.0, abs=1e-9)
        np.testing.assert_array_equal(exact.protect, [False, True, False])


def test_fault__algorithm_2_with_its_bounds_exchanged_stops_at_once() -> None:
    # Lines 3-8: UB is the master's value, LB is V(x). The first master has no cut: x = 0, value 0.
    ub, lb = 0.0, worst_case([0, 0, 0], FAULT[0], *FAULT[2:], crew_budget=3.0).value
    assert ub - lb <= 0.0  # "converged", with a plan that costs 13 where 0 can be had
    assert lb == pytest.approx(13.0)
