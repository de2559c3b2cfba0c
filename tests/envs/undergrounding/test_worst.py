"""The worst storm of a set, beside the exact planner's."""

import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.undergrounding.trilevel.solve import worst_case
from stormgym.envs.undergrounding.regions import send_crews
from stormgym.envs.undergrounding.worst import worst_storms
from stormgym.predictors.uncertainty_set import UncertaintySet


@pytest.mark.parametrize("n_crews", [0, 1, 3])
def test_worst_storms__is_the_planners_worst_case(n_crews):
    rng = np.random.default_rng(n_crews)
    for _ in range(25):
        k, b = int(rng.integers(1, 12)), 4
        weights = np.round(rng.uniform(1, 10, k), int(rng.integers(0, 3)))  # ties, too
        lower = rng.uniform(0, 2, (b, k)) * (rng.random((b, k)) < 0.7)
        upper = lower + rng.uniform(0, 6, (b, k))
        if rng.random() < 0.3:
            upper[:, 0] = np.inf
        least = lower.sum(axis=1)
        total = least + rng.uniform(0, 1.2, b) * (np.where(np.isfinite(upper), upper, 6.0).sum(axis=1) - least)
        sets = UncertaintySet(lower, upper, np.minimum(least, total), total)
        protected = rng.random((b, k)) < 0.3
        storms = worst_storms(protected, weights, sets, n_crews)
        assert (storms >= lower - 1e-12).all()
        assert (storms <= upper + 1e-9).all()
        assert (storms.sum(axis=1) <= total * (1 + 1e-9)).all()
        loss = weights * storms * ~protected
        value = (loss * (1.0 - send_crews(loss, n_crews))).sum(axis=1)
        for i in range(b):
            bounds = (lower[i], upper[i], least[i] if least[i] <= total[i] else total[i], total[i])
            exact = worst_case(protected[i], weights, 1.0, *bounds, crew_budget=n_crews).value
            assert value[i] == pytest.approx(exact, rel=1e-9, abs=1e-9)


def test_worst_storms__is_in_the_set_where_plans_leave_less_than_the_least_total():
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(50):
        lower = rng.random((1, 5))
        upper = lower + 5.0 * rng.random((1, 5))
        low, high = np.sort(rng.uniform(lower.sum(), upper.sum(), 2))
        sets = UncertaintySet(lower, upper, np.array([low]), np.array([high]))
        protected = rng.random((1, 5)) < 0.6
        weights = rng.uniform(1.0, 5.0, 5)
        storm = worst_storms(protected, weights, sets, 1)
        assert ((storm >= lower) & (storm <= upper + 1e-9)).all()
        assert low - 1e-9 <= storm.sum() <= high + 1e-9
        below += np.where(protected, lower, upper).sum() < low
        # what is added to reach the least total harms no more and no less
        free = UncertaintySet(lower, upper, lower.sum(axis=1), np.array([high]))
        loss = [
            np.sort(weights * u[0] * ~protected[0])[:-1].sum()
            for u in (storm, worst_storms(protected, weights, free, 1))
        ]
        assert loss[0] == pytest.approx(loss[1])
    assert below > 5
