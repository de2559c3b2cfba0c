"""DefenderAttacker-v0: PettingZoo's checks, turns, rewards, pictures, and the text of its errors."""

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.env_checker import data_equivalence as same
from pettingzoo.test import api_test, seed_test

import stormgym
from stormgym.agents.lineup import make_policy
from stormgym.agents.undergrounding.planners import (
    TriLevel,
)
from stormgym.agents.undergrounding.players import BestCrews, WorstStorm, play_game
from stormgym.envs.undergrounding.adversary import DefenderAttackerEnv, action_of, storm_of


def game(**kwargs):
    return pettingzoo.make("aec", "DefenderAttacker-v0", **kwargs)


def test_game__is_registered_once():
    stormgym.register_envs()  # again, without a warning
    assert isinstance(game(), DefenderAttackerEnv)
    assert isinstance(game(profile="synthetic:5:0"), DefenderAttackerEnv)


@pytest.mark.filterwarnings("ignore::UserWarning")  # that agents see dictionaries, and differ: they do
@pytest.mark.parametrize("kwargs", [{}, {"profile": "synthetic:5:0", "n_crews": 2}, {"n_crews": 0}])
def test_game__passes_pettingzoos_api_test(kwargs):
    api_test(game(**kwargs), num_cycles=200)


def test_game__passes_pettingzoos_seed_test():
    seed_test(game, num_cycles=100)


def test_game__many_seasons_in_two_games_are_the_same_to_the_bit():
    """PettingZoo's own seed test stops at the first end."""
    histories = []
    for _ in range(2):
        env, history = game(n_crews=2), []
        env.reset(seed=3)
        for agent in env.possible_agents:
            env.action_space(agent).seed(7)
        for _ in range(12):
            for agent in env.agent_iter():
                observation, reward, terminated, truncated, info = env.last()
                mask = observation.get("action_mask")
                action = None if terminated or truncated else env.action_space(agent).sample(mask)
                history.append((agent, observation, reward, terminated, info, action))
                env.step(action)
            env.reset()
        histories.append(history)
    assert len(histories[0]) > 100
    for mine, other in zip(*histories, strict=True):
        assert same(mine, other)


def test_game__the_same_seed_is_the_same_season_as_in_undergrounding():
    env, single = game(), gym.make("Undergrounding-v0").unwrapped
    env.reset(seed=4)
    obs, _ = single.reset(seed=4)
    assert same(env.observe("planner"), obs)


def test_game__rewards_are_paid_at_the_end_and_masks_follow_the_turn():
    env = game()
    env.reset(seed=0)
    assert env.agent_selection == "planner"
    assert env.infos["crews"]["action_mask"].all()  # not its turn
    env.step(3)
    assert env.observe("planner")["action_mask"][3] == 0
    env.step(10)
    assert env.agent_selection == "nature"
    assert "action_mask" not in env.infos["nature"]
    env.step(np.ones(10))
    assert env.agent_selection == "crews"
    storm, known = env.storm, env.process.forecast
    assert storm.sum() == pytest.approx(known.total_upper[0])
    assert env.observe("crews")["action_mask"][3] == 0
    assert not any(env.rewards.values())
    env.step(int(BestCrews().predict(env.observe("crews"))[0]))
    assert env.rewards["planner"] == env.rewards["crews"] == -env.rewards["nature"]
    assert all(env.terminations.values())
    left = storm * (np.arange(10) != 3) * (1 - env.sent)
    assert env.rewards["nature"] == pytest.approx(env.profile.loss_h(left))


def test_storm_of__is_in_the_set_and_reaches_all_of_it():
    rng = np.random.default_rng(0)
    for _ in range(50):
        lower = rng.uniform(0, 2, 6)
        upper = lower + rng.uniform(0, 5, 6)
        low, high = np.sort(rng.uniform(lower.sum(), upper.sum(), 2))
        storm = storm_of(rng.random(6), lower, upper, low, high)
        assert (storm >= lower - 1e-12).all()
        assert (storm <= upper + 1e-12).all()
        assert low - 1e-9 <= storm.sum() <= high + 1e-9
        np.testing.assert_allclose(storm_of(action_of(storm, lower, upper), lower, upper, low, high), storm, rtol=1e-9)


def test_game__bad_moves_name_the_player_and_the_rule():
    env = game(profile="synthetic:5:0")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="the action of planner must be a region 0 to 4, or 5 to stop; got 9"):
        env.step(9)
    with pytest.raises(TypeError, match=r"the action of planner must be an integer; got 0\.5"):
        env.step(0.5)
    env.step(5)
    with pytest.raises(ValueError, match="the action of nature must be 5 numbers from 0 to 1"):
        env.step(np.full(5, 2.0))
    with pytest.raises(ValueError, match="the action of nature must be 5 numbers"):
        env.step(np.full(5, np.nan))
    env.step(np.zeros(5))
    with pytest.raises(ValueError, match="must be a region 0 to 4, or 5 to stay; got -1"):
        env.step(-1)
    env.reset(seed=0)
    env.step(5)
    for action in ("x", ["a"] * 5, {"a": 1}, None):
        with pytest.raises(ValueError, match="the action of nature must be 5 numbers"):
            env.step(action)
    with pytest.raises(KeyError, match="agent must be one of planner, nature, crews; got 'sky'"):
        env.observe("sky")
    with pytest.raises(TypeError, match="the action of planner must be an integer; got array"):
        play_game(env, {"planner": WorstStorm(), "nature": WorstStorm()}, seed=0)
    with pytest.raises(KeyError, match="players must be planner, nature and, if you like, crews; got planner"):
        play_game(env, {"planner": make_policy("random", env)})


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_game__renders(mode):
    env = game(render_mode=mode)
    env.reset(seed=0)
    assert env.render() is not None
    with pytest.raises(ValueError, match="render_mode must be one of ansi, rgb_array"):
        game(render_mode="human")


def test_game__out_of_season_asks_for_a_reset():
    env = game()
    for ask in (lambda: env.step(0), lambda: env.observe("planner")):
        with pytest.raises(gym.error.ResetNeeded, match=r"reset\(\)"):
            ask()
    play_game(env, {"planner": TriLevel.for_env(env), "nature": WorstStorm()}, seed=0)
    with pytest.raises(gym.error.ResetNeeded, match="the season has not begun or has ended"):
        env.step(None)


def test_game__pictures_follow_the_turns():
    env = game(render_mode="ansi", n_crews=2)
    env.reset(seed=0)
    env.step(10)
    assert "the storm is still to come" in env.render()  # nature's turn
    env.step(np.full(10, 0.5))
    assert "h a customer, gap" in env.render()
    assert "crew" not in env.render()
    env.step(env.best_crew())
    assert env.render().count("crew") == 1
