"""How STA-SAC reads undergrounding: without units, relabelled, for any number of regions, taught, saved and loaded."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from stormgym.agents.attention.token_net import TokenNet, step_probs
from stormgym.agents.pretrained import load_pretrained
from stormgym.agents.sta_sac.learner import sta_sac
from stormgym.agents.sta_sac.losses import imitation_loss
from stormgym.agents.sta_sac.reading import reading_of
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.agents.sta_sac.teacher import teacher_of
from stormgym.agents.undergrounding.network import N_OVERALL
from stormgym.agents.undergrounding.planners import FairHardening, TriLevel
from stormgym.agents.undergrounding.reading import N_CHOICE, READING, _bought, sizes_of, tokens_of
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.undergrounding.core import OF_REGIONS, STATE

ID = "Undergrounding-v0"
SMALL = {"profile": "synthetic:5:0"}
SIZES = {"width": 16, "n_layers": 1, "n_heads": 2, "step_width": 8}


def batch_of(n: int, **kwargs: Any) -> Any:
    return gym.make_vec(ID, n, vectorization_mode="vector_entry_point", **{**SMALL, **kwargs})


def some_observations(n: int = 4, **kwargs: Any) -> dict[str, Any]:
    """Seasons in which one region is buried."""
    env = batch_of(n, **kwargs)
    obs, _ = env.reset(seed=1)
    obs, *_ = env.step(obs["action_mask"][:, :-1].argmax(axis=1))
    return dict(obs)


def net() -> TokenNet:
    torch.manual_seed(0)
    return TokenNet(N_CHOICE, N_CHOICE + 1, N_OVERALL, 1, **SIZES)


def probs(obs: dict[str, Any]) -> Any:
    return step_probs(net(), tokens_of(obs), obs["action_mask"]).numpy()


def test_tokens__are_finite_of_the_said_widths_and_closed_regions_have_none() -> None:
    for kwargs in ({}, {"n_crews": 0}, {"budget": 1e6}, {"storm": "adversarial"}, {"forecast": "empirical"}):
        env = batch_of(3, **kwargs)
        sizes = sizes_of(env.single_observation_space)
        obs, _ = env.reset(seed=2)
        for _ in range(3):
            tokens = tokens_of(obs)
            assert tokens.choices.shape == (3, 5, sizes.choice)
            assert tokens.actors.shape == (3, 6, sizes.actor)
            assert tokens.common.shape == (3, sizes.common)
            assert (tokens.actors[..., 0] == [1, 0, 0, 0, 0, 0]).all()  # the planner is asked
            assert (tokens.choices[~tokens.is_open] == 0).all()
            np.testing.assert_array_equal(tokens.is_open, obs["action_mask"][:, :-1] > 0)
            for values in (tokens.choices, tokens.actors, tokens.common, tokens.limit, tokens.unit):
                assert np.isfinite(values).all()
            obs, *_ = env.step(np.where(tokens.is_open.any(axis=1), tokens.is_open.argmax(axis=1), 5))


def test_tokens__have_no_units() -> None:
    """Customers in fives, money in sevenths and hours in hours of another day: the same season."""
    obs = some_observations()
    state = obs["state"].astype(np.float64)
    state[:, [STATE.index(name) for name in ("budget", "budget_left")]] *= 7.0
    state[:, [STATE.index(name) for name in ("total_lower", "total_upper", "cost_limit")]] *= 24.0
    other = {**obs, **{name: 24.0 * obs[name] for name in ("mean", "lower", "upper")}}
    other |= {"population": 5.0 * obs["population"], "protect_cost": 7.0 * obs["protect_cost"], "state": state}
    once, twice = tokens_of(obs), tokens_of(other)
    for name in ("choices", "actors", "common"):
        np.testing.assert_allclose(getattr(twice, name), getattr(once, name), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(twice.unit, 24.0 * once.unit, rtol=1e-4)


def test_regions__that_are_relabelled_are_chosen_with_the_same_probability() -> None:
    obs = some_observations()
    place = np.array([3, 0, 4, 1, 2])
    moved = {**obs, **{name: obs[name][:, place] for name in OF_REGIONS}}
    moved["action_mask"] = np.concatenate([obs["action_mask"][:, place], obs["action_mask"][:, 5:]], axis=1)
    before, after = probs(obs), probs(moved)
    np.testing.assert_allclose(after[:, :5], before[:, place], atol=1e-5)
    np.testing.assert_allclose(after[:, 5], before[:, 5], atol=1e-5)
    assert (before[:, :5][obs["action_mask"][:, :5] == 0] == 0).all()


def test_network__acts_for_any_number_of_regions() -> None:
    for profile in ("ten", "synthetic:17:1"):
        obs = some_observations(profile=profile)
        found = probs(obs)
        assert found.shape == obs["action_mask"].shape
        np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)


def test_bought__is_a_greedy_knapsack_region_by_region() -> None:
    rng = np.random.default_rng(0)
    worth, cost = rng.random((30, 7)), rng.uniform(1.0, 5.0, (30, 7))
    open_, left = rng.random((30, 7)) < 0.7, rng.uniform(0.0, 12.0, 30)
    worth[rng.random((30, 7)) < 0.2] = 0.0
    taken = _bought(worth, cost, open_, left)
    for b in range(30):
        money, own = left[b], np.zeros(7)
        for i in sorted(np.flatnonzero(open_[b] & (worth[b] > 0)), key=lambda i, b=b: -worth[b, i]):
            if cost[b, i] <= money:
                own[i], money = 1.0, money - cost[b, i]
        np.testing.assert_array_equal(taken[b], own)


@pytest.mark.parametrize(("storm", "planner"), [("simulated", FairHardening), ("adversarial", TriLevel)])
def test_teacher__is_the_planner_of_the_storms_that_come(storm: str, planner: type) -> None:
    venv = make_vec_env(ID, 2, seed=0, storm=storm, **SMALL)
    teacher: Any = teacher_of("usual", venv, margin=0.1)
    assert isinstance(teacher, planner)


def settings_of(**changes: Any) -> STASACSettings:
    small = {"teacher_steps": 200, "n_rollouts": 2, "buffer_size": 2_000, "gradient_steps": 20, "teacher": "tri-level"}
    return STASACSettings(**{**small, **SIZES, **changes})


def test_training__imitates_the_teacher_and_goes_on_alone() -> None:
    venv = make_vec_env(ID, 4, seed=0, storm="adversarial", **SMALL)
    model = sta_sac.build(venv, settings_of(learning_rate=5e-3, actor_tau=1.0, gradient_steps=60), seed=0)
    model.learn(400, lambda state, _: state["self"].num_timesteps < 200, log_interval=10_000)
    shown = model.replay_buffer.demonstrations(8)
    with torch.no_grad():
        log_pi = model.policy.episode_log_probs(shown)[2]
    assert float(imitation_loss(shown, log_pi)) < 0.5 * float(shown.action_mask.sum(-1).float().log().mean())
    before = {name: weight.clone() for name, weight in model.policy.actor.state_dict().items()}
    model.learn(200, reset_num_timesteps=False, log_interval=10_000)
    assert any(not torch.equal(weight, before[name]) for name, weight in model.policy.actor.state_dict().items())


def test_pretrained__plays_as_the_model_that_it_was_made_of_with_other_regions(tmp_path: Path, untrained: Any) -> None:
    model = sta_sac.build(make_vec_env(ID, 2, seed=0, **SMALL), settings_of(teacher="none"), seed=0)
    name = untrained(model, ID, SMALL, tmp_path)
    env = batch_of(3, profile="ten")
    policy = load_pretrained(name, env, folder=tmp_path)
    obs, _ = env.reset(seed=0)
    for _ in range(3):
        action, _ = policy.predict(obs, None, np.zeros(3, dtype=bool), deterministic=True)
        expected, _ = model.predict(obs, None, np.zeros(3, dtype=bool), deterministic=True)
        np.testing.assert_array_equal(action, expected)
        assert (obs["action_mask"][np.arange(3), action] == 1).all()
        obs, *_ = env.step(action)


def test_reading__is_found_by_the_observations() -> None:
    assert reading_of(batch_of(1).single_observation_space) is READING
