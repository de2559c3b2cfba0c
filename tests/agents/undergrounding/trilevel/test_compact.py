"""The compact form: intervals of the price change no value, and large problems close."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stormgym.agents.undergrounding.trilevel.compact import solve_compact
from stormgym.agents.undergrounding.trilevel.problem import WorstStormProgram, make_problem
from stormgym.agents.undergrounding.trilevel.solve import solve_trilevel

FULL = os.environ.get("STORMGYM_FULL") == "1"


def test_split__intervals_of_the_price_change_no_value(draw: Callable[..., Any]) -> None:
    for seed in range(12):
        data, limits = draw(12, seed, equal=seed % 2 == 0)
        problem = make_problem(*data, **limits)
        storm = WorstStormProgram(problem)
        scale = storm(np.zeros(12)).value
        whole, split = (solve_compact(problem, scale, gap=1e-6, time_limit=60.0, split_above=most) for most in (12, 11))
        assert storm(split.protect).value == pytest.approx(storm(whole.protect).value, rel=2e-6)
        assert split.lower_bound == pytest.approx(whole.lower_bound, rel=2e-6)
        assert split.stopped == whole.stopped == ""


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 500] if FULL else [120])
def test_large__compact_closes(n: int, draw: Callable[..., Any]) -> None:
    data, limits = draw(n, 1, equal=True)
    plan = solve_trilevel(*data, **limits, gap=1e-3, time_limit=120.0)
    assert plan.status == "optimal"
    assert plan.gap <= 1e-3
