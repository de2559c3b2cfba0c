"""Costs through wrappers: none is lost, and a missing one is an error."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from stormgym.envs.wrappers import (
    CostInfo,
    CostStep,
    LagrangianReward,
    VectorEpisodeCost,
    cost_of,
    vector_costs,
)

N_STEPS = 3


class Countdown(gym.Env[np.ndarray, np.int64]):
    """Ends after three steps; step t costs `scale * t` and pays t."""

    observation_space = gym.spaces.Box(0.0, 10.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, scale: float = 1.0, give_cost: bool = True) -> None:
        self.scale, self.give_cost, self.t = scale, give_cost, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {"cost": 0.0} if self.give_cost else {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        info = {"cost": self.scale * self.t} if self.give_cost else {}
        return self._observation(), float(self.t), self.t == N_STEPS, False, info

    def _observation(self) -> np.ndarray:
        return np.array([self.t], dtype=np.float32)


def countdowns(mode: AutoresetMode, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    """Two countdowns whose costs differ by a factor of ten."""
    makers = [lambda scale=scale: Countdown(scale, **kwargs) for scale in (1.0, 10.0)]
    return SyncVectorEnv(makers, autoreset_mode=mode)


def test_cost_of__missing_cost_is_a_key_error_with_the_cure():
    assert cost_of({"cost": np.float32(2.0)}) == 2.0
    with pytest.raises(KeyError, match=r"info has no key 'cost'.*Wrap the environment"):
        cost_of({"reward": 1.0})


def test_cost_step__gives_six_items_with_the_cost_third():
    env = CostStep(Countdown())
    env.reset()
    obs, reward, cost, terminated, truncated, info = env.step(0)
    assert (float(obs[0]), reward, cost, terminated, truncated) == (1.0, 1.0, 1.0, False, False)
    assert info["cost"] == cost


def test_cost_step__missing_cost_is_a_key_error():
    env = CostStep(Countdown(give_cost=False))
    env.reset()
    with pytest.raises(KeyError, match="info has no key 'cost'"):
        env.step(0)


def test_cost_info__undoes_cost_step():
    plain, there_and_back = Countdown(), CostInfo(CostStep(Countdown()))
    assert plain.reset()[1] == there_and_back.reset()[1]
    for _ in range(N_STEPS):
        assert plain.step(0) == there_and_back.step(0)


def test_cost_info__five_items_are_an_error_that_says_how_many():
    env = CostInfo(Countdown())
    env.reset()
    with pytest.raises(ValueError, match="six-tuple steps; this one returned 5 items"):
        env.step(0)


def test_lagrangian_reward__is_reward_minus_multiplier_times_cost():
    env = LagrangianReward(Countdown(scale=2.0), multiplier=0.25)
    env.reset()
    _, reward, _, _, info = env.step(0)
    assert reward == 1.0 - 0.25 * 2.0
    assert info["reward"] == 1.0
    env.multiplier = 1.0
    assert env.step(0)[1] == 2.0 - 4.0


@pytest.mark.parametrize("bad", [-0.1, float("nan")])
def test_lagrangian_reward__negative_multiplier_is_an_error(bad):
    with pytest.raises(ValueError, match="multiplier must be >= 0; got"):
        LagrangianReward(Countdown(), multiplier=bad)


def test_lagrangian_reward__missing_cost_is_a_key_error():
    env = LagrangianReward(Countdown(give_cost=False))
    env.reset()
    with pytest.raises(KeyError, match="info has no key 'cost'"):
        env.step(0)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_episode_cost__sums_each_episode_once_in_every_mode(mode):
    env = VectorEpisodeCost(countdowns(mode))
    env.reset(seed=0)
    found: list[list[float]] = []
    for _ in range(12):
        _, _, terminated, truncated, infos = env.step(np.zeros(2, dtype=np.int64))
        ended = terminated | truncated
        np.testing.assert_array_equal(infos["_episode_cost"], ended)
        np.testing.assert_array_equal(infos["_episode_return"], ended)
        assert (infos["episode_cost"][~ended] == 0).all()
        if ended.any():
            found.append([*infos["episode_cost"], *infos["episode_return"]])
            if mode == AutoresetMode.DISABLED:
                env.reset(options={"reset_mask": ended})
    assert len(found) >= 3
    assert found == [[6.0, 60.0, 6.0, 6.0]] * len(found)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_episode_cost__a_reset_in_mid_episode_begins_anew(mode):
    env = VectorEpisodeCost(countdowns(mode))
    for _ in range(2):
        env.reset(seed=0)
        env.step(np.zeros(2, dtype=np.int64))
    env.step(np.zeros(2, dtype=np.int64))
    infos = env.step(np.zeros(2, dtype=np.int64))[4]
    np.testing.assert_array_equal(infos["episode_cost"], [6.0, 60.0])


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_episode_cost__missing_cost_is_a_key_error(mode):
    env = VectorEpisodeCost(countdowns(mode, give_cost=False))
    env.reset(seed=0)
    with pytest.raises(KeyError, match="infos has no key 'cost'"):
        env.step(np.zeros(2, dtype=np.int64))


def test_vector_episode_cost__needs_to_know_the_autoreset_mode():
    env = countdowns(AutoresetMode.NEXT_STEP)
    del env.metadata["autoreset_mode"]
    with pytest.raises(ValueError, match=r"needs metadata\['autoreset_mode'\]"):
        VectorEpisodeCost(env)


def test_vector_costs__an_environment_without_cost_is_named():
    with pytest.raises(KeyError, match=r"no cost from environments \[1\]"):
        vector_costs({"cost": np.zeros(2), "_cost": np.array([True, False])}, 2)


def test_vector_costs__final_info_without_cost_is_an_error():
    infos = {"cost": np.zeros(1), "final_info": {}, "_final_info": np.array([True])}
    with pytest.raises(KeyError, match=r"infos\['final_info'\] has no key 'cost'"):
        vector_costs(infos, 1)


def test_vector_costs__last_cost_of_an_episode_comes_from_final_info():
    infos = {
        "cost": np.array([0.0, 5.0]),
        "_cost": np.array([True, True]),
        "final_info": {"cost": np.array([7.0, 0.0]), "_cost": np.array([True, False])},
        "_final_info": np.array([True, False]),
    }
    np.testing.assert_array_equal(vector_costs(infos, 2), [7.0, 5.0])
    np.testing.assert_array_equal(infos["cost"], [0.0, 5.0])
