"""What a further generator is worth, against plans that are exact."""

import itertools

import numpy as np
import pytest

from stormgym.agents.dispatch.holding import allocation, unit_gains


def costs(n=1, k=1, each=100.0, trip=50.0, operating=5.0, tau=1.0):
    names = ("customers_per_generator", "transport_cost", "operating_cost")
    told = {name: np.full(n, value) for name, value in zip(names, (each, trip, operating), strict=True)}
    return {**told, "interruption_cost": np.full((n, k), tau)}


def cost_of(stocks, wave, before, each=100.0, trip=50.0, operating=5.0, tau=1.0):
    """Of stocks `[H]` in one county: trips (home again at the end), operation, interruption."""
    moved = np.abs(np.diff([before, *stocks, 0])).sum()
    return trip * moved + operating * sum(stocks) + tau * np.maximum(wave - each * np.array(stocks), 0.0).sum()


@pytest.mark.parametrize("before", [0, 1, 2])
def test_gain__is_what_the_best_plan_with_a_unit_today_saves_over_the_best_without(before):
    rng = np.random.default_rng(before)
    for _ in range(10):
        wave = rng.uniform(0.0, 320.0, 4)
        gain = unit_gains(wave[None, :, None], np.array([[before]]), 3, **costs())[0, 0]
        best = [
            min(cost_of((today, *later), wave, before) for later in itertools.product(range(4), repeat=3))
            for today in range(4)
        ]
        # a county alone: the best plan that has n today costs what the best without any does, less the gains of n units
        np.testing.assert_allclose(np.diff(best), -gain, atol=1e-9)


def test_gains__of_one_county_do_not_depend_on_the_others_or_on_the_batch():
    rng = np.random.default_rng(1)
    waves, stock = rng.uniform(0.0, 500.0, (3, 5, 2)), rng.integers(0, 4, (3, 2))
    both = unit_gains(waves, stock, 4, **costs(3, 2))
    alone = unit_gains(waves[1:2, :, 1:], stock[1:2, 1:], 4, **costs())
    np.testing.assert_allclose(alone[0, 0], both[1, 1])


def test_allocation__takes_the_units_of_largest_gain_and_none_that_loses():
    gain = np.array([[[5.0, 3.0, 1.0], [4.0, 2.0, -1.0]]])
    most = np.array([[3, 3]])
    for total, expected in ((0, [0, 0]), (1, [1, 0]), (3, [2, 1]), (4, [2, 2]), (9, [3, 2])):
        np.testing.assert_array_equal(allocation(gain, most, np.array([total]))[0], expected)
    np.testing.assert_array_equal(allocation(gain, np.array([[1, 3]]), np.array([9]))[0], [1, 2])


def test_allocation__takes_no_unit_before_one_of_the_same_county_that_comes_first():
    gain = np.array([[[1.0, 6.0], [2.0, 0.5]]])  # the second unit of the first county is only there with the first
    np.testing.assert_array_equal(allocation(gain, np.array([[2, 2]]), np.array([1]))[0], [0, 1])
