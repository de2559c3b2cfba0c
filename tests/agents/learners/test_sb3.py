"""The learners of the registry: networks over regions, masks in use, settings that match their algorithms."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env as make_dummy_vec_env

from stormgym.agents.attention.heads import RegionScores, SummaryValue
from stormgym.agents.learners import sb3 as learners
from stormgym.agents.learners.base import Learner
from stormgym.agents.learners.lagrangian import PricedReplayBuffer, VecLagrangianReward
from stormgym.agents.learners.sb3 import WRAPPER_SETTINGS
from stormgym.agents.registry import AGENTS, DOMAINS
from stormgym.agents.restoration.network.extractor import RegionExtractor
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.restoration.layout import CREW_SCALARS, crew_columns

ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}
SMALL: dict[str, dict[str, Any]] = {
    "Restoration-v0": ENV_KWARGS,
    "Undergrounding-v0": {"profile": "synthetic:12:1", "budget": 3_000.0},
}
EXTRACTOR = DOMAINS["Restoration-v0"].extractor
NAMES = [name for name, spec in AGENTS.items() if spec.trainable]


def learner_named(name: str) -> Learner:
    learner: Learner = AGENTS[name].load()
    return learner


def mid_episode(num_envs: int = 4, env_id: str = "Restoration-v0") -> tuple[Any, dict[str, np.ndarray[Any, Any]]]:
    venv = make_vec_env(env_id, num_envs, seed=2, **SMALL[env_id])
    venv.reset()
    rng = np.random.default_rng(0)
    obs: Any = None
    for _ in range(3):
        masks = venv.action_masks()
        obs, *_ = venv.step((rng.random(masks.shape) * masks).argmax(axis=1))
    return venv, obs


@pytest.mark.parametrize("name", NAMES)
def test_learner__builds_a_real_model_that_acts_on_open_regions_only(name: str) -> None:
    domain = next(domain for domain in DOMAINS.values() if domain.agent(name) is not None)
    venv, obs = mid_episode(env_id=domain.env_id)
    learner = learner_named(name)
    assert learner.name == name
    settings = learner.settings()
    learner.check(venv)
    model = learner.build(learner.wrap(venv, settings), settings, seed=0, extractor=domain.extractor)
    assert type(model) is learner.algorithm
    policy = learner.policy(model)
    for deterministic in (True, False):
        action, _ = policy.predict(obs, deterministic=deterministic)
        assert action.shape == (4,)
        assert obs["action_mask"][np.arange(4), action].all()
    single = {key: value[0] for key, value in obs.items()}
    alone, _ = policy.predict(single, deterministic=True)
    assert np.ndim(alone) == 0
    assert alone == policy.predict(obs, deterministic=True)[0][0]


@pytest.mark.parametrize("name", ["ppo", "maskable-ppo", "dqn", "maskable-dqn", "hrl-dpdp"])
def test_learner__limited_learners_have_the_lagrangian_reward_and_gamma_one(name: str) -> None:
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


@pytest.mark.parametrize("name", NAMES)
def test_learner__settings_reach_the_algorithm_and_unknown_ones_are_errors(name: str) -> None:
    learner = learner_named(name)
    taken = set(inspect.signature(learner.algorithm.__init__).parameters)
    if "settings" in taken:  # the algorithm takes them whole
        venv, _ = mid_episode()
        chosen = learner.settings(limit_margin=0.5, width=16)
        model: Any = learner.build(venv, chosen, seed=0)
        assert model.settings is chosen
        assert model.policy_kwargs["width"] == 16
    else:
        assert {f.name for f in fields(learner.settings)} <= {"width", *WRAPPER_SETTINGS, *taken}
    with pytest.raises(TypeError, match="unheard_of"):
        learner.settings(unheard_of=1)


def test_learner__wrong_environments_are_told_what_fits() -> None:
    cartpole = make_dummy_vec_env("CartPole-v1", n_envs=2)
    pendulum = make_dummy_vec_env("Pendulum-v1", n_envs=2)
    for name in ("sta-sac", "hrl-dpdp"):
        with pytest.raises(ValueError, match=f"{name} chooses among regions"):
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


def test_networks__relabelling_regions_permutes_scores_and_keeps_the_value() -> None:
    venv, obs = mid_episode()
    torch.manual_seed(0)
    extractor = RegionExtractor(venv.observation_space, width=16)
    scores, value = RegionScores(16, baseline=True), SummaryValue(16)
    order = np.random.default_rng(1).permutation(7)
    moved = {key: value if key == "crew" else value[:, order] for key, value in obs.items()}
    with torch.no_grad():
        before, after = (extractor({k: torch.as_tensor(v.copy()) for k, v in o.items()}) for o in (obs, moved))
        torch.testing.assert_close(scores(after), scores(before)[:, order])
        torch.testing.assert_close(value(after), value(before))


@pytest.mark.parametrize("kind", ["hours", "kilometres"])
def test_networks__change_of_units_changes_nothing(kind: str) -> None:
    venv, obs = mid_episode()
    extractor = RegionExtractor(venv.observation_space, width=16)
    changed = {key: value.astype(np.float64) for key, value in obs.items()}
    crew = changed["crew"]
    names = crew_columns(3)
    if kind == "hours":
        for column in ("lower_h", "upper_h", "point_h", "realised_h"):
            changed[column] *= 60.0
        for i, name in enumerate(names):
            hours = name.endswith("_h") or "_h_" in name
            crew[:, i] *= 60.0 if hours else 1 / 60.0 if name == "speed_kmh" else 1.0
    else:
        for column in ("x_km", "y_km", "distance_km"):
            changed[column] *= 1000.0
        for name in ("x_km", "y_km", "speed_kmh"):
            crew[:, CREW_SCALARS.index(name)] *= 1000.0
    with torch.no_grad():
        before, after = (
            extractor({k: torch.as_tensor(v.copy()).float() for k, v in o.items()}) for o in (obs, changed)
        )
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)


def test_networks__region_policies_need_the_extractor() -> None:
    env = gym.make("Restoration-v0", **ENV_KWARGS)
    with pytest.raises(ValueError, match="RegionExtractor"):
        PPO(learners.ppo.policy_over_choices(), env, device="cpu")
