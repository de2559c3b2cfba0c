"""Pieces of the three-level problem: the knapsack, patterns of crews, cuts at plans."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from stormgym.agents.undergrounding.trilevel.problem import WorstStormProgram, knapsack, list_patterns, make_problem


def test_knapsack__is_enumeration() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = int(rng.integers(1, 9))
        gain, cost = rng.random(n) * (rng.random(n) < 0.8), rng.uniform(0.5, 3.0, n)
        budget = float(rng.uniform(0.0, 0.6) * cost.sum())
        plans = np.array(list(product((0, 1), repeat=n)))
        best = (plans @ gain)[plans @ cost <= budget].max()
        chosen = knapsack(gain, cost, budget)
        assert cost[chosen].sum() <= budget + 1e-9
        assert gain[chosen].sum() == pytest.approx(best)


def test_patterns__are_the_full_sets() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        n = int(rng.integers(1, 8))
        cost = np.round(rng.uniform(0.0, 3.0, n), 1)
        budget = float(np.round(rng.uniform(0.0, 0.8) * cost.sum(), 1))
        sets = np.array(list(product((False, True), repeat=n)))
        limit = budget * (1 + 1e-9)
        full = {
            tuple(s) for s in sets[sets @ cost <= limit] if all(s[i] or s @ cost + cost[i] > limit for i in range(n))
        }
        found = list_patterns(cost, budget)
        assert found is not None
        assert {tuple(s) for s in found} == full
        assert len(found) == len(full)


def test_cuts__hold_at_every_plan(draw: Callable[..., Any]) -> None:
    for crews in ("continuous", "binary"):
        data, limits = draw(5, 6)
        problem = make_problem(*data, **limits, crews=crews)  # type: ignore[arg-type]
        storm = WorstStormProgram(problem)
        plans = np.array(list(product((0.0, 1.0), repeat=5)))
        values = np.array([storm(x).value for x in plans])
        for x in (*plans, *np.random.default_rng(0).random((20, 5))):
            cut = storm(x)
            assert (cut.constant - plans @ cut.slope <= values + 1e-8).all()
            assert cut.constant - x @ cut.slope == pytest.approx(
                cut.value, abs=1e-8
            )  # and it is tight where it was made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": ["x", 1.0, 1.0]}, "weights must be an array of numbers"),
        ({"weights": [10**400, 1.0, 1.0]}, "weights must be an array of numbers"),
        ({"weights": [1e300, 1.0, 1.0], "upper": 1e300, "total_upper": np.inf}, "weights times upper must be finite"),
        ({"crew_cost": 1e300}, r"crew_cost must be at most 1e\+14; got 1e\+300\. Count in a larger unit"),
        *(({name: 10**400}, f"{name} must be finite and at least 0") for name in ("budget", "crew_budget")),
        *(({name: None}, f"{name} must be finite and at least 0") for name in ("budget", "crew_budget")),
        *(({"total_upper": bad}, "total_upper must be a number, or inf") for bad in (None, "x", 10**400, np.nan)),
    ],
)
def test_make_problem__numbers_that_no_solver_takes_are_named(change: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {
        "weights": [1.0, 2.0, 3.0],
        "protect_cost": 1.0,
        "crew_cost": 1.0,
        "lower": 0.0,
        "upper": 5.0,
    }
    usual |= {"total_lower": 0.0, "total_upper": 9.0, "budget": 1.0, "crew_budget": 1.0}
    with pytest.raises(ValueError, match=message):
        make_problem(**{**usual, **change})
    unlimited = make_problem(**{**usual, "protect_cost": [1.0, 1e300, 1.0], "budget": 1e300})  # never, and all
    assert unlimited.size == 3
