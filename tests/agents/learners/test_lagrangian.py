"""Reward - lambda * cost: the wrapper, the dual step, the buffer that prices anew, logs, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.logger import KVWriter, Logger

from stormgym.agents.attention.multiplier import LagrangeMultiplier
from stormgym.agents.learners.lagrangian import (
    LagrangianCallback,
    PricedReplayBuffer,
    VecLagrangianReward,
    multiplier_state,
    restore_multiplier,
)
from stormgym.envs.adapters.sb3 import StormVecEnv, make_vec_env

ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}


def environments(num_envs: int = 4, seed: int = 0) -> StormVecEnv:
    return make_vec_env("Restoration-v0", num_envs, seed=seed, **ENV_KWARGS)


class Memory(KVWriter):
    """Keeps every dump."""

    def __init__(self) -> None:
        self.dumps: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        self.dumps.append(dict(key_values))

    def close(self) -> None:
        pass


def first_open(venv: Any) -> np.ndarray[Any, Any]:
    return np.asarray(venv.env_method("action_masks")).argmax(axis=1)


def test_reward__is_scaled_reward_minus_lambda_times_cost_over_limit() -> None:
    plain = environments()
    multiplier = LagrangeMultiplier(5.0, initial=2.0)
    wrapped = VecLagrangianReward(environments(), multiplier, reward_scale=0.5)
    plain.reset()
    wrapped.reset()
    returns, costs, penalised = np.zeros(4), np.zeros(4), np.zeros(4)
    for _ in range(7):
        actions = first_open(plain)
        _, reward, _, infos = plain.step(actions)
        _, ours, _, our_infos = wrapped.step(actions)
        cost = np.array([info["cost"] for info in infos])
        np.testing.assert_allclose(ours, 0.5 * reward - 2.0 / 5.0 * cost, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose([info["reward"] for info in our_infos], reward)
        returns += reward
        costs += cost
        penalised += ours
    for i, info in enumerate(our_infos):
        assert info["episode"]["r"] == pytest.approx(returns[i], abs=1e-4)  # the plain return, not the penalised one
        assert info["episode"]["c"] == pytest.approx(costs[i])
        assert info["episode"]["p"] == pytest.approx(penalised[i], abs=1e-4)
        assert info["metrics"]["gap_h"] == pytest.approx(costs[i])
    assert wrapped.finished_costs == pytest.approx(list(costs))


def test_reward__missing_cost_is_an_error() -> None:
    class NoCost(StormVecEnv):
        def step_wait(self) -> Any:
            obs, reward, done, infos = super().step_wait()
            return obs, reward, done, [{k: v for k, v in info.items() if k != "cost"} for info in infos]

    wrapped = VecLagrangianReward(NoCost(environments().env), LagrangeMultiplier(8.0))
    wrapped.reset()
    with pytest.raises(KeyError, match="info has no key 'cost'"):
        wrapped.step(first_open(wrapped))


@pytest.mark.parametrize("settles", [True, False])
def test_reward__settled_truncation_is_not_bootstrapped(settles: bool) -> None:
    for bootstrap in (True, False):
        inner = environments()
        inner.env.unwrapped.core.settles_when_truncated = settles  # or an environment that leaves something to come
        wrapped = VecLagrangianReward(inner, LagrangeMultiplier(8.0), bootstrap_truncated=bootstrap)
        wrapped.reset()
        for _ in range(28):  # always the same region: out of steps after 4 N
            _, _, done, infos = wrapped.step(np.zeros(4, dtype=np.int64))
        assert done.all()
        assert all(info["TimeLimit.truncated"] is (bootstrap and not settles) for info in infos)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_reward__scale_must_be_positive(scale: float) -> None:
    with pytest.raises(ValueError, match="reward_scale must be above 0"):
        VecLagrangianReward(environments(), LagrangeMultiplier(8.0), reward_scale=scale)


@pytest.mark.parametrize("method", ["softplus", "projected"])
def test_multiplier__rises_over_the_limit_and_falls_within(method: Any) -> None:
    multiplier = LagrangeMultiplier(8.0, initial=1.0, learning_rate=0.1, method=method)
    for _ in range(5):
        before = multiplier.value
        assert multiplier.update(16.0) > before
    high = multiplier.value
    for _ in range(100):
        multiplier.update(4.0)
    assert 0.0 <= multiplier.value < high


def test_multiplier__projected_step_is_equation_19_with_the_sign_put_right() -> None:
    multiplier = LagrangeMultiplier(8.0, initial=0.1, learning_rate=0.5, method="projected")
    assert multiplier.update(12.0) == pytest.approx(0.1 + 0.5 * (12.0 / 8.0 - 1.0))
    assert multiplier.update(0.0) == 0.0  # max(0, ...)


def test_multiplier__state_goes_on_exactly() -> None:
    first, second = LagrangeMultiplier(8.0), LagrangeMultiplier(8.0)
    for cost in (12.0, 3.0, 9.0):
        first.update(cost)
    restore_multiplier(second, multiplier_state(first))
    for cost in (7.0, 20.0):
        assert first.update(cost) == second.update(cost)
    with pytest.raises(ValueError, match="limit"):
        restore_multiplier(LagrangeMultiplier(5.0), multiplier_state(first))
    with pytest.raises(ValueError, match="method"):
        restore_multiplier(LagrangeMultiplier(8.0, method="projected"), multiplier_state(first))


@pytest.mark.parametrize("algorithm", [PPO, MaskablePPO, DQN])
def test_training__moves_lambda_logs_and_saves_it(algorithm: Any, tmp_path: Path) -> None:
    venv = environments()
    wrapped = VecLagrangianReward(venv, LagrangeMultiplier(0.1, learning_rate=0.1))  # no policy is within this limit
    callback = LagrangianCallback(wrapped, min_episodes=4)
    settings: dict[str, Any] = {"n_steps": 32, "batch_size": 64}
    if algorithm is DQN:
        settings = {"learning_starts": 50, "replay_buffer_class": PricedReplayBuffer, "buffer_size": 400}
    model = algorithm("MultiInputPolicy", wrapped, seed=0, device="cpu", **settings)
    memory = Memory()
    model.set_logger(Logger(None, [memory]))
    model.learn(400, callback=callback)
    assert wrapped.multiplier.value > 1.0
    logged = {key for dump in memory.dumps for key in dump}
    assert {
        "train/lambda",
        "rollout/ep_cost_mean",
        "rollout/ep_penalised_mean",
        "rollout/ep_rew_mean",
    } <= logged
    last = memory.dumps[-1]
    assert last["rollout/ep_rew_mean"] > last["rollout/ep_penalised_mean"]  # the first is the plain return
    model.save(tmp_path / "model.zip")

    fresh = VecLagrangianReward(environments(), LagrangeMultiplier(0.1, learning_rate=0.1))
    loaded = algorithm.load(tmp_path / "model.zip", env=fresh, device="cpu")
    again = LagrangianCallback(fresh, min_episodes=10_000)
    loaded.learn(1, callback=again, reset_num_timesteps=False)
    assert fresh.multiplier.value == wrapped.multiplier.value
    assert fresh.multiplier.update(3.0) == wrapped.multiplier.update(3.0)  # its optimiser as well


def test_buffer__old_transitions_carry_the_new_lambda() -> None:
    wrapped = VecLagrangianReward(environments(), LagrangeMultiplier(8.0, initial=1.0), reward_scale=0.3)
    model = DQN(
        "MultiInputPolicy",
        wrapped,
        seed=0,
        device="cpu",
        buffer_size=80,
        replay_buffer_class=PricedReplayBuffer,
    )
    buffer = model.replay_buffer
    assert isinstance(buffer, PricedReplayBuffer)
    LagrangianCallback(wrapped).init_callback(model)
    buffer.reprice(wrapped.multiplier.per_unit)
    plain: list[Any] = []
    costs: list[Any] = []
    obs: Any = wrapped.reset()
    for _ in range(10):
        actions = first_open(wrapped)
        following, reward, done, infos = wrapped.step(actions)
        buffer.add(obs, following, actions, reward, done, infos)
        plain.append([info["reward"] for info in infos])
        costs.append([info["cost"] for info in infos])
        obs = following
    for price in (wrapped.multiplier.per_unit, 0.7, 0.0):
        buffer.reprice(price)
        expected = 0.3 * np.array(plain) - price * np.array(costs)
        np.testing.assert_allclose(buffer.rewards[:10], expected, rtol=1e-4, atol=1e-5)
    assert buffer.sample(8).rewards.shape == (8, 1)
    with pytest.raises(KeyError, match="cost"):
        buffer.add(obs, obs, actions, reward, done, [{}] * 4)


def test_callback__needs_at_least_one_episode() -> None:
    with pytest.raises(ValueError, match="min_episodes"):
        LagrangianCallback(VecLagrangianReward(environments(), LagrangeMultiplier(8.0)), min_episodes=0)
