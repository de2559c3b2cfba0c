"""Looking ahead among crews: who may, what it takes, what its weight does, and that it keeps to masks."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.attention.token_net import TokenNet, step_probs
from stormgym.agents.crews.network.features import n_crew_features, n_job_features, n_storm_features, tokens_of
from stormgym.agents.crews.network.lookahead import GuidedPlanner, look_ahead
from stormgym.agents.crews.priced import RollingPriced
from stormgym.agents.lineup import make_policy
from stormgym.agents.look_ahead import look_ahead as of_domain

ID = "stormgym:CrewDispatch-v0"
SMALL = {"city": "synthetic:10:1", "n_crews": 3, "predictor": "none"}


class Trained:
    """What has a network, as trained agents do."""

    name = "trained"

    def __init__(self, groups=3):
        torch.manual_seed(0)
        sizes = n_job_features(groups), n_crew_features(), n_storm_features(groups)
        actor = TokenNet(*sizes, 1, width=16, n_layers=1, n_heads=2, step_width=8)
        with torch.no_grad():
            actor.out.weight.mul_(50.0)  # sure of what it likes
        self.acting_network = actor, groups


def batch_of(n, **kwargs):
    return gym.make_vec(ID, n, vectorization_mode="vector_entry_point", **{**SMALL, **kwargs})


def play(policy, env, seed, steps=200):
    obs, _ = env.reset(seed=seed)
    state, actions = None, []
    ended = np.zeros(env.num_envs, dtype=bool)
    for _ in range(steps):
        action, state = policy.predict(obs, state)
        actions.append(action)
        obs, _, terminated, truncated, _ = env.step(action)
        ended |= terminated | truncated
        if ended.any():
            return np.array(actions)
    raise AssertionError("the storm never ended")


def test_guided__takes_open_jobs_alone_as_in_a_batch():
    batch, alone = batch_of(3, on_invalid="raise"), batch_of(1)
    together = play(of_domain(Trained(), batch, n_orders=3, price=0.1), batch, [1, 2, 3])
    single = play(of_domain(Trained(), alone, n_orders=3, price=0.1), alone, [2])
    shared = min(len(together), len(single))
    np.testing.assert_array_equal(together[:shared, 1], single[:shared, 0])


def test_weight__0_follows_the_plan_of_least_value_and_a_large_one_the_network():
    env = batch_of(2)
    trained = Trained()
    obs, _ = env.reset(seed=[5, 6])
    for _ in range(8):
        follows = look_ahead(trained, env, n_orders=5, price=0.1, weight=1e3)
        action, _ = follows.predict(obs)
        mask = obs["action_mask"] > 0
        likeliest = step_probs(trained.acting_network[0], tokens_of(obs), mask).numpy()[:, :-1].argmax(axis=1)
        jobs = action < mask.shape[1] - 1
        np.testing.assert_array_equal(action[jobs], likeliest[jobs])
        obs, *_ = env.step(action)


def test_assessors__are_sent_where_the_network_says():
    env = batch_of(1, assessed_share=0.0, n_assessors=1)
    trained = Trained()
    policy = look_ahead(trained, env, n_orders=2, price=0.1)
    obs, _ = env.reset(seed=[1])
    state, seen = None, 0
    for _ in range(20):
        action, state = policy.predict(obs, state)
        asked = int(obs["crew_asked"][0].argmax())
        if obs["crew_assessor"][0, asked]:
            seen += 1
            probs = step_probs(trained.acting_network[0], tokens_of(obs), obs["action_mask"] > 0).numpy()
            assert action[0] == probs[0].argmax()
        obs, *_ = env.step(action)
    assert seen


def test_price__is_found_for_it_on_past_storms(monkeypatch, tmp_path):
    from stormgym.agents import past_price

    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    monkeypatch.setattr(past_price.past_episodes, "__defaults__", (4,))
    env = gym.make(ID, cost_limit=3.4, **SMALL)
    first = look_ahead(Trained(), env, n_orders=2)
    assert isinstance(first, RollingPriced)
    assert first.price >= 0
    monkeypatch.setattr(past_price, "find_price", lambda *_: pytest.fail("it was kept"))
    assert look_ahead(Trained(), env, n_orders=2).price == first.price


def test_look_ahead__refuses_what_has_no_network_other_groups_and_wrong_numbers():
    env = batch_of(1)
    with pytest.raises(ValueError, match="nearest cannot look ahead among crews"):
        look_ahead(make_policy("nearest", env), env)
    with pytest.raises(ValueError, match="another number of groups than this one, which has 3"):
        look_ahead(Trained(groups=2), env, price=0.1)
    for wrong in ({"rounds": 0}, {"rounds": 2.5}, {"weight": -1.0}):
        with pytest.raises(ValueError, match="must be"):
            GuidedPlanner(Trained().acting_network[0], env, price=0.1, **wrong)
    dispatch = gym.make("stormgym:GeneratorDispatch-v0")
    with pytest.raises(ValueError, match="agents cannot look ahead in GeneratorDispatch-v0"):
        of_domain(Trained(), dispatch)
