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
