"""One side of the game as a Gymnasium environment."""

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.env_checker import check_env

from stormgym.agents.undergrounding.planners import (
    TriLevel,
)
from stormgym.agents.undergrounding.players import BestCrews, WorstStorm, play_game
from stormgym.envs.undergrounding.side import SideEnv


def game(**kwargs):
    return pettingzoo.make("aec", "DefenderAttacker-v0", **kwargs)


@pytest.mark.filterwarnings("ignore:.*not within the observation space:UserWarning")
@pytest.mark.parametrize("side", ["planner", "nature", "crews"])
def test_side__passes_gymnasiums_checker_and_gives_the_games_reward(side):
    inner = game(n_crews=2)
    players = {"planner": TriLevel.for_env(inner), "nature": WorstStorm(), "crews": BestCrews()}
    env = SideEnv(inner, side, {name: player for name, player in players.items() if name != side})
    check_env(env, skip_render_check=True)
    obs, info = env.reset(seed=3)
    total, ended = 0.0, False
    env.action_space.seed(0)
    while not ended:
        action = env.action_space.sample() if side == "nature" else int(np.flatnonzero(env.action_masks())[0])
        obs, reward, ended, _, info = env.step(action)
        total += reward
    assert env.observation_space.contains(obs)
    assert total == pytest.approx(info["metrics"]["saidi_h"] * (1 if side == "nature" else -1))


def test_side__bad_players():
    inner = game()
    with pytest.raises(ValueError, match="side must be one of planner, nature, crews; got 'sky'"):
        SideEnv(inner, "sky", {})
    with pytest.raises(ValueError, match="players must be policies of crews, planner; got -"):
        SideEnv(inner, "nature", {})
    with pytest.raises(ValueError, match="crews never has a turn: n_crews is 0"):
        SideEnv(game(n_crews=0), "crews", {"planner": TriLevel.for_env(inner), "nature": WorstStorm()})
    with pytest.raises(TypeError, match="game must be DefenderAttacker-v0"):
        SideEnv(gym.make("Undergrounding-v0"), "nature", {"planner": TriLevel.for_env(inner)})
    with pytest.raises(TypeError, match=r"the player of planner must have Stable-Baselines3's predict\(\); got 3"):
        SideEnv(inner, "nature", {"planner": 3})
    env = SideEnv(inner, "nature", {"planner": TriLevel.for_env(inner)})
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(10))
    env.reset(seed=0)
    env.step(np.zeros(10))
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(10))
    env.reset(seed=0)
    with pytest.raises(AttributeError, match="it has no mask"):
        env.action_masks()


@pytest.mark.slow
def test_side__a_learnt_nature_plays_in_the_game():
    from stable_baselines3 import PPO

    inner = game(profile="synthetic:5:1")
    planner = TriLevel.for_env(inner)
    env = SideEnv(inner, "nature", {"planner": planner})
    model = PPO("MultiInputPolicy", env, n_steps=64, batch_size=64, seed=0, device="cpu").learn(128)
    metrics = play_game(inner, {"planner": planner, "nature": model}, seed=0)
    assert 0 < metrics["saidi_h"] <= metrics["worst_saidi_h"] * (1 + 1e-6)
