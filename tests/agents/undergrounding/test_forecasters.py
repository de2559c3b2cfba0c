"""Policies that plan a knapsack on a network's forecast."""

import itertools

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.undergrounding.case import case_of
from stormgym.agents.undergrounding.decision import SAIDIModel, simulated_seasons
from stormgym.agents.undergrounding.forecasters import GDFKnapsack, ListwiseKnapsack, TwoStageKnapsack


@pytest.mark.slow
def test_knapsacks__plan_on_networks_and_take_a_forecaster_of_their_own():
    env = gym.make("Undergrounding-v0").unwrapped
    usual, tuned = TwoStageKnapsack.for_env(env), GDFKnapsack.for_env(env)
    obs, _ = env.reset(seed=0)
    case = case_of({name: value[None] for name, value in obs.items()}, 0)
    plan = usual.plan(case, 0)
    hours = usual.forecaster.predict(env.profile.known_before(case.covariates[None]))[0]
    plans = np.array(list(itertools.product([False, True], repeat=10)))
    plans = plans[plans @ env.profile.protect_cost <= env.profile.budget]
    gain = env.profile.population * hours
    assert plan @ gain == pytest.approx((plans @ gain).max())
    assert tuned.forecaster is not usual.forecaster
    ranked = ListwiseKnapsack.for_env(env)
    assert ranked.forecaster not in (usual.forecaster, tuned.forecaster)
    assert case.cost[ranked.plan(case, 0)].sum() <= case.budget
    events = simulated_seasons(env.profile, 20, 1, names=("wind_ms",))
    narrow = SAIDIModel(("wind_ms",), n_steps=2).fit(events.X, events.outage_h)
    with pytest.raises(ValueError, match="the forecaster must see temperature_c, wind_ms, humidity, log_customers"):
        TwoStageKnapsack(env.profile, forecaster=narrow)
