"""The season's problem: the best of all plans, by listing them and by local search."""

import itertools

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.undergrounding.case import best_plan, case_of, left_h
from stormgym.agents.undergrounding.planners import sampled_storms


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
