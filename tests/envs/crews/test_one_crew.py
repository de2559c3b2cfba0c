"""One crew learns and a policy has the others: totals of the whole storm, turns, and the text of errors."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from stormgym.agents.lineup import make_policy
from stormgym.envs.crews import teams
from stormgym.envs.crews.env import CrewDispatchEnv
from stormgym.envs.crews.one_crew import OneCrewEnv

SMALL = {"city": "synthetic:14:1", "n_crews": 3, "predictor": "none"}
CREW = {"depot": 0, "speed_kmh": 30.0, "skills": [0, 1], "start_h": 0.0, "on_h": 90.0, "off_h": 0.0, "assessor": False}


def one_crew(crew=1, others="list-rho", **kwargs):
    game = teams.env(**{**SMALL, **kwargs})
    return OneCrewEnv(game, crew, None if others is None else make_policy(others, game))


def played(env, seed, choose):
    """A storm: return, costs of all steps, last info, and how often the environment asked."""
    seen, info = env.reset(seed=seed)
    costs, total, turns, over = [info["cost"]], 0.0, 0, False
    while not over:
        seen, reward, over, _, info = env.step(choose(seen, info))
        costs.append(info["cost"])
        total, turns = total + reward, turns + 1
        assert info["episode_cost"] == pytest.approx(sum(costs), abs=1e-12)
    assert env.observation_space.contains(seen)
    return total, costs, info, turns


@pytest.mark.slow
@pytest.mark.parametrize("crew", ["crew_0", 1, "crew_2"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_assessors": 1, "assessed_share": 0.3, "reward": "terminal"},
        {"crews": [{**CREW, "start_h": hour} for hour in (1.0, 3.0, 2.0)]},  # much has passed before the first turns
    ],
)
def test_totals__are_those_of_the_whole_environment_whoever_learns(crew, settings):
    """The same rule in both seats plays the storm that it plays alone."""
    env, whole = one_crew(crew, **settings), CrewDispatchEnv(**{**SMALL, **settings})
    own = make_policy("list-rho", whole)

    def rule(seen, _):
        return int(own.predict(seen)[0])

    for seed in range(3):
        total, costs, info, turns = played(env, seed, rule)
        seen, other = whole.reset(seed=seed)
        want, asked, over = 0.0, 0, False
        while not over:
            asked += other["asked"] == info["asked"]
            seen, reward, over, _, other = whole.step(rule(seen, other))
            want += reward
        assert total == pytest.approx(want, abs=1e-12)
        assert sum(costs) == pytest.approx(other["episode_cost"], abs=1e-12)
        assert info["metrics"] == other["metrics"]
        assert turns == asked > 0


def test_totals__hold_for_any_choices_masked_ones_too():
    env, rng = one_crew(others=None, overtime_price=0.2, on_h=3.0, off_h=5.0), np.random.default_rng(0)

    def any_choice(_, info):
        return int(rng.choice(np.flatnonzero(info["action_mask"]))) if rng.random() < 0.8 else int(rng.integers(15))

    wasted = 0
    for seed in range(6):
        total, costs, info, _ = played(env, seed, any_choice)
        metrics = info["metrics"]
        assert total == pytest.approx(-metrics["mean_outage_h"] - 0.2 * metrics["overtime_h"])
        assert sum(costs) == pytest.approx(metrics["gap_h"])
        wasted += metrics["wasted_trips"]
    assert wasted > 0


def test_observation__is_that_of_the_dispatcher_when_this_crew_is_asked():
    env, rng = one_crew("crew_2"), np.random.default_rng(1)
    seen, info = env.reset(seed=3)
    over = False
    while not over:
        assert info["asked"] == 2.0
        assert int(seen["crew_asked"].argmax()) == 2
        whole = env.core.observe(0)
        assert set(seen) == set(whole)
        assert all(np.array_equal(seen[name], whole[name]) for name in whole)
        np.testing.assert_array_equal(env.action_masks(), seen["action_mask"] == 1)
        np.testing.assert_array_equal(info["action_mask"], seen["action_mask"])
        seen, _, over, _, info = env.step(int(rng.choice(np.flatnonzero(env.action_masks()))))
    assert seen["action_mask"].all()


class Counting:
    """The nearest job, and the number of turns so far as its state."""

    def __init__(self):
        self.asked = []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        self.asked.append((int(observation["crew_asked"].argmax()), state, deterministic))
        open_ = observation["action_mask"][:-1] > 0
        return np.where(open_, observation["distance_km"], np.inf).argmin(), (state or 0) + 1


def test_others__are_asked_for_every_other_crew_and_keep_a_state_of_the_storm():
    others = Counting()
    env, twin = OneCrewEnv(teams.env(**SMALL), 1, others), OneCrewEnv(teams.env(**SMALL), 1)
    for seed in range(2):
        others.asked.clear()
        total, *_ = played(env, seed, lambda _, info: int(info["action_mask"].argmax()))
        assert total == played(twin, seed, lambda _, info: int(info["action_mask"].argmax()))[0]
        assert [state for _, state, _ in others.asked] == [None, *range(1, len(others.asked))]
        assert {crew for crew, *_ in others.asked} == {0, 2}
        assert all(deterministic for *_, deterministic in others.asked)


def test_env__passes_gymnasiums_checker_and_seeds_decide():
    check_env(one_crew(), skip_render_check=True)
    env, other = one_crew(), one_crew()

    def first(_, info):
        return int(info["action_mask"].argmax())

    mine = [played(env, seed, first)[0] for seed in (5, None, None)]
    assert mine == [played(other, seed, first)[0] for seed in (5, None, None)]
    assert len(set(mine)) == 3
    assert env.announced.city is env.city


def test_reset__passes_over_storms_that_never_ask_the_crew():
    late = {**CREW, "start_h": 9.0}
    env = one_crew(1, None, city="synthetic:6:1", crews=[CREW, late], known_share=1.0, n_depots=1)
    passed = 0
    for seed in range(20):
        _, info = env.reset(seed=seed)
        assert info["asked"] == 1.0
        assert env.core.process.t[0] >= 9.0
        drawn = CrewDispatchEnv(city="synthetic:6:1", crews=[CREW, late], predictor="none", known_share=1.0, n_depots=1)
        drawn.reset(seed=seed)
        passed += not np.array_equal(drawn.process.jobs.duration_h, env.core.process.jobs.duration_h)
    assert 0 < passed < 20
    never = one_crew(1, None, city="synthetic:6:1", crews=[CREW, {**CREW, "start_h": 900.0}], n_depots=1)
    with pytest.raises(ValueError, match="crew_1 is asked in none of 100 storms"):
        never.reset(seed=0)
    with pytest.raises(gym.error.ResetNeeded):
        never.step(0)


def test_env__bad_arguments():
    game = teams.env(**SMALL)
    with pytest.raises(ValueError, match="crew must be one of crew_0, crew_1, crew_2, or its number; got 3"):
        OneCrewEnv(game, 3)
    with pytest.raises(ValueError, match="crew must be one of crew_0, crew_1, crew_2, or its number; got 'crew_x'"):
        OneCrewEnv(game, "crew_x")
    with pytest.raises(TypeError, match="game must be crew_dispatch_v0 in turns"):
        OneCrewEnv(teams.parallel_env(**SMALL), 0)
    with pytest.raises(TypeError, match=r"others must have Stable-Baselines3's predict\(\), or be None; got 3"):
        OneCrewEnv(game, 0, 3)
    env = OneCrewEnv(game, 0)
    with pytest.raises(gym.error.ResetNeeded, match="the storm has not begun or has ended"):
        env.step(0)
    with pytest.raises(ValueError, match=r"unknown reset options \['job'\]; known: jobs, cost_limit"):
        env.reset(options={"job": 1})
    env.reset(seed=0)
    with pytest.raises(ValueError, match="the action of crew_0 must be a job 0 to 13, or 14 to wait; got 15"):
        env.step(15)


def test_learner__of_one_crew_can_play_every_crew():
    from sb3_contrib import MaskablePPO

    env = one_crew(0, city="synthetic:6:1", n_crews=2)
    model = MaskablePPO("MultiInputPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0, device="cpu").learn(64)
    whole = CrewDispatchEnv(city="synthetic:6:1", n_crews=2, predictor="none")
    seen, info = whole.reset(seed=0)
    over = False
    while not over:
        action, _ = model.predict(seen, action_masks=info["action_mask"] == 1, deterministic=True)
        seen, _, over, _, info = whole.step(action)
    assert info["metrics"]["wasted_trips"] == 0.0
