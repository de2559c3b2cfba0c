"""Plans that look at fewer levels: known values, enumeration, and none better in the worst storm."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.agents.undergrounding.trilevel.baselines import BASELINES, solve_baseline
from stormgym.agents.undergrounding.trilevel.solve import crew_response, solve_trilevel


def test_instance__baselines(name: str, shared_data: Path, load: Callable[..., Any]) -> None:
    data, limits, expected = load(shared_data, name)
    one = solve_baseline("one-stage-worst", *data, **limits)
    two = solve_baseline("two-stage-worst", *data, **limits)
    static = solve_baseline("two-stage-worst", *data, **limits, crews="binary")
    assert one.objective == pytest.approx(expected["V_one_stage_worst_no_crews"], abs=1e-6)
    assert static.objective == pytest.approx(expected["V_two_stage_static_binary_y"], abs=1e-6)
    # With crews that can be shared it is the three-level problem itself.
    assert two.objective == pytest.approx(expected["V"], abs=1e-6)
    assert two.value == pytest.approx(expected["V"], abs=1e-6)


def test_baselines__none_beats_three_levels_in_the_worst_storm(draw: Callable[..., Any]) -> None:
    for seed in range(6):
        data, limits = draw(6, 500 + seed)
        mean = 0.5 * (np.asarray(data[3]) + data[4])
        exact = solve_trilevel(*data, **limits)
        for kind in BASELINES:
            plan = solve_baseline(kind, *data, **limits, mean=mean)
            assert plan.status == "optimal"
            assert plan.value >= exact.value - 1e-7
            assert np.dot(data[1], plan.protect) <= limits["budget"]


def test_baselines__mean_plans_are_enumeration(draw: Callable[..., Any]) -> None:
    for seed in range(6):
        n = 5
        data, limits = draw(n, 600 + seed)
        mean = np.random.default_rng(seed).random(n)
        loss, plans = np.asarray(data[0]) * mean, np.array(list(product((0, 1), repeat=n)))
        fits = plans[plans @ data[1] <= limits["budget"]]
        one = solve_baseline("one-stage-mean", *data, **limits, mean=mean)
        assert one.objective == pytest.approx(((1 - fits) @ loss).min())
        for crews in ("continuous", "binary"):
            two = solve_baseline("two-stage-mean", *data, **limits, mean=mean, crews=crews)  # type: ignore[arg-type]
            limit = {"crew_budget": limits["crew_budget"], "crews": crews}
            left = [loss * (1 - x) for x in fits]
            answers = [z @ (1 - crew_response(z, data[2], **limit)) for z in left]  # type: ignore[arg-type]
            assert two.objective == pytest.approx(min(answers), rel=1e-6)
