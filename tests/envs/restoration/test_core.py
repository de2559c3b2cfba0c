"""Arguments, actions and options of Restoration-v0: what is taken, and the text of every error."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from stormgym.envs.data import resolve_city
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

CITY = "synthetic:12:1"
N = 12


def test_on_invalid__raise_names_the_action_and_the_environment(env_of):
    env = env_of(on_invalid="raise")
    env.reset(seed=0)
    env.step(3)
    with pytest.raises(ValueError, match=r"action 3 is masked \(restored, .*; choose where action_mask is 1, or make"):
        env.step(3)
    vector = RestorationVectorEnv(3, city=CITY, predictor="none", on_invalid="raise")
    vector.reset(seed=0)
    vector.step(np.array([1, 2, 3]))
    with pytest.raises(ValueError, match=r"action 2 is masked .* in environment 1; choose"):
        vector.step(np.array([0, 2, 4]))


def test_on_invalid__raise_leaves_the_episode_as_it_was(env_of):
    env = env_of(on_invalid="raise")
    env.reset(seed=0)
    first = env.step(3)[0]
    with pytest.raises(ValueError, match="is masked"):
        env.step(3)
    for name, value in env.core.observe(0).items():
        np.testing.assert_array_equal(value, first[name])


def test_on_invalid__raise_ignores_actions_of_environments_about_to_be_reset():
    env = RestorationVectorEnv(2, city=CITY, predictor="none", on_invalid="raise")
    env.reset(seed=0)
    for k in range(N):
        env.step(np.full(2, k))
    for ignored in (0, -5, 10_000):
        env.reset(seed=0)
        for k in range(N):
            env.step(np.full(2, k))
        env.step(np.full(2, ignored))


def test_cost_limit__is_the_citys_unless_given(env_of, crew_of):
    city = replace(resolve_city(CITY), cost_limit_h=3.5)
    assert env_of(city).cost_limit == 3.5
    env = env_of(city, cost_limit=6.0)
    assert env.cost_limit == 6.0
    assert crew_of(env, env.reset(seed=0)[0])["cost_limit_h"] == 6.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reward": "sparse"}, "reward must be one of dense, terminal; got 'sparse'"),
        ({"cost": "none"}, "cost must be one of dense, terminal; got 'none'"),
        ({"shock": "hurricane"}, "shock must be one of none, common, group; got 'hurricane'"),
        ({"on_invalid": "ignore"}, "on_invalid must be one of waste, raise; got 'ignore'"),
        ({"render_mode": "human"}, "render_mode must be one of ansi, rgb_array; got 'human'"),
        ({"predictor": "oracle"}, "predictor must be one of ecqr, cqr, cp, point, none; got 'oracle'"),
        ({"confidence_level": 95}, r"confidence_level must be in \(0, 1\); got 95. Did you mean 0.95\?"),
        ({"confidence_level": 0.0}, r"confidence_level must be in \(0, 1\); got 0.0"),
        ({"cost_limit": 0.0}, "cost_limit must be a positive number of hours or None"),
        ({"cost_limit": float("nan")}, "cost_limit must be a positive number of hours or None"),
        ({"cost_limit": 1e308}, r"cost_limit must be at most 1e\+30 hours, which no gap reaches; got 1e\+308"),
        ({"cost_limit": (4.0, 1e308)}, r"cost_limit must be at most 1e\+30 hours, which no gap reaches; got \(4.0, 1e"),
        ({"max_travel_km": 1e308}, r"max_travel_km must be at most 1e\+30 road km, or None; got 1e\+308"),
        ({"max_travel_km": 0}, "max_travel_km must be above 0 road km or None"),
        ({"max_travel_km": float("nan")}, "max_travel_km must be above 0 road km or None"),
        ({"shock_log_sd": -0.1}, r"shock_log_sd must be in \[0, 2\]; got -0.1"),
        ({"city": "nowhere"}, "city must be 'default', 'synthetic:N:SEED'"),
    ],
)
@pytest.mark.parametrize("door", ["single", "native"])
def test_arguments__bad_ones_are_errors_that_say_the_rule(arguments, message, door):
    arguments = {"city": CITY, "predictor": "none", **arguments}
    with pytest.raises(ValueError, match=message):
        RestorationEnv(**arguments) if door == "single" else RestorationVectorEnv(2, **arguments)


@pytest.mark.parametrize("name", ["confidence_level", "cost_limit", "shock_log_sd", "max_travel_km", "income_effect"])
def test_arguments__a_text_for_a_number_is_a_type_error(env_of, name):
    with pytest.raises(TypeError, match=f"{name} must be a number; got '1'"):
        env_of(**{name: "1"})


@pytest.mark.parametrize("bad", [-1, N, 10**6])
def test_step__a_region_out_of_range_is_a_value_error(env_of, bad):
    env = env_of()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=rf"action must be a region 0..11; got {bad}"):
        env.step(bad)


@pytest.mark.parametrize("bad", [1.0, "3", None, np.array([1]), np.array(1.5)])
def test_step__something_that_is_no_integer_is_a_type_error(env_of, bad):
    env = env_of()
    env.reset(seed=0)
    with pytest.raises(TypeError, match=r"action must be an integer region 0\.\.11; got"):
        env.step(bad)


@pytest.mark.parametrize("good", [3, np.int64(3), np.int32(3), np.array(3)])
def test_step__takes_integers_of_every_kind(env_of, good):
    env = env_of()
    env.reset(seed=0)
    assert env.step(good)[0]["open"][3] == 0


def test_reset__unknown_options_are_an_error(env_of):
    with pytest.raises(ValueError, match=r"unknown reset options \['job'\]; known: jobs"):
        env_of().reset(options={"job": 1})


def test_wrapped__the_mask_and_the_true_durations_are_reached_through_wrappers():
    env = gym.make("stormgym:Restoration-v0", city=CITY, predictor="none")
    env.reset(seed=0)
    assert env.get_wrapper_attr("action_masks")().all()
    assert env.unwrapped.process.duration_h.shape == (1, N)
