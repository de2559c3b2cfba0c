"""Restoration-v0: its rules, one by one, against plain recomputation; and the text of its errors."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from stormgym.envs.data import resolve_city
from stormgym.envs.equity import group_pairs, pairwise_w1
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.forecasts import city_forecasts
from stormgym.envs.restoration.layout import COLUMN, REGION_COLUMNS, crew_columns, n_groups_of, regions_of
from stormgym.envs.restoration.metrics import restoration_metrics
from stormgym.envs.restoration.process import STEPS_PER_REGION, WASTED_H, RestorationProcess
from stormgym.envs.restoration.render import render
from stormgym.envs.restoration.tables import MAX_SHOCK_SD, records_of
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

CITY = "synthetic:12:1"
N = 12


def env_of(city: Any = CITY, **kwargs: Any) -> RestorationEnv:
    """A small environment that needs no fit unless `predictor` is given."""
    return RestorationEnv(city, **{"predictor": "none", **kwargs})


def crew_of(env: RestorationEnv, obs: dict[str, np.ndarray]) -> dict[str, float]:
    """The crew vector by column name."""
    return dict(zip(crew_columns(env.city.n_groups), obs["crew"].tolist(), strict=True))


# ------------------------------------------------------------------------------------------------- observation


def test_observation__every_column_equals_a_plain_recomputation_at_every_step():
    env, rng = env_of(predictor="ecqr"), np.random.default_rng(0)
    obs, _ = env.reset(seed=1)
    city, process = env.city, env.process
    row, tables = process.row[0], process.tables
    duration, elapsed, here = process.duration_h[0], 0.0, city.n_regions
    outage = np.zeros(N)
    for action in [*rng.permutation(N), None]:
        closed = outage > 0
        np.testing.assert_allclose(obs["x_km"], city.xy_km[:, 0], rtol=1e-6)
        np.testing.assert_allclose(obs["y_km"], city.xy_km[:, 1], rtol=1e-6)
        np.testing.assert_allclose(obs["lower_h"], tables.lower_h[row], rtol=1e-6)
        np.testing.assert_allclose(obs["upper_h"], tables.upper_h[row], rtol=1e-6)
        np.testing.assert_allclose(obs["point_h"], tables.point_h[row], rtol=1e-6)
        np.testing.assert_allclose(obs["distance_km"], city.distance_km[here, :-1], rtol=1e-6)
        np.testing.assert_array_equal(obs["group"], city.group)
        np.testing.assert_array_equal(obs["open"], ~closed)
        np.testing.assert_allclose(obs["realised_h"], np.where(closed, duration, 0.0), rtol=1e-6)
        so_far = np.where(closed, outage, elapsed)
        crew = crew_of(env, obs)
        where = city.depot_km if here == N else city.xy_km[here]
        expected = {
            "elapsed_h": elapsed,
            "x_km": where[0],
            "y_km": where[1],
            "speed_kmh": city.speed_kmh,
            "cost_limit_h": city.cost_limit_h,
        }
        pairs = pairwise_w1(so_far, city.group)  # the gap so far is the gap if all the rest were restored now
        for g in range(3):
            of_group = city.group == g
            ratio = np.log(duration / tables.point_h[row])[of_group & closed]
            expected[f"log_ratio_{g}"] = ratio.mean() if ratio.size else 0.0
            expected[f"running_mean_h_{g}"] = so_far[of_group].mean()
            expected[f"share_restored_{g}"] = closed[of_group].mean()
        for p, (a, b) in enumerate(group_pairs(3)):
            expected[f"pair_gap_h_{a}_{b}"] = pairs[p]
        expected["gap_h"] = pairs.max()
        assert set(crew) == set(expected)
        for name, value in expected.items():
            assert crew[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name
        if action is not None:
            elapsed += city.travel_h[here, action] + duration[action]
            outage[action], here = elapsed, action
            obs = env.step(action)[0]


def test_observation__regions_of_puts_the_columns_side_by_side():
    env = RestorationVectorEnv(3, city=CITY, predictor="none")
    obs, _ = env.reset(seed=0)
    stacked = regions_of(obs)
    assert stacked.shape == (3, N, len(REGION_COLUMNS))
    np.testing.assert_array_equal(stacked[..., COLUMN["point_h"]], obs["point_h"])


def test_layout__number_of_groups_follows_from_the_length_of_the_crew_vector():
    for n_groups in range(1, 8):
        assert n_groups_of(len(crew_columns(n_groups))) == n_groups
    with pytest.raises(ValueError, match="no number of groups gives a crew vector of 11 columns"):
        n_groups_of(11)


def test_observation__a_shared_point_forecast_under_none_and_no_width_under_point():
    none, point = env_of(), env_of(predictor="point")
    for env in (none, point):
        obs, _ = env.reset(seed=0)
        np.testing.assert_array_equal(obs["lower_h"], obs["point_h"])
        np.testing.assert_array_equal(obs["upper_h"], obs["point_h"])
    assert np.ptp(obs["point_h"]) > 0.1
    mean = none.city.log.repair_h.mean()
    np.testing.assert_allclose(none.reset(seed=0)[0]["point_h"], mean, rtol=0.1)


def test_observation__predictive_quantiles_belong_to_the_drawn_records():
    env = env_of(predictor="ecqr")
    obs, _ = env.reset(seed=5)
    quantile = env.core.quantile_h()
    assert quantile.shape == (1, N, env.core.tables.quantile_levels.size)
    assert (np.diff(quantile, axis=-1) >= 0).all()
    np.testing.assert_allclose(quantile[0].mean(axis=-1), obs["point_h"], rtol=1e-5)


# --------------------------------------------------------------------------------------- instances and forecasts


def test_reset__each_region_draws_a_record_of_its_own_log():
    env = env_of()
    log = env.city.log
    drawn = set()
    for seed in range(200):
        env.reset(seed=seed)
        record = env.process.tables.record[env.process.row[0]]
        np.testing.assert_array_equal(log.region[record], np.arange(N))
        np.testing.assert_array_equal(env.process.duration_h[0], log.repair_h[record])
        drawn.update(record.tolist())
    assert len(drawn) > 0.9 * len(log)


def test_reset__durations_do_not_depend_on_what_the_agent_does():
    envs = [env_of() for _ in range(2)]
    for env, order in zip(envs, (range(N), reversed(range(N))), strict=True):
        env.reset(seed=9)
        for action in order:
            env.step(action)
    for _ in range(2):
        for env in envs:
            env.reset()
        np.testing.assert_array_equal(envs[0].process.duration_h, envs[1].process.duration_h)


@pytest.mark.parametrize("predictor", ["ecqr", "cqr", "cp"])
def test_forecasts__of_a_drawn_record_come_from_the_cross_fit_that_left_its_fold_out(predictor):
    env = env_of("synthetic:6:2", predictor=predictor)
    city = env.city
    forecast = city_forecasts(city, predictor, 0.9)
    obs, _ = env.reset(seed=3)
    record = env.process.tables.record[env.process.row[0]]
    np.testing.assert_allclose(obs["lower_h"], forecast.lower_h[record], rtol=1e-6)
    np.testing.assert_allclose(obs["upper_h"], forecast.upper_h[record], rtol=1e-6)
    np.testing.assert_allclose(obs["point_h"], forecast.point_h[record], rtol=1e-6)
    own = (forecast.fold, np.arange(len(city.log)))
    assert not forecast.fit_mask[own].any()
    assert not forecast.calibration_mask[own].any()
    for k in range(forecast.fit_mask.shape[0]):
        assert not forecast.fit_mask[k][forecast.fold == k].any()
        assert not forecast.calibration_mask[k][forecast.fold == k].any()


def test_forecasts__a_records_own_duration_does_not_move_its_forecast():
    city = resolve_city("synthetic:6:2")
    record = 17
    longer = city.log.repair_h.copy()
    longer[record] *= 50.0
    changed = replace(city, log=replace(city.log, repair_h=longer))
    before, after = (city_forecasts(c, "cp", 0.9) for c in (city, changed))
    for name in ("lower_h", "upper_h", "point_h", "quantile_h"):
        np.testing.assert_array_equal(getattr(before, name)[record], getattr(after, name)[record])
    assert not np.array_equal(before.point_h, after.point_h)


@pytest.mark.parametrize("shock", ["common", "group"])
def test_shock__keeps_the_drawn_records_and_multiplies_by_one_factor(shock):
    calm, stormy = env_of(), env_of(shock=shock)
    calm_obs, _ = calm.reset(seed=6)
    obs, _ = stormy.reset(seed=6)
    np.testing.assert_array_equal(calm.process.row, stormy.process.row)
    for name in ("lower_h", "upper_h", "point_h"):
        np.testing.assert_array_equal(obs[name], calm_obs[name])
    factor = stormy.process.duration_h[0] / calm.process.duration_h[0]
    for g in range(3):
        np.testing.assert_allclose(factor[calm.city.group == g], factor[calm.city.group == g][0], rtol=1e-12)
    assert np.unique(factor.round(9)).size == (1 if shock == "common" else 3)


@pytest.mark.parametrize("log_sd", [0.35, 0.8])
def test_shock__has_mean_one_and_the_log_sd_asked_for(log_sd):
    n = 4000
    envs = [
        RestorationVectorEnv(n, city="synthetic:6:2", predictor="none", shock=shock, shock_log_sd=log_sd)
        for shock in ("none", "common")
    ]
    for env in envs:
        env.reset(seed=0)
    factor = (envs[1].process.duration_h / envs[0].process.duration_h)[:, 0]
    error = factor.std(ddof=1) / np.sqrt(n)
    assert abs(factor.mean() - 1.0) < 4.5 * error  # false alarm about 1 in 100,000, and the seed is fixed
    assert np.log(factor).std() == pytest.approx(log_sd, rel=0.06)
    assert np.abs(np.log(factor) + log_sd**2 / 2).max() <= MAX_SHOCK_SD * log_sd + 1e-9


def test_shock__log_sd_zero_is_no_shock():
    calm, still = env_of(), env_of(shock="group", shock_log_sd=0.0)
    calm.reset(seed=1)
    still.reset(seed=1)
    np.testing.assert_allclose(still.process.duration_h, calm.process.duration_h, rtol=1e-15)


# --------------------------------------------------------------------------------- wasted trips and truncation


def test_wasted_trip__costs_the_travel_and_a_quarter_hour_and_repairs_nothing():
    env = env_of()
    env.reset(seed=2)
    env.step(4)
    before = env.process.elapsed_h[0]
    obs, reward, terminated, truncated, info = env.step(4)  # there already: no travel
    assert env.process.elapsed_h[0] - before == pytest.approx(WASTED_H)
    assert reward == pytest.approx(-WASTED_H * 11 / 12)
    assert (terminated, truncated) == (False, False)
    env.step(7)
    before, realised = env.process.elapsed_h[0], obs["realised_h"][4]
    obs, _, _, _, info = env.step(4)
    assert env.process.elapsed_h[0] - before == pytest.approx(env.city.travel_h[7, 4] + WASTED_H)
    assert obs["realised_h"][4] == realised
    assert obs["open"].sum() == 10
    np.testing.assert_array_equal(info["action_mask"], obs["open"])
    for action in np.flatnonzero(info["action_mask"]):
        info = env.step(action)[4]
    assert info["metrics"]["wasted_trips"] == 2.0
    assert info["metrics"]["completed"] == 1.0


def idle(env: RestorationEnv, seed: int) -> tuple[float, float, list[Any]]:
    """Repair region 0 and stay there until the episode is cut; sums of reward and cost, and the steps."""
    env.reset(seed=seed)
    steps = []
    while not steps or not (steps[-1][2] or steps[-1][3]):
        steps.append(env.step(0))
    return sum(s[1] for s in steps), sum(s[4]["cost"] for s in steps), steps


@pytest.mark.parametrize("reward", ["dense", "terminal"])
@pytest.mark.parametrize("cost", ["dense", "terminal"])
def test_truncation__after_4n_steps_the_rest_is_restored_nearest_first_inside_the_last_step(reward, cost):
    env = env_of(reward=reward, cost=cost)
    total_reward, total_cost, steps = idle(env, 3)
    assert len(steps) == STEPS_PER_REGION * N
    assert steps[-1][2:4] == (False, True)
    city, duration = env.city, env.process.duration_h[0]
    elapsed = city.travel_h[N, 0] + duration[0]
    outage = np.zeros(N)
    outage[0] = elapsed
    elapsed += (STEPS_PER_REGION * N - 1) * WASTED_H
    here, left = 0, set(range(1, N))
    while left:
        there = min(left, key=lambda r: city.distance_km[here, r])
        elapsed += city.travel_h[here, there] + duration[there]
        outage[there], here = elapsed, there
        left.remove(there)
    expected = pairwise_w1(outage, city.group).max()
    assert total_reward == pytest.approx(-outage.mean(), rel=1e-12)
    assert total_cost == pytest.approx(expected, rel=1e-12)
    metrics = steps[-1][4]["metrics"]
    assert metrics["completed"] == 0.0
    assert metrics["wasted_trips"] == STEPS_PER_REGION * N - 1
    assert metrics["gap_h"] == pytest.approx(expected, rel=1e-12)
    assert metrics["makespan_h"] == pytest.approx(outage.max(), rel=1e-12)
    assert steps[-1][0]["action_mask"].all()


def test_truncation__idling_does_not_look_fair():
    env = env_of()
    before_the_end = []
    for seed in range(20):
        _, total_cost, steps = idle(env, seed)
        before_the_end.append(sum(s[4]["cost"] for s in steps[:-1]))
        others = env.city.group != env.city.group[0]
        assert total_cost == pytest.approx(pairwise_w1(env.process.outage_h[0], env.city.group).max())
        assert env.process.outage_h[0][others].min() > before_the_end[-1] > 0


def test_truncation__a_region_restored_at_the_very_last_step_is_a_termination():
    env = env_of()
    env.reset(seed=0)
    for action in [0] * (STEPS_PER_REGION * N - N + 1) + list(range(1, N)):
        step = env.step(action)
    assert step[2:4] == (True, False)
    assert step[4]["metrics"]["completed"] == 1.0


def test_truncation__rows_of_a_vector_are_cut_each_in_its_own_time():
    env = RestorationVectorEnv(4, city=CITY, predictor="none", autoreset_mode=AutoresetMode.NEXT_STEP)
    env.reset(seed=[3, 3, 3, 3])
    single = env_of()
    expected = idle(single, 3)[:2]
    orders = [lambda k: 0, lambda k: k % N, lambda k: 0, lambda k: min(k // 2, N - 1)]
    sums = np.zeros((4, 2))
    for k in range(STEPS_PER_REGION * N):
        _, reward, terminated, truncated, infos = env.step(np.array([order(k) for order in orders]))
        sums[[0, 2]] += np.stack([reward, infos["cost"]], axis=1)[[0, 2]]
    np.testing.assert_array_equal(truncated, [True, False, True, False])
    np.testing.assert_array_equal(terminated, [False, False, False, False])
    np.testing.assert_allclose(sums[[0, 2]], [expected, expected], rtol=1e-12)


# ------------------------------------------------------------------------------------------------ masks


@pytest.mark.parametrize("max_travel_km", [2.0, 6.0, 1e9])
def test_mask__closes_regions_that_are_too_far_while_a_nearer_one_is_open(max_travel_km):
    env, rng = env_of(max_travel_km=max_travel_km), np.random.default_rng(0)
    obs, info = env.reset(seed=4)
    here, is_open, n_far = N, np.ones(N, dtype=bool), 0
    while is_open.any():
        distance = np.where(is_open, env.city.distance_km[here, :-1], np.inf)
        expected = is_open & ((distance <= max_travel_km) | (distance == distance.min()))
        np.testing.assert_array_equal(info["action_mask"].astype(bool), expected)
        n_far += int((is_open & ~expected).sum())
        here = int(rng.choice(np.flatnonzero(info["action_mask"])))
        is_open[here] = False
        obs, _, terminated, _, info = env.step(here)
        np.testing.assert_array_equal(obs["open"].astype(bool), is_open)
    assert terminated
    assert (n_far > 0) == (max_travel_km < 100)


def test_mask__a_trip_to_a_region_too_far_is_wasted_and_leaves_it_open():
    env = env_of(max_travel_km=1.0)
    _, info = env.reset(seed=4)
    far = int(np.flatnonzero(info["action_mask"] == 0)[0])
    obs, *_ = env.step(far)
    assert obs["open"][far] == 1.0
    assert env.process.elapsed_h[0] == pytest.approx(env.city.travel_h[N, far] + WASTED_H)
    assert obs["action_mask"][far] == 1  # the crew stands there now
    obs, *_ = env.step(far)
    assert obs["open"][far] == 0.0


def test_on_invalid__raise_names_the_action_and_the_environment():
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


def test_on_invalid__raise_leaves_the_episode_as_it_was():
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


# ---------------------------------------------------------------------------------------------- given jobs


def given_jobs() -> dict[str, np.ndarray]:
    """Jobs of today for the small city."""
    point = np.linspace(1.0, 3.0, N)
    return {"duration_h": point[::-1].copy(), "lower_h": 0.5 * point, "upper_h": 2.0 * point, "point_h": point}


def test_given_jobs__replace_the_drawn_records():
    env, jobs = env_of(), given_jobs()
    obs, _ = env.reset(seed=0, options={"jobs": jobs})
    for name in ("lower_h", "upper_h", "point_h"):
        np.testing.assert_allclose(obs[name], jobs[name], rtol=1e-6)
    np.testing.assert_array_equal(env.process.duration_h[0], jobs["duration_h"])
    assert env.core.quantile_h() is None
    quantile = np.tile(jobs["point_h"][:, None], (1, 5))
    env.reset(options={"jobs": {**jobs, "quantile_h": quantile}})
    np.testing.assert_array_equal(env.core.quantile_h(), quantile[None])
    env.reset()
    assert env.core.quantile_h().shape[:2] == (1, N)


def test_given_jobs__do_not_shift_the_episodes_that_follow():
    plain, given = env_of(), env_of()
    plain.reset(seed=0)
    given.reset(seed=0, options={"jobs": given_jobs()})
    plain.reset()
    given.reset()
    np.testing.assert_array_equal(plain.process.duration_h, given.process.duration_h)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration_h": None}, r"missing \['duration_h'\], unknown \[\]"),
        ({"hours": np.ones(N)}, r"missing \[\], unknown \['hours'\]"),
        ({"point_h": np.ones(3)}, r"jobs\['point_h'\] must have N = 12 rows; got shape \(3,\)"),
        ({"lower_h": np.full(N, np.nan)}, r"jobs\['lower_h'\] must hold hours in \[0, 10000\] without NaN"),
        ({"upper_h": np.full(N, 2e4)}, r"jobs\['upper_h'\] must hold hours in \[0, 10000\] without NaN"),
        ({"point_h": np.zeros(N)}, r"jobs\['point_h'\] must be above 0; give the mean forecast"),
        ({"lower_h": np.full(N, 9.0)}, r"jobs\['lower_h'\] must not exceed jobs\['upper_h'\]; it does at row 0"),
        ({"quantile_h": np.ones(N)}, r"jobs\['quantile_h'\] must have N = 12 rows"),
    ],
)
def test_given_jobs__bad_ones_are_errors(change, message):
    jobs = {name: value for name, value in {**given_jobs(), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        env_of().reset(seed=0, options={"jobs": jobs})


# -------------------------------------------------------------------------------------------------- metrics


def test_metrics__equal_their_definitions():
    env = env_of(cost_limit=0.5)
    env.reset(seed=8)
    for action in np.random.default_rng(0).permutation(N):
        info = env.step(action)[4]
    metrics, city, times = info["metrics"], env.city, env.process.outage_h[0]
    weight = city.customers / city.customers.sum()
    order = np.argsort(times)
    legs = [city.travel_h[a, b] for a, b in zip([N, *order[:-1]], order, strict=True)]
    expected = {
        "mean_outage_h": times.mean(),
        "gap_h": pairwise_w1(times, city.group).max(),
        "over_limit": 1.0,
        "worst_group_mean_h": max(times[city.group == g].mean() for g in range(3)),
        "p95_h": np.quantile(times, 0.95),
        "gini": np.abs(times[:, None] - times).mean() / (2 * times.mean()),
        "makespan_h": times.max(),
        "share_out_24h": (times > 24).mean(),
        "share_out_48h": (times > 48).mean(),
        "saidi_h": weight @ times,
        "customer_hours": city.customers @ times,
        "customers_out_24h": weight[times > 24].sum(),
        "customers_out_48h": weight[times > 48].sum(),
        "cost_limit_h": 0.5,
        "completed": 1.0,
        "wasted_trips": 0.0,
        "travel_h": sum(legs),
        **{f"group_mean_h_{g}": times[city.group == g].mean() for g in range(3)},
    }
    assert set(metrics) == set(expected)
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-12, abs=1e-12), name


def test_metrics__without_customers_has_no_customer_figures():
    city = replace(resolve_city(CITY), customers=None)
    found = restoration_metrics(city, np.random.default_rng(0).random((2, N)), 8.0)
    assert not {"saidi_h", "customer_hours", "customers_out_24h", "customers_out_48h"} & set(found)
    assert all(value.shape == (2,) for value in found.values())


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_metrics__95th_percentile_is_numpys(n):
    city = resolve_city("synthetic:20:5")
    times = np.random.default_rng(n).gamma(2.0, 20.0, (6, 20))
    found = restoration_metrics(city, times, 8.0)["p95_h"]
    np.testing.assert_allclose(found, np.quantile(times, 0.95, axis=1), rtol=1e-13)


def test_cost_limit__is_the_citys_unless_given():
    city = replace(resolve_city(CITY), cost_limit_h=3.5)
    assert env_of(city).cost_limit == 3.5
    env = env_of(city, cost_limit=6.0)
    assert env.cost_limit == 6.0
    assert crew_of(env, env.reset(seed=0)[0])["cost_limit_h"] == 6.0


# -------------------------------------------------------------------------------------------- bad arguments


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
def test_arguments__a_text_for_a_number_is_a_type_error(name):
    with pytest.raises(TypeError, match=f"{name} must be a number; got '1'"):
        env_of(**{name: "1"})


@pytest.mark.parametrize("bad", [-1, N, 10**6])
def test_step__a_region_out_of_range_is_a_value_error(bad):
    env = env_of()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=rf"action must be a region 0..11; got {bad}"):
        env.step(bad)


@pytest.mark.parametrize("bad", [1.0, "3", None, np.array([1]), np.array(1.5)])
def test_step__something_that_is_no_integer_is_a_type_error(bad):
    env = env_of()
    env.reset(seed=0)
    with pytest.raises(TypeError, match=r"action must be an integer region 0\.\.11; got"):
        env.step(bad)


@pytest.mark.parametrize("good", [3, np.int64(3), np.int32(3), np.array(3)])
def test_step__takes_integers_of_every_kind(good):
    env = env_of()
    env.reset(seed=0)
    assert env.step(good)[0]["open"][3] == 0


def test_reset__unknown_options_are_an_error():
    with pytest.raises(ValueError, match=r"unknown reset options \['job'\]; known: jobs"):
        env_of().reset(options={"job": 1})


# -------------------------------------------------------------------------------------------------- pictures


def half_way(**kwargs: Any) -> RestorationEnv:
    """An episode with half of the regions restored."""
    env = env_of(**kwargs)
    env.reset(seed=1)
    for action in range(N // 2):
        env.step(action)
    return env


def test_render__frame_has_the_documented_size_and_shows_the_state():
    env = half_way(render_mode="rgb_array")
    frame = env.render()
    assert frame.shape == (500, 1000, 3)
    assert frame.dtype == np.uint8
    env.step(N - 1)
    assert (env.render() != frame).any(axis=-1).mean() > 0.005


def test_render__text_is_narrow_and_names_gap_groups_and_next_regions():
    env = half_way(render_mode="ansi")
    text = env.render()
    assert max(map(len, text.splitlines())) <= 80
    for part in ("6 of 12 regions restored", "gap", "limit 8.00 h", *env.city.group_names, "nearest dark"):
        assert part in text
    marks = "".join(line for line in text.splitlines() if line.startswith("  |"))
    assert sum(mark.isupper() for mark in marks) == N // 2
    assert sum(mark.islower() for mark in marks) == N // 2
    for action in range(N // 2, N):
        env.step(action)
    assert env.render().endswith("every region is restored")


def test_render__many_groups_and_one_group_are_drawn_too():
    city = resolve_city(CITY)
    for n_groups, mark in ((1, "g"), (8, "a")):
        names = tuple(f"group {g}" for g in range(n_groups))
        env = half_way(city=replace(city, group=np.arange(N) % n_groups, group_names=names))
        assert render(env.process, 0, "rgb_array").shape == (500, 1000, 3)
        text = render(env.process, 0, "ansi")
        assert f"{mark} group 0" in text
        assert max(map(len, text.splitlines())) <= 80


def test_render__unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="render mode must be ansi or rgb_array; got 'human'"):
        render(half_way().process, 0, "human")


def test_render__leaves_pyplot_alone_and_matplotlib_is_loaded_for_frames_only():
    code = (
        "import sys\n"
        "from stormgym.envs.restoration.env import RestorationEnv\n"
        "env = RestorationEnv('synthetic:6:2', predictor='none', render_mode='ansi')\n"
        "env.reset(seed=0); env.render()\n"
        "assert 'matplotlib' not in sys.modules\n"
        "env.render_mode = 'rgb_array'; env.render()\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_terminal_observation__is_in_the_space_for_the_longest_and_shortest_jobs():
    for hours in (1e-3, 1e4):
        env = env_of()
        jobs = {name: np.full(N, hours) for name in ("duration_h", "lower_h", "upper_h", "point_h")}
        obs, _ = env.reset(seed=0, options={"jobs": jobs})
        assert env.observation_space.contains(obs)
        for action in range(N):
            obs = env.step(action)[0]
            assert env.observation_space.contains(obs)


def test_wrapped__the_mask_and_the_true_durations_are_reached_through_wrappers():
    env = gym.make("stormgym:Restoration-v0", city=CITY, predictor="none")
    env.reset(seed=0)
    assert env.get_wrapper_attr("action_masks")().all()
    assert env.unwrapped.process.duration_h.shape == (1, N)


# ------------------------------------------------------------------------------------------------------- split


def test_split__halves_of_each_regions_records_are_drawn_and_share_none():
    log = env_of().city.log
    drawn = {}
    for split in ("all", "train", "test"):
        env = env_of(split=split)
        tables = env.process.tables
        np.testing.assert_array_equal(tables.count, np.bincount(log.region[tables.record], minlength=N))
        rows = [env.reset(seed=seed) and tables.record[env.process.row[0]] for seed in range(200)]
        assert all(np.array_equal(log.region[row], np.arange(N)) for row in rows)
        drawn[split] = {int(r) for row in rows for r in row}
    assert not drawn["train"] & drawn["test"]
    assert drawn["train"] | drawn["test"] <= {*range(log.region.size)}
    for region in range(N):
        own = np.flatnonzero(log.region == region)
        assert drawn["train"] & {*own} <= {*own[::2]}
        assert drawn["test"] & {*own} <= {*own[1::2]}


def test_split__a_single_record_is_in_both_halves():
    region = np.array([1, 0, 1, 1])
    assert records_of(region, "all").tolist() == [1, 0, 2, 3]
    assert records_of(region, "train").tolist() == [1, 0, 3]
    assert records_of(region, "test").tolist() == [1, 2]


def test_split__an_unknown_one_is_an_error():
    with pytest.raises(ValueError, match="split must be one of"):
        env_of(split="validation")


# ---------------------------------------------------------------------------------------------- looking ahead


@pytest.mark.parametrize("max_travel_km", [None, 4.0])
def test_stand_at__goes_on_as_the_observed_episodes_do(max_travel_km):
    env = RestorationVectorEnv(16, city="synthetic:9:2", shock="group", max_travel_km=max_travel_km)
    obs, _ = env.reset(seed=3)
    rng = np.random.default_rng(0)

    def step():
        nonlocal obs
        mask = obs["action_mask"]
        action = (rng.random(mask.shape) * mask).argmax(axis=1)
        obs, *rest = env.step(action)
        return action, rest

    for n_before in (0, 1, 4):
        for _ in range(n_before):
            step()
        ahead = RestorationProcess(env.core.tables, 16, cost_limit_h=0.0, max_travel_km=max_travel_km)
        ahead.stand_at(obs, env.core.process.duration_h)
        for name, values in ahead.observe().items():
            np.testing.assert_array_equal(values, obs[name])
        np.testing.assert_allclose(ahead.travel_total_h, env.core.process.travel_total_h, rtol=1e-4, atol=1e-3)
        with pytest.raises(ValueError, match="16 episodes of 9 regions"):
            ahead.stand_at({key: value[:1] for key, value in obs.items()}, np.ones((1, 9)))
        for _ in range(2):
            action, (reward, terminated, *_, info) = step()
            mine = ahead.step(action)
            np.testing.assert_allclose(mine.reward, reward, rtol=1e-5)
            np.testing.assert_allclose(mine.cost, info["cost"], rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(mine.terminated, terminated)
            for name, values in ahead.observe().items():
                np.testing.assert_allclose(values, obs[name], rtol=1e-5, atol=1e-5)
        obs, _ = env.reset(seed=n_before)
