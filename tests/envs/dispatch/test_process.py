"""The dynamics of dispatch: what a day costs, what is seen of it, and targets that are more than there are."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stormgym.agents.dispatch.flow import plan_cost, solve_dispatch
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.dispatch.process import DispatchProcess, fit_to_stock
from stormgym.envs.dispatch.profiles import resolve_profile, unserved_gap


def begin(profile: StormProfile, batch: int, seed: int = 0) -> DispatchProcess:
    process = DispatchProcess(profile, batch)
    process.reset(profile.draw([np.random.default_rng([seed, i]) for i in range(batch)]).out)
    return process


def costs(profile: StormProfile) -> dict[str, float]:
    names = ("customers_per_generator", "transport_cost", "interruption_cost", "operating_cost")
    return {name: getattr(profile, name) for name in names}


@pytest.mark.parametrize("name", ["A", "B", "ten"])
def test_step__rewards_and_costs_of_an_episode_are_those_of_its_stocks(name: str) -> None:
    profile = resolve_profile(name)
    process = begin(profile, 8)
    rng = np.random.default_rng(1)
    rewards, gaps, stocks = np.zeros(8), np.zeros(8), []
    for day in range(profile.n_periods):
        np.testing.assert_array_equal(process.observed, process.out[:, day])  # yesterday's, never today's
        target = rng.integers(0, 3, (8, profile.n_counties))
        stocks.append(fit_to_stock(target, profile.generators))
        step = process.step(target)
        rewards += step.reward
        gaps += step.cost
        assert step.any_ended == (day == profile.n_periods - 1) == bool(step.terminated.all())
        assert not step.truncated.any()
    stock = np.stack(stocks, axis=1)
    np.testing.assert_allclose(-rewards, plan_cost(stock, process.out[:, 1:], **costs(profile)))
    dark = np.maximum(process.out[:, 1:] - profile.customers_per_generator * stock, 0.0).sum(axis=1)
    np.testing.assert_allclose(gaps, unserved_gap(dark, profile))
    figures = process.metrics(slice(None))
    np.testing.assert_allclose(figures["total_cost"], -rewards)
    np.testing.assert_allclose(figures["unserved"], dark.sum(axis=1))
    np.testing.assert_allclose(figures["gap"], gaps)
    assert all(np.isfinite(values).all() and values.shape == (8,) for values in figures.values())
    assert not process.stock.any()  # home again


def test_step__an_episode_that_is_over_stays_as_it_is() -> None:
    profile = resolve_profile("A")
    process = begin(profile, 3)
    for _ in range(4):
        process.step(np.ones((3, 3), dtype=np.int64))
    fresh = profile.draw([np.random.default_rng(9)]).out
    process.reset(fresh, np.array([1]))
    assert process.day.tolist() == [4, 0, 4]
    for _ in range(profile.n_periods - 4):
        process.step(np.ones((3, 3), dtype=np.int64))
    before = {name: values[[0, 2]] for name, values in process.metrics(slice(None)).items()}
    step = process.step(np.full((3, 3), 3))
    assert step.reward[[0, 2]].tolist() == step.cost[[0, 2]].tolist() == [0.0, 0.0]
    assert step.reward[1] < 0
    after = process.metrics(np.array([0, 2]))
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name], err_msg=name)


def test_step__playing_the_exact_plan_costs_what_the_plan_says_and_nothing_beats_it() -> None:
    profile = resolve_profile("B")
    process = begin(profile, 4)
    plans = [solve_dispatch(wave[1:], generators=profile.generators, **costs(profile)) for wave in process.out]
    total = np.zeros(4)
    for day in range(profile.n_periods):
        total -= process.step(np.stack([plan.stock[day] for plan in plans])).reward
    np.testing.assert_allclose(total, [plan.cost for plan in plans])
    idle = begin(profile, 4)
    nothing = sum(-idle.step(np.zeros((4, 3), dtype=np.int64)).reward for _ in range(profile.n_periods))
    assert (total <= nothing + 1e-9).all()
    np.testing.assert_allclose(idle.metrics(slice(None))["share_served"], 0.0, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=9), st.integers(0, 50))
def test_fit_to_stock__fits_in_proportion_and_leaves_what_fits_alone(target: list[int], total: int) -> None:
    asked = np.array(target)
    fitted = fit_to_stock(asked, total)
    if asked.sum() <= total:
        np.testing.assert_array_equal(fitted, asked)
        return
    assert fitted.sum() == total
    exact = asked * total / asked.sum()
    assert (np.abs(fitted - exact) < 1.0).all()
    assert (fitted <= asked).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 40), min_size=5, max_size=5), min_size=1, max_size=4), st.integers(0, 50))
def test_fit_to_stock__what_is_left_goes_to_the_largest_remainders(targets: list[list[int]], total: int) -> None:
    fitted = fit_to_stock(np.array(targets), total)
    for target, found in zip(targets, fitted.tolist(), strict=True):
        if sum(target) <= total:
            assert found == target
            continue
        exact = [Fraction(asked * total, sum(target)) for asked in target]
        by_hand = [int(x) for x in exact]
        order = sorted(range(5), key=lambda i: (by_hand[i] - exact[i], i))
        for i in order[: total - sum(by_hand)]:
            by_hand[i] += 1
        assert found == by_hand


def test_metrics__by_hand_with_days_that_asked_for_too_much() -> None:
    profile = resolve_profile("A")
    process = begin(profile, 3)
    too_much, nothing = np.full((3, 3), profile.generators), np.zeros((3, 3), dtype=np.int64)
    just_enough = np.zeros((3, 3), dtype=np.int64)
    just_enough[:, 1] = profile.generators
    process.step(too_much)
    process.step(just_enough)
    np.testing.assert_array_equal(process.served_by, just_enough)
    still = np.array([True, False, True])
    process.step(too_much, still)
    assert process.day.tolist() == [3, 2, 3]
    np.testing.assert_array_equal(process.served_by[1], just_enough[1])  # its day has not been played
    assert process.served_by[[0, 2]].sum(axis=1).tolist() == [profile.generators] * 2
    process.step(nothing, ~still)
    while not (process.day == profile.n_periods).all():
        process.step(nothing)
    process.step(too_much)  # over: it does not count
    figures = process.metrics(slice(None))
    parts = ("transport_cost", "operating_cost", "interruption_cost")
    more = {"total_cost", "gap", "over_limit", "cost_limit", "saidi", "unserved", "share_served", "scaled_days"}
    assert set(figures) == {*parts, *more}
    np.testing.assert_allclose(figures["total_cost"], sum(figures[name] for name in parts))
    np.testing.assert_array_equal(figures["scaled_days"], [2.0, 1.0, 2.0])
    out = process.out[:, 1:].sum(axis=(1, 2))
    np.testing.assert_allclose(figures["saidi"], figures["unserved"] / profile.population.sum())
    np.testing.assert_allclose(figures["share_served"], 1.0 - figures["unserved"] / out)
    np.testing.assert_array_equal(figures["over_limit"], figures["gap"] > profile.cost_limit)
    np.testing.assert_array_equal(figures["cost_limit"], [profile.cost_limit] * 3)
    process.reset(process.out[[0]], np.array([2]))
    assert process.scaled.tolist() == [2, 1, 0]
    process.reset(process.out)
    assert process.scaled.tolist() == [0, 0, 0]


def test_fit_to_stock__equal_remainders_go_to_the_county_of_lower_index() -> None:
    np.testing.assert_array_equal(fit_to_stock(np.array([[2, 2, 2], [1, 0, 1]]), 4), [[2, 1, 1], [1, 0, 1]])
