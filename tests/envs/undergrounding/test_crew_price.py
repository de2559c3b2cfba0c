"""The best price of a crew: the short way ends where halving ends, to the bit."""

import numpy as np
import pytest

from stormgym.envs.undergrounding.crew_price import CrewPrice


def plans(rng, b, k, n_crews):
    lower = rng.random((b, k)) * rng.choice([0.0, 1.0, 3.0])
    upper = lower + rng.random((b, k)) * 5.0 * (rng.random((b, k)) < 0.8)
    weights = rng.uniform(1.0, 100.0, k) * 10.0 ** rng.integers(-3, 4, k)
    if rng.random() < 0.5:  # ties, where rounding alone decides whether the value rises
        lower, upper, weights = np.round(lower), np.round(upper) + 1.0, rng.integers(1, 5, k).astype(float)
    spare = (upper - lower).sum(axis=1, keepdims=True) * rng.random((b, 1))
    return CrewPrice(rng.random((b, k)) < rng.random(), -np.sort(-weights), lower, upper, spare, n_crews)


@pytest.mark.parametrize("n_crews", [0, 1, 3, 0.7])
def test_best__is_where_halving_ends(n_crews):
    rng = np.random.default_rng([3, int(10 * n_crews)])
    for _ in range(60):
        price = plans(rng, int(rng.integers(1, 20)), int(rng.integers(1, 30)), n_crews)
        assert price.best()[:, 0].tobytes() == price.by_halving().tobytes()


def test_best__in_many_plans_of_many_regions(monkeypatch):
    from stormgym.envs.undergrounding import crew_price

    price = plans(np.random.default_rng(1), 40, 60, 2)  # corners are searched for one by one
    assert price.bare.size * 120 > crew_price._AT_ONCE
    few = price.best()
    assert few[:, 0].tobytes() == price.by_halving().tobytes()
    monkeypatch.setattr(crew_price, "_AT_ONCE", 10**9)
    assert price.best().tobytes() == few.tobytes()


def test_best__halves_in_earnest_where_nothing_is_known(monkeypatch):
    price = plans(np.random.default_rng(2), 12, 9, 1)
    right = price.best()
    monkeypatch.setattr(CrewPrice, "_corner", lambda self: 0.3 * self.highest + 1.0)
    assert price.best().tobytes() == right.tobytes()


def test_best__nothing_is_bare():
    lower = np.ones((2, 3))
    price = CrewPrice(np.zeros((2, 3), dtype=bool), np.array([3.0, 2.0, 1.0]), lower, 2 * lower, np.ones((2, 1)), 1)
    assert price.best().tolist() == [[0.0], [0.0]]
