"""Plans of least CVaR as they move: derivatives against differences, and the plan against that of the exact program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stormgym.envs.risk import Polytope, cvar_plan
from stormgym.envs.risk_sensitivity import moving_plans

K, B, D = 20, 3, 5
POLYTOPES = {
    "simplex": Polytope(0.0, None, A_ub=np.ones((1, D)), b_ub=np.ones(1)),
    "box": Polytope(-1.0, 1.0),
    "sum": Polytope(0.0, 1.0, A_eq=np.ones((1, D)), b_eq=np.full(1, 2.0)),
}


def samples(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(-0.5, 1.0, (K, B, D))


@pytest.mark.parametrize("name", POLYTOPES)
@pytest.mark.parametrize("alpha", [0.15, 0.5])
def test_slope__is_how_plans_and_thresholds_move(name: str, alpha: float) -> None:
    """At a complementarity well below the step of the differences; at 1e-12 Newton's matrix has no digits left."""
    costs, rng = samples(0), np.random.default_rng(1)
    on_plan, on_threshold = rng.normal(size=(B, D)), rng.normal(size=B)

    def found(c: Any) -> Any:
        return moving_plans(c, POLYTOPES[name], alpha=alpha, quadratic=0.5 * np.eye(D), tolerance=1e-9)

    def value(c: Any) -> Any:
        plans = found(c)
        return (plans.plan * on_plan).sum(axis=1) + plans.threshold * on_threshold

    assert found(costs).converged.all()
    slope = found(costs).slope(on_plan, on_threshold)
    assert np.abs(slope).max() > 0.1
    for seed in range(3):
        direction = np.random.default_rng([2, seed]).normal(size=costs.shape)
        difference = (value(costs + 1e-4 * direction) - value(costs - 1e-4 * direction)) / 2e-4
        np.testing.assert_allclose((slope * direction).sum(axis=(0, 2)), difference, rtol=5e-3, atol=2e-3)


@pytest.mark.parametrize("name", POLYTOPES)
def test_plan__is_that_of_the_exact_program(name: str) -> None:
    costs, square = samples(3), 0.3 * np.eye(D)
    found = moving_plans(costs, POLYTOPES[name], alpha=0.2, quadratic=square)
    for case in range(B):
        exact = cvar_plan(costs[:, case], POLYTOPES[name], alpha=0.2, quadratic=square)
        np.testing.assert_allclose(found.plan[case], exact.plan, atol=1e-3)


def test_errors__a_tail_of_everything_is_none() -> None:
    with pytest.raises(ValueError, match=r"alpha must be below 1 for a plan with a tail; got 1"):
        moving_plans(samples(0), POLYTOPES["box"], alpha=1.0)
