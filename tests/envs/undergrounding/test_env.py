"""Undergrounding: dynamics by hand, worst storms against the planner's, masks, rewards and errors."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.undergrounding.trilevel.solve import worst_case
from stormgym.envs.undergrounding.core import STATE, UndergroundingCore
from stormgym.envs.undergrounding.env import UndergroundingEnv
from stormgym.envs.undergrounding.forecasts import SeasonForecast, forecaster
from stormgym.envs.undergrounding.process import UndergroundingProcess
from stormgym.envs.undergrounding.profiles import resolve_profile, synthetic_profile
from stormgym.envs.undergrounding.regions import UndergroundingProfile, send_crews, usual_limit_h
from stormgym.envs.undergrounding.worst import worst_storms
from stormgym.predictors.uncertainty_set import UncertaintySet


def by_hand() -> UndergroundingProfile:
    """Four regions that can be reckoned with by hand."""
    return UndergroundingProfile(
        name="hand",
        population=np.array([100.0, 300.0, 400.0, 200.0]),
        place=np.array([[0.1, 0.1], [0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]),
        income=np.array([10.0, 20.0, 30.0, 40.0]),
        n_periods=10,
        rate=3.0,
        protect_cost=np.array([5.0, 4.0, 6.0, 3.0]),
        budget=10.0,
        n_crews=1,
        cost_limit=1.0,
    )


def season(process: UndergroundingProcess, hours: list[float], lower: float = 0.0, upper: float = 9.0) -> None:
    """Begin one season with a storm of these hours and a set that allows up to 12 h in all."""
    k = process.profile.n_counties
    box = (np.full((1, k), 4.0), np.full((1, k), lower), np.full((1, k), upper))
    process.reset(np.array([hours]), SeasonForecast(*box, np.zeros(1), np.array([12.0])))


def test_process__by_hand():
    process = UndergroundingProcess(by_hand(), 1)
    season(process, [8.0, 2.0, 1.0, 5.0])
    assert process.affordable().tolist() == [[True] * 4]
    process.bury(np.array([0]))
    assert process.affordable().tolist() == [[False, True, False, True]]  # 5 left
    process.bury(np.array([3]))
    assert process.spent[0] == 8.0
    assert not process.planning[0]  # 2 left: nothing costs so little
    storm = process.outage_h[[0]]
    crews = process.best_crews(storm, slice(None))
    assert crews.tolist() == [[0.0, 1.0, 0.0, 0.0]]  # 300 customers for 2 h, against 400 for 1 h
    process.end(storm, crews, slice(None))
    figures = {name: float(value[0]) for name, value in process.metrics(slice(None)).items()}
    assert figures["saidi_h"] == pytest.approx(400 / 1000)
    assert figures["storm_saidi_h"] == pytest.approx((800 + 600 + 400 + 1000) / 1000)
    assert figures["share_averted"] == pytest.approx(1 - 400 / 2800)
    # 4 regions, terciles 0 0 1 2 or so: hours left are 0, 0, 1, 0
    groups = process.profile.group
    assert figures["gap_h"] == pytest.approx(1.0 if (groups == groups[2]).sum() == 1 else 0.5)
    assert (figures["n_protected"], figures["spent"], figures["crews_sent"]) == (2.0, 8.0, 1.0)


def test_process__worst_storm_by_hand():
    # unprotected 1 and 2 (300 and 400 customers), 12 h to share, a crew takes the larger loss: nature makes both lose
    # the same where the box allows: 300 a = 400 b, a + b = 12 -> a = 48/7, b = 36/7, and 300 * 48/7 stays
    process = UndergroundingProcess(by_hand(), 1)
    season(process, [1.0, 1.0, 1.0, 1.0])
    for region in (0, 3):
        process.bury(np.array([region]))
    np.testing.assert_allclose(process.worst_h(slice(None))[0], [0.0, 48 / 7, 36 / 7, 0.0], atol=1e-9)
    assert process.metrics(slice(None))["worst_saidi_h"][0] == pytest.approx(300 * 48 / 7 / 1000)


def test_process__a_closed_choice_wastes_the_turn_and_nothing_else():
    process = UndergroundingProcess(by_hand(), 1)
    season(process, [1.0, 1.0, 1.0, 1.0])
    process.bury(np.array([2]))
    for _ in range(2):
        process.bury(np.array([2]))  # buried already
        assert (process.spent[0], process.protected[0].sum(), process.planning[0]) == (6.0, 1, True)
    process.bury(np.array([0]))  # costs 5, and 4 are left
    assert (process.spent[0], process.turn[0], process.planning[0]) == (6.0, 4, False)  # K choices are over


@pytest.mark.parametrize("n_crews", [0, 1, 3])
def test_worst_storms__is_the_planners_worst_case(n_crews):
    rng = np.random.default_rng(n_crews)
    for _ in range(25):
        k, b = int(rng.integers(1, 12)), 4
        weights = np.round(rng.uniform(1, 10, k), int(rng.integers(0, 3)))  # ties, too
        lower = rng.uniform(0, 2, (b, k)) * (rng.random((b, k)) < 0.7)
        upper = lower + rng.uniform(0, 6, (b, k))
        if rng.random() < 0.3:
            upper[:, 0] = np.inf
        least = lower.sum(axis=1)
        total = least + rng.uniform(0, 1.2, b) * (np.where(np.isfinite(upper), upper, 6.0).sum(axis=1) - least)
        sets = UncertaintySet(lower, upper, np.minimum(least, total), total)
        protected = rng.random((b, k)) < 0.3
        storms = worst_storms(protected, weights, sets, n_crews)
        assert (storms >= lower - 1e-12).all()
        assert (storms <= upper + 1e-9).all()
        assert (storms.sum(axis=1) <= total * (1 + 1e-9)).all()
        loss = weights * storms * ~protected
        value = (loss * (1.0 - send_crews(loss, n_crews))).sum(axis=1)
        for i in range(b):
            bounds = (lower[i], upper[i], least[i] if least[i] <= total[i] else total[i], total[i])
            exact = worst_case(protected[i], weights, 1.0, *bounds, crew_budget=n_crews).value
            assert value[i] == pytest.approx(exact, rel=1e-9, abs=1e-9)


def test_worst_storms__is_in_the_set_where_plans_leave_less_than_the_least_total():
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(50):
        lower = rng.random((1, 5))
        upper = lower + 5.0 * rng.random((1, 5))
        low, high = np.sort(rng.uniform(lower.sum(), upper.sum(), 2))
        sets = UncertaintySet(lower, upper, np.array([low]), np.array([high]))
        protected = rng.random((1, 5)) < 0.6
        weights = rng.uniform(1.0, 5.0, 5)
        storm = worst_storms(protected, weights, sets, 1)
        assert ((storm >= lower) & (storm <= upper + 1e-9)).all()
        assert low - 1e-9 <= storm.sum() <= high + 1e-9
        below += np.where(protected, lower, upper).sum() < low
        # what is added to reach the least total harms no more and no less
        free = UncertaintySet(lower, upper, lower.sum(axis=1), np.array([high]))
        loss = [
            np.sort(weights * u[0] * ~protected[0])[:-1].sum()
            for u in (storm, worst_storms(protected, weights, free, 1))
        ]
        assert loss[0] == pytest.approx(loss[1])
    assert below > 5


def test_send_crews__to_the_largest_losses_lower_index_first_and_not_where_nothing_is_lost():
    assert send_crews(np.array([3.0, 5.0, 5.0, 0.0]), 2).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert send_crews(np.array([3.0, 0.0, 0.0]), 2).tolist() == [1.0, 0.0, 0.0]
    assert send_crews(np.array([2.0, 2.0]), 1).tolist() == [1.0, 0.0]
    assert send_crews(np.array([2.0, 2.0]), 0).tolist() == [0.0, 0.0]


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


def test_outlook__holds_new_seasons_as_its_levels_promise():
    profile = resolve_profile("ten")
    seasons = profile.seasons([np.random.default_rng([77, i]) for i in range(600)])
    report = forecaster(profile).coverage(profile.known_before(seasons.covariates), seasons.outage_h)
    assert 0.97 < report.marginal <= 1.0  # of 200 calibration seasons: 0.99, sd of the level itself 0.7 %
    assert 0.38 < report.total < 0.62


def test_outlook__is_the_same_in_any_batch():
    single, many = UndergroundingCore(1), UndergroundingCore(64)
    many.reset([np.random.default_rng([5, i]) for i in range(64)])
    for i in (0, 17, 63):
        single.reset([np.random.default_rng([5, i])])
        for mine, one in zip(many.process.forecast, single.process.forecast, strict=True):
            np.testing.assert_array_equal(mine[i], one[0])


def test_profile__limit_is_three_fifths_of_the_gap_of_doing_nothing():
    profile = synthetic_profile(6, 3)
    seasons = profile.seasons([np.random.default_rng([0, i]) for i in range(500)])
    gaps = []
    for hours in seasons.outage_h:
        left = hours.copy()
        left[np.argmax(hours * profile.population)] = 0.0
        gaps.append(profile.gap_h(left))
    assert profile.cost_limit == pytest.approx(0.6 * np.mean(gaps), rel=5e-3)
    assert usual_limit_h(profile) == profile.cost_limit


def test_profile__noise_is_in_customer_hours_and_never_below_zero():
    quiet = resolve_profile("appendix-g")
    streams = [[np.random.default_rng([3, i]) for i in range(2_000)] for _ in range(2)]
    noisy = quiet.seasons(streams[0]).outage_h
    plain = replace(quiet, noise=0.0).seasons(streams[1]).outage_h
    np.testing.assert_allclose((noisy - plain).std(axis=0) * quiet.population, 1_000.0, rtol=0.08)
    assert (noisy >= 0).all()


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
@pytest.mark.parametrize("profile", ["ten", "synthetic:40:0"])
def test_render__before_and_after_the_storm(mode, profile):
    env = UndergroundingEnv(profile=profile, render_mode=mode)
    env.reset(seed=2)
    before = env.render()
    env.step(3)
    env.step(env.profile.n_counties)
    after = env.render()
    if mode == "ansi":
        assert max(map(len, after.splitlines())) <= 80
        assert "the storm is still to come" in before
        assert "1 of" in after
        assert "crew" in after
    else:
        assert after.shape == (560, 1000, 3)
        assert (after != before).any()
