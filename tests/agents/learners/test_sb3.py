"""Learners of Stable-Baselines3: the Lagrangian reward, what they refuse, and leaving the cost out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env as make_dummy_vec_env

from stormgym.agents.learners import sb3 as learners
from stormgym.agents.learners.base import Learner
from stormgym.agents.learners.lagrangian import PricedReplayBuffer, VecLagrangianReward
from stormgym.agents.registry import DOMAINS, agent_spec
from stormgym.envs.adapters.sb3 import StormVecEnv

EXTRACTOR = DOMAINS["Restoration-v0"].extractor


@pytest.mark.parametrize("name", ["ppo", "maskable-ppo", "dqn", "maskable-dqn", "hrl-dpdp"])
def test_learner__limited_learners_have_the_lagrangian_reward_and_gamma_one(
    name: str, mid_episode: Callable[..., Any], learner_named: Callable[[str], Learner]
) -> None:
    venv, _ = mid_episode()
    learner = learner_named(name)
    settings = learner.settings(multiplier_init=0.7, limit_margin=0.5)
    wrapped = learner.wrap(venv, settings)
    assert isinstance(wrapped, VecLagrangianReward)
    assert wrapped.multiplier.value == pytest.approx(0.7)
    assert wrapped.multiplier.limit == pytest.approx(4.0)
    assert not wrapped.bootstrap_truncated
    model: Any = learner.build(wrapped, settings, seed=0, extractor=EXTRACTOR)
    assert model.gamma == 1.0
    if name in ("dqn", "maskable-dqn"):
        assert isinstance(model.replay_buffer, PricedReplayBuffer)


def test_learner__wrong_environments_are_told_what_fits(learner_named: Callable[[str], Learner]) -> None:
    cartpole = make_dummy_vec_env("CartPole-v1", n_envs=2)
    pendulum = make_dummy_vec_env("Pendulum-v1", n_envs=2)
    for name, words in (("sta-sac", "STA-SAC needs an observation"), ("hrl-dpdp", "hrl-dpdp chooses among regions")):
        with pytest.raises(ValueError, match=words):
            learner_named(name).check(cartpole)
    with pytest.raises(ValueError, match="action_masks"):
        learners.maskable_ppo.check(cartpole)
    with pytest.raises(ValueError, match="Discrete"):
        learners.dqn.check(pendulum)
    learners.ppo.check(pendulum)


def test_learner__unconstrained_environments_train_without_a_limit() -> None:
    venv = make_dummy_vec_env("CartPole-v1", n_envs=2)
    settings = learners.ppo.settings(n_steps=16, batch_size=32)
    assert learners.ppo.wrap(venv, settings) is venv
    assert learners.ppo.callbacks(venv, settings) == []
    model = learners.ppo.build(venv, settings, seed=0)
    assert isinstance(model, PPO)
    model.learn(64)


@pytest.mark.parametrize("name", ["ppo", "dqn", "maskable-ppo", "maskable-dqn", "hrl-dpdp"])
@pytest.mark.parametrize("method", ["softplus", "projected"])
def test_unconstrained__lambda_is_zero_and_stays_there(
    name: str, method: str, environments: Callable[..., StormVecEnv]
) -> None:
    learner = agent_spec(name).load()
    quick = {"learning_starts": 32} if "dqn" in name else {"n_steps": 8, "batch_size": 32, "n_epochs": 1}
    settings = learner.settings(constrained=False, multiplier_method=method, dual_episodes=2, width=8, **quick)
    venv = learner.wrap(environments(), settings)
    assert isinstance(venv, VecLagrangianReward)
    assert venv.multiplier.value == 0.0
    model = learner.build(venv, settings, seed=0, extractor=EXTRACTOR)
    model.learn(128, callback=learner.callbacks(venv, settings))
    assert venv.multiplier.value == 0.0
    assert len(venv.finished_costs) < 8  # counted, logged, and let go
