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


# --------------------------------------------------------------------------------------------------- sides by their ids

SIDES = ("Planner", "Nature", "Crews")
each_side = pytest.mark.parametrize("side", SIDES)
RULES = {"planner": ("greedy", "random"), "nature": ("worst", "mean", "random"), "crews": ("best", "random")}


def side_env(side, **kwargs):
    return gym.make(f"stormgym:DefenderAttacker{side}-v0", profile="synthetic:6:1", **kwargs)


def season(env, seed):
    obs, info = env.reset(seed=seed)
    env.action_space.seed(7)
    ended, total, costs = False, 0.0, [info["cost"]]
    while not ended:
        mask = info.get("action_mask")
        obs, reward, ended, truncated, info = env.step(env.action_space.sample(mask=mask))
        assert env.observation_space.contains(obs)
        assert not truncated
        total += reward
        costs.append(info["cost"])
    assert info["episode_cost"] == sum(costs)
    return total, {name: value for name, value in info.items() if name != "action_mask"}


@each_side
def test_ids__pass_gymnasiums_checker_and_keep_their_spec(side):
    env = side_env(side)
    check_env(env.unwrapped, skip_render_check=True)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert season(again, 3) == season(env, 3)
    assert env.get_wrapper_attr("cost_limit") == env.unwrapped.profile.cost_limit


@each_side
def test_ids__a_seed_decides_the_season_and_what_rules_draw(side):
    rules = {name: "random" for name in RULES}
    env, other = side_env(side, **rules), side_env(side, **rules)
    first = season(env, 5)
    season(env, None)
    assert season(other, 5) == first == season(env, 5)
    assert season(env, 6) != first


def test_ids__worst_nature_is_the_worst_storm_and_greedy_beats_random():
    planner, losses = {}, {}
    for nature in RULES["nature"]:
        planner[nature] = [season(side_env("Planner", nature=nature), seed) for seed in range(8)]
        losses[nature] = np.mean([-total for total, _ in planner[nature]])
    for total, info in planner["worst"]:
        assert -total == pytest.approx(info["metrics"]["worst_saidi_h"])
    assert losses["worst"] > max(losses["mean"], losses["random"])
    crews = {
        rule: np.mean([-season(side_env("Crews", planner=rule), s)[0] for s in range(8)])
        for rule in ("greedy", "random")
    }
    assert crews["greedy"] < crews["random"]


def test_ids__a_side_against_rules_is_the_game_between_the_same_players():
    env = side_env("Planner")
    total, info = season(env, 2)
    inner = game(profile="synthetic:6:1")
    twin = SideEnv(inner, "planner", {"nature": WorstStorm(), "crews": BestCrews()})
    twin.action_space.seed(7)
    twin_total, twin_info = season(twin, 2)
    assert total == pytest.approx(twin_total)
    assert info["metrics"]["n_protected"] == twin_info["metrics"]["n_protected"]


def test_ids__bad_arguments():
    with pytest.raises(ValueError, match="nature must be one of worst, mean, random; got 'calm'"):
        side_env("Planner", nature="calm")
    with pytest.raises(ValueError, match="side must be one of planner, nature, crews; got 'sky'"):
        gym.make("stormgym:DefenderAttackerPlanner-v0", side="sky")


@each_side
def test_ids__costs_are_equal_in_vector_form(side):
    batch = gym.make_vec(f"stormgym:DefenderAttacker{side}-v0", 2, vectorization_mode="sync", profile="synthetic:6:1")
    batch.reset(seed=0)
    batch.action_space.seed(0)
    total, ended = np.zeros(2), np.zeros(2, dtype=bool)
    while not ended.all():
        _, _, terminated, _, infos = batch.step(batch.action_space.sample())
        total += np.where(ended, 0.0, infos["cost"])
        for row in np.flatnonzero(terminated & ~ended):
            assert infos["episode_cost"][row] == total[row]
        ended |= terminated
