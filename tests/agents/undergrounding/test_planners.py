"""Policies for Undergrounding-v0, and games of DefenderAttacker-v0 between them."""

import itertools
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.env_checker import data_equivalence as same
from pettingzoo.test import api_test, seed_test

import stormgym
from stormgym.agents.lineup import make_policy
from stormgym.agents.registry import AGENTS, known_agents
from stormgym.agents.undergrounding.case import best_plan, case_of, left_h
from stormgym.agents.undergrounding.planners import (
    BuryNothing,
    FairHardening,
    OracleHardening,
    SampledHardening,
    TriLevel,
    sampled_storms,
)
from stormgym.agents.undergrounding.players import NATURES, BestCrews, WorstStorm, play_game
from stormgym.agents.undergrounding.trilevel.solve import solve_trilevel
from stormgym.envs.undergrounding.adversary import DefenderAttackerEnv, action_of, storm_of
from stormgym.envs.undergrounding.profiles import resolve_profile
from stormgym.envs.undergrounding.side import SideEnv

PLANNERS = [name for name in known_agents("Undergrounding-v0", trainable=False)]


def totals(name, n_envs=8, **kwargs):
    """Mean loss and worst loss of a policy on seasons 0 to n - 1."""
    env = gym.make_vec("Undergrounding-v0", n_envs, vectorization_mode="vector_entry_point", **kwargs)
    policy = make_policy(name, env)
    obs, _ = env.reset(seed=0)
    state, start, loss = None, np.ones(n_envs, dtype=bool), np.full((2, n_envs), np.nan)
    while np.isnan(loss).any():
        action, state = policy.predict(obs, state, start, deterministic=True)
        obs, _, ended, _, infos = env.step(action)
        start = ended
        new = ended & np.isnan(loss[0])
        if new.any():
            for i, key in enumerate(("saidi_h", "worst_saidi_h")):
                loss[i, new] = infos["metrics"][key][new]
    return loss


@pytest.mark.parametrize("name", PLANNERS)
def test_policy__plays_within_the_budget_and_the_same_alone_and_in_batches(name):
    if name == "random":
        pytest.skip("draws anew for each batch")
    many = totals(name, n_envs=3)
    for seed in range(3):
        env = gym.make("Undergrounding-v0", on_invalid="raise").unwrapped
        policy = make_policy(name, env)
        obs, _ = env.reset(seed=seed)
        state, ended = None, False
        while not ended:
            action, state = policy.predict(obs, state, deterministic=True)
            obs, _, ended, _, info = env.step(action)
        assert info["metrics"]["saidi_h"] == many[0, seed]
        assert info["metrics"]["spent"] <= env.profile.budget


def test_tri_level__is_the_least_in_the_worst_storm_on_every_season():
    tri = totals("tri-level", storm="adversarial")
    np.testing.assert_allclose(tri[0], tri[1], rtol=1e-9)
    for name in PLANNERS:
        if name != "random":
            assert (tri[1] <= totals(name)[1] * (1 + 1e-6)).all(), name


def test_tri_level__plans_to_the_last_cent_of_the_budget(monkeypatch):
    cost = np.array([345.75, 111.35, 387.69, 106.4, 403.18])
    profile = replace(resolve_profile("synthetic:5:0"), protect_cost=cost, budget=844.79)  # 0, 1 and 2 to the cent
    monkeypatch.setattr("stormgym.envs.undergrounding.core.resolve_profile", lambda name: profile)
    env = gym.make("Undergrounding-v0", storm="adversarial").unwrapped
    plans = np.array([plan for plan in np.ndindex(*(2,) * 5) if np.array(plan) @ cost < 844.79 + 1e-6])
    assert [1, 1, 1, 0, 0] in plans.tolist()
    for seed in range(20, 24):
        values = []
        for plan in plans:
            env.reset(seed=seed)
            for k in [*np.flatnonzero(plan), 5]:
                _, _, ended, _, info = env.step(int(k))
                if ended:
                    break
            values.append(info["metrics"]["worst_saidi_h"])
        obs, _ = env.reset(seed=seed)
        policy, state, ended = TriLevel(profile), None, False
        while not ended:
            action, state = policy.predict(obs, state=state)
            obs, _, ended, _, info = env.step(action)
        assert info["metrics"]["worst_saidi_h"] == pytest.approx(min(values), rel=1e-6)


def test_tri_level__oracle_against_the_worst_is_the_tri_level_plan():
    np.testing.assert_array_equal(
        totals("oracle-hardening", storm="adversarial"), totals("tri-level", storm="adversarial")
    )


def test_oracle__is_the_least_in_the_storm_that_comes_on_every_season():
    oracle = totals("oracle-hardening")[0]
    for name in PLANNERS:
        if name != "random":
            assert (oracle <= totals(name)[0] + 1e-12).all(), name


def test_best_plan__is_the_best_of_all_plans():
    env = gym.make("Undergrounding-v0", profile="synthetic:7:3", n_crews=2).unwrapped
    for seed in range(4):
        obs, _ = env.reset(seed=seed)
        case = case_of({name: value[None] for name, value in obs.items()}, 0)
        storms = sampled_storms(env.profile, case.covariates)
        plans = np.array(list(itertools.product([False, True], repeat=7)))
        plans = plans[plans @ env.profile.protect_cost <= env.profile.budget]
        losses = env.profile.loss_h(left_h(plans, storms, env.profile.population, 2)).mean(axis=1)
        found = best_plan(case, storms, env.profile)
        mine = env.profile.loss_h(left_h(found[None], storms, env.profile.population, 2)).mean()
        assert mine == pytest.approx(losses.min(), rel=1e-12)


def test_best_plan__local_search_comes_close_where_plans_are_too_many_to_list(monkeypatch):
    env = gym.make("Undergrounding-v0").unwrapped
    obs, _ = env.reset(seed=1)
    case = case_of({name: value[None] for name, value in obs.items()}, 0)
    storms = sampled_storms(env.profile, case.covariates)

    def value(plan):
        return env.profile.loss_h(left_h(plan[None], storms, env.profile.population, 1)).mean()

    exact = value(best_plan(case, storms, env.profile))
    monkeypatch.setattr("stormgym.agents.undergrounding.case.MAX_LISTED", 3)
    assert exact <= value(best_plan(case, storms, env.profile)) <= 1.05 * exact


def test_policy__asked_in_mid_season_plans_for_what_is_left():
    env = gym.make("Undergrounding-v0", on_invalid="raise").unwrapped
    for name in ("tri-level", "sampled-hardening", "one-stage-mean", "loss-per-cost"):
        env.reset(seed=5)
        obs = env.step(8)[0]  # a dear region that nobody would take
        policy, state, ended = make_policy(name, env), None, False
        while not ended:
            action, state = policy.predict(obs, state, deterministic=True)
            obs, _, ended, _, info = env.step(action)
        assert env.process.protected[0, 8]
        assert info["metrics"]["n_protected"] >= 2


@pytest.mark.slow
def test_fair_hardening__keeps_the_limit_on_new_seasons_and_costs_more_than_without():
    n = 400
    kwargs = {"n_envs": n}
    env = gym.make("Undergrounding-v0").unwrapped
    fair, free = FairHardening.for_env(env), SampledHardening.for_env(env)
    assert fair.gap_weight > 0
    assert free.gap_weight == 0
    losses = {name: totals(name, **kwargs)[0].mean() for name in ("fair-hardening", "sampled-hardening")}
    assert losses["fair-hardening"] > losses["sampled-hardening"]
    gaps = []
    for seed in range(n):
        obs, _ = env.reset(seed=seed)
        state, ended = None, False
        while not ended:
            action, state = fair.predict(obs, state, deterministic=True)
            obs, _, ended, _, info = env.step(action)
        gaps.append(info["metrics"]["gap_h"])
    assert np.mean(gaps) <= env.cost_limit * 1.05  # a mean of 400, sd of the mean some 3 %


def test_knapsacks__plan_on_networks_and_take_a_forecaster_of_their_own():
    from stormgym.agents.undergrounding.decision import SAIDIModel, simulated_seasons
    from stormgym.agents.undergrounding.forecasters import GDFKnapsack, TwoStageKnapsack

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
    events = simulated_seasons(env.profile, 20, 1, names=("wind_ms",))
    narrow = SAIDIModel(("wind_ms",), n_steps=2).fit(events.X, events.outage_h)
    with pytest.raises(ValueError, match="the forecaster must see temperature_c, wind_ms, humidity, log_customers"):
        TwoStageKnapsack(env.profile, forecaster=narrow)


def test_policy__another_observation_is_an_error():
    env = gym.make("Undergrounding-v0").unwrapped
    other = gym.make("Restoration-v0", city="synthetic:8:1").unwrapped
    obs, _ = other.reset(seed=0)
    with pytest.raises(ValueError, match="this agent reads the observation of Undergrounding-v0"):
        TriLevel.for_env(env).predict(obs)
    with pytest.raises(TypeError, match="this agent needs Undergrounding-v0"):
        TriLevel.for_env(other)
    with pytest.raises(ValueError, match="gap_weight must be at least 0"):
        SampledHardening(env.profile, gap_weight=-1.0)
    with pytest.raises(ValueError, match="gap_weight must be at least 0 and finite; got inf"):
        SampledHardening(env.profile, gap_weight=np.inf)
    with pytest.raises(ValueError, match=r"margin must be in \[0, 1\)"):
        FairHardening(env.profile, margin=1.0)
    with pytest.raises(ValueError, match="this agent reads the observation of Undergrounding-v0"):
        WorstStorm().predict(obs)
    with pytest.raises(ValueError, match="this agent reads the observation of crews in DefenderAttacker-v0"):
        BestCrews().predict(obs)
    five = gym.make("Undergrounding-v0", profile="synthetic:5:0").unwrapped
    obs, _ = five.reset(seed=0)
    with pytest.raises(ValueError, match="tri-level plans for the 10 regions of profile 'ten'; the observation has 5"):
        TriLevel.for_env(env).predict(obs)


def test_oracle__of_other_seasons_is_an_error():
    env, other = (gym.make("Undergrounding-v0").unwrapped for _ in range(2))
    env.reset(seed=0)
    obs, _ = other.reset(seed=1)
    with pytest.raises(ValueError, match="bound to other seasons; bind it to the environment that it plays"):
        OracleHardening.for_env(env).predict(obs)
    with pytest.raises(TypeError, match="this agent needs Undergrounding-v0"):
        OracleHardening.for_env(game())


def test_policy__of_another_profile_of_as_many_regions_is_an_error():
    obs, _ = gym.make("Undergrounding-v0", profile="synthetic:10:3").unwrapped.reset(seed=0)
    with pytest.raises(ValueError, match=r"tri-level plans for profile 'ten'; .* another population"):
        TriLevel(resolve_profile("ten")).predict(obs)


def test_fair_hardening__says_where_no_price_keeps_the_limit():
    profile = replace(resolve_profile("synthetic:4:0"), cost_limit=0.01)
    with pytest.warns(UserWarning, match=r"no price of the gap keeps the limit 0\.01 h .* Raise cost_limit"):
        FairHardening(profile)


# ------------------------------------------------------------------------------------------------------- the game


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


def test_game__with_all_sides_planning_gives_the_three_level_value():
    env = game(profile="synthetic:8:2", n_crews=2)
    planner = TriLevel.for_env(env)
    for seed in range(5):
        metrics = play_game(env, {"planner": planner, "nature": WorstStorm()}, seed=seed)
        known, p = env.process.forecast, env.profile
        bounds = (known.lower[0], known.upper[0], float(known.total_lower[0]), float(known.total_upper[0]))
        optimum = solve_trilevel(p.population, p.protect_cost, 1.0, *bounds, budget=p.budget, crew_budget=2.0)
        assert metrics["unserved_customer_h"] == pytest.approx(optimum.value, rel=1e-5)  # observations are float32


def test_game__no_nature_is_worse_than_the_worst_and_no_crews_are_better_than_the_best():
    env = game()
    planner = TriLevel.for_env(env)
    for seed in range(3):
        worst = play_game(env, {"planner": planner, "nature": WorstStorm()}, seed=seed)["saidi_h"]
        for kind in NATURES.values():
            assert play_game(env, {"planner": planner, "nature": kind()}, seed=seed)["saidi_h"] <= worst * (1 + 1e-6)
        crews = make_policy("random", env)
        assert play_game(env, {"planner": planner, "nature": WorstStorm(), "crews": crews}, seed=seed)["saidi_h"] >= (
            worst * (1 - 1e-6)
        )
        nothing = play_game(env, {"planner": BuryNothing.for_env(env), "nature": WorstStorm()}, seed=seed)
        assert nothing["saidi_h"] > worst


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


# ------------------------------------------------------------------------------------------------- one side of it


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


def test_registry__every_policy_of_undergrounding_tells_what_it_is():
    for name in PLANNERS:
        assert AGENTS[name].summary
        assert "Source:" in (AGENTS[name].load().__doc__ or "")
