"""The season's problem: the best of all plans, by listing them and by local search."""

import itertools

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.undergrounding.case import (
    Case,
    best_plan,
    case_of,
    crew_plans,
    greedy_plan,
    left_h,
    storm_losses,
)
from stormgym.agents.undergrounding.planners import sampled_storms
from stormgym.envs.undergrounding.profiles import synthetic_profile


def made(population, cost, budget, n_crews):
    """A profile and a season of it, of which only costs, customers and crews matter."""
    k = len(cost)
    profile = synthetic_profile(
        k,
        0,
        population=np.array(population),
        protect_cost=np.array(cost),
        budget=budget,
        n_crews=n_crews,
        cost_limit=1.0,
    )
    none = np.zeros(k)
    case = Case(none > 0, profile.population, profile.protect_cost, budget, n_crews, none, none, none, 0.0, 0.0, none)
    return profile, case


def test_best_plan__is_the_best_of_all_plans():
    env = gym.make("Undergrounding-v0", profile="synthetic:7:3", n_crews=2).unwrapped
    for seed in range(4):
        obs, _ = env.reset(seed=seed)
        case = case_of({name: value[None] for name, value in obs.items()}, 0)
        storms = sampled_storms(env.profile, case.covariates)
        plans = np.array(list(itertools.product([False, True], repeat=7)))
        plans = plans[plans @ env.profile.protect_cost <= env.profile.budget]
        losses = env.profile.loss_h(left_h(plans, storms, env.profile.population, 2)).mean(axis=1)
        found = best_plan(case, storms, env.profile)
        mine = env.profile.loss_h(left_h(found[None], storms, env.profile.population, 2)).mean()
        assert mine == pytest.approx(losses.min(), rel=1e-12)


def test_best_plan__local_search_comes_close_where_plans_are_too_many_to_list(monkeypatch):
    env = gym.make("Undergrounding-v0").unwrapped
    obs, _ = env.reset(seed=1)
    case = case_of({name: value[None] for name, value in obs.items()}, 0)
    storms = sampled_storms(env.profile, case.covariates)

    def value(plan):
        return env.profile.loss_h(left_h(plan[None], storms, env.profile.population, 1)).mean()

    exact = value(best_plan(case, storms, env.profile))
    monkeypatch.setattr("stormgym.agents.undergrounding.case.MAX_LISTED", 3)
    assert exact <= value(best_plan(case, storms, env.profile)) <= 1.05 * exact


def test_losses__are_those_of_the_environment_with_any_number_of_crews():
    rng = np.random.default_rng(0)
    for n_crews in (0, 1, 3, 6, 9):
        profile, case = made(rng.uniform(500, 5000, 6), [1.0] * 6, 3.0, n_crews)
        plans, storms = rng.random((12, 6)) < 0.4, rng.gamma(1.0, 3.0, (30, 6)) * (rng.random((30, 6)) < 0.7)
        expected = profile.loss_h(left_h(plans, storms, profile.population, n_crews))
        np.testing.assert_allclose(storm_losses(plans, case, storms, profile), expected, atol=1e-12)


def test_best_plan__search_leaves_large_losses_to_crews_where_no_exchange_leads_there(monkeypatch):
    # greedy buries the two large regions, and exchanges of one for one do not help: both crews are needed for them
    profile, case = made([1000.0] * 6, [5.0, 5.0, 2.5, 2.5, 2.5, 2.5], 10.0, 2)
    storms = np.array([[100.0, 90.0, 40.0, 40.0, 40.0, 40.0]])
    monkeypatch.setattr("stormgym.agents.undergrounding.case.MAX_LISTED", 1)
    greedy = greedy_plan(case, storms[0])
    assert np.flatnonzero(greedy).tolist() == [0, 1]
    found = best_plan(case, storms, profile)
    assert np.flatnonzero(found).tolist() == [2, 3, 4, 5]
    assert storm_losses(found[None], case, storms, profile) == 0.0
    stuck = best_plan(case, storms, profile, start=greedy)
    assert storm_losses(stuck[None], case, storms, profile) > 0.0
    plans = crew_plans(case, storms[0])
    assert (plans @ case.cost <= case.budget).all()
    assert len(np.unique(plans, axis=0)) == len(plans)
    nothing = crew_plans(made([1000.0] * 4, [1.0] * 4, 2.0, 0)[1], np.ones(4))
    np.testing.assert_array_equal(nothing, [[True, True, False, False]])  # without crews the greedy plan alone
