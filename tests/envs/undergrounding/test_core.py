"""Rewards, masks and arguments of Undergrounding-v0, and where its seasons come from."""

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.undergrounding.core import STATE
from stormgym.envs.undergrounding.env import UndergroundingEnv


@pytest.mark.parametrize("storm", ["simulated", "adversarial"])
def test_env__dense_and_terminal_pay_the_same(storm):
    totals = []
    for timing in ("dense", "terminal"):
        env = gym.make("Undergrounding-v0", storm=storm, reward=timing, cost=timing).unwrapped
        obs, _ = env.reset(seed=4)
        rng, pay, rewards = np.random.default_rng(1), np.zeros(2), []
        ended = False
        while not ended:
            region = rng.choice(np.flatnonzero(obs["action_mask"][:-1]))
            obs, reward, ended, _, info = env.step(region)
            pay += reward, info["cost"]
            rewards.append(reward)
        np.testing.assert_allclose(pay, [-info["metrics"]["saidi_h"], info["metrics"]["gap_h"]], atol=1e-12)
        assert timing == "dense" or not any(rewards[:-1])
        totals.append(pay)
    np.testing.assert_allclose(totals[0], totals[1], atol=1e-12)
    worst = info["metrics"]["worst_saidi_h"]
    assert (info["metrics"]["saidi_h"] == pytest.approx(worst)) == (storm == "adversarial")


def test_env__the_storm_is_the_same_whatever_is_buried():
    storms = []
    for choices in ([3, 4], [10], [0]):
        env = UndergroundingEnv()
        env.reset(seed=9)
        for choice in choices:
            env.step(choice)
        storms.append(env.process.outage_h.copy())
    np.testing.assert_array_equal(storms[0], storms[1])
    np.testing.assert_array_equal(storms[0], storms[2])


def test_env__mask_is_what_can_be_paid_and_the_stop():
    env = UndergroundingEnv(budget=450.0)
    obs, info = env.reset(seed=0)
    cost = env.profile.protect_cost
    assert obs["action_mask"].tolist() == [*(cost <= 450).astype(int), 1]
    obs, *_, info = env.step(3)  # 167
    assert obs["action_mask"].tolist() == [*((cost <= 450 - 167) & (np.arange(10) != 3)).astype(int), 1]
    assert (info["action_mask"] == obs["action_mask"]).all()
    assert (env.action_masks() == obs["action_mask"]).all()
    assert obs["state"][STATE.index("budget_left")] == 450 - 167
    obs, _, terminated, *_ = env.step(10)
    assert terminated
    assert obs["action_mask"].all()


def test_env__raises_for_closed_choices_if_asked():
    env = UndergroundingEnv(on_invalid="raise", budget=450.0)
    env.reset(seed=0)
    env.step(3)
    with pytest.raises(ValueError, match="action 3 is closed: region 3 is buried already"):
        env.step(3)
    with pytest.raises(ValueError, match="action 7 is closed: region 7 costs more than is left"):
        env.step(7)
    assert env.step(1)[2]  # nothing was lost: 113 left pay for nothing


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"profile": "no"}, "profile must be 'ten', 'appendix-g'"),
        ({"profile": "synthetic:2:0"}, "needs 3 <= K <= 400"),
        ({"storm": "bad"}, "storm must be one of simulated, adversarial; got 'bad'"),
        ({"budget": 10.0}, r"budget must pay for one region at least \(167\); got 10.0"),
        ({"budget": -1.0}, "budget must be at least 0 and finite; got -1.0"),
        ({"budget": np.inf}, "budget must be at least 0 and finite; got inf"),
        ({"budget": 1e12}, r"budget must be at most 1e\+09; got 1e\+12. Count in a larger unit"),
        ({"n_crews": 10**30}, r"n_crews must be at most 1e\+09"),
        ({"noise": 1e300}, r"noise must be at most 1e\+09"),
        ({"total_confidence_level": 0}, r"total_confidence_level must be in \(0, 1\); got 0"),
        ({"storm": np.array(["a", "b"])}, "storm must be one of simulated, adversarial"),
        ({"forecast": "x"}, "forecast must be one of ncp, cp, empirical"),
        ({"confidence_level": 99.0}, "confidence_level"),
        ({"on_invalid": "ignore"}, "on_invalid must be one of waste, raise"),
        ({"reward": "x"}, "reward must be one of dense, terminal"),
        ({"render_mode": "human"}, "render_mode must be one of ansi, rgb_array"),
    ],
)
def test_env__bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        UndergroundingEnv(**kwargs)


def test_env__bad_types():
    with pytest.raises(TypeError, match=r"n_crews must be a whole number; got 1\.5"):
        UndergroundingEnv(n_crews=1.5)
    with pytest.raises(TypeError, match=r"total_confidence_level must be a number in \(0, 1\); got None"):
        UndergroundingEnv(total_confidence_level=None)
    with pytest.raises(TypeError, match="profile must be a name, as text; got 3"):
        UndergroundingEnv(profile=3)
    env = UndergroundingEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action must be a region 0 to 9, or 10 to stop; got 11"):
        env.step(11)


@pytest.mark.filterwarnings("ignore:the regions' bounds are infinite")
def test_source__regions_without_an_upper_end_get_what_the_total_leaves():
    env = UndergroundingEnv(confidence_level=0.999)  # 200 seasons cannot calibrate it
    obs, _ = env.reset(seed=0)
    assert obs["upper"].max() < 1_000
    assert env.observation_space.contains(obs)


@pytest.mark.filterwarnings("ignore:the .* bounds are infinite")
def test_source__no_end_at_all_is_an_error_that_names_the_cure():
    env = UndergroundingEnv(confidence_level=0.999, total_confidence_level=0.999)
    with pytest.raises(ValueError, match=r"the set is unbounded.*lower the confidence levels"):
        env.reset(seed=0)
