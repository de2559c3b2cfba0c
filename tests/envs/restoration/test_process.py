"""The dynamics of restoration against plain recomputation: observations, wasted trips, truncation, masks."""

import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from stormgym.envs.equity import group_pairs, pairwise_w1
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.process import STEPS_PER_REGION, WASTED_H, RestorationProcess
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

CITY = "synthetic:12:1"
N = 12


def test_observation__every_column_equals_a_plain_recomputation_at_every_step(env_of, crew_of):
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


def test_observation__a_shared_point_forecast_under_none_and_no_width_under_point(env_of):
    none, point = env_of(), env_of(predictor="point")
    for env in (none, point):
        obs, _ = env.reset(seed=0)
        np.testing.assert_array_equal(obs["lower_h"], obs["point_h"])
        np.testing.assert_array_equal(obs["upper_h"], obs["point_h"])
    assert np.ptp(obs["point_h"]) > 0.1
    mean = none.city.log.repair_h.mean()
    np.testing.assert_allclose(none.reset(seed=0)[0]["point_h"], mean, rtol=0.1)


def test_wasted_trip__costs_the_travel_and_a_quarter_hour_and_repairs_nothing(env_of):
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
def test_truncation__after_4n_steps_the_rest_is_restored_nearest_first_inside_the_last_step(env_of, reward, cost):
    env = env_of(reward=reward, cost=cost)
    total_reward, total_cost, steps = idle(env, 3)
    assert len(steps) == STEPS_PER_REGION * N
    assert steps[-1][2:4] == (True, True)  # cut, and nothing is left to come
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


def test_truncation__idling_does_not_look_fair(env_of):
    env = env_of()
    before_the_end = []
    for seed in range(20):
        _, total_cost, steps = idle(env, seed)
        before_the_end.append(sum(s[4]["cost"] for s in steps[:-1]))
        others = env.city.group != env.city.group[0]
        assert total_cost == pytest.approx(pairwise_w1(env.process.outage_h[0], env.city.group).max())
        assert env.process.outage_h[0][others].min() > before_the_end[-1] > 0


def test_truncation__a_region_restored_at_the_very_last_step_is_a_termination(env_of):
    env = env_of()
    env.reset(seed=0)
    for action in [0] * (STEPS_PER_REGION * N - N + 1) + list(range(1, N)):
        step = env.step(action)
    assert step[2:4] == (True, False)
    assert step[4]["metrics"]["completed"] == 1.0


def test_truncation__rows_of_a_vector_are_cut_each_in_its_own_time(env_of):
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
    np.testing.assert_array_equal(terminated, [True, False, True, False])  # nothing is left to come
    np.testing.assert_allclose(sums[[0, 2]], [expected, expected], rtol=1e-12)


@pytest.mark.parametrize("max_travel_km", [2.0, 6.0, 1e9])
def test_mask__closes_regions_that_are_too_far_while_a_nearer_one_is_open(env_of, max_travel_km):
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


def test_mask__a_trip_to_a_region_too_far_is_wasted_and_leaves_it_open(env_of):
    env = env_of(max_travel_km=1.0)
    _, info = env.reset(seed=4)
    far = int(np.flatnonzero(info["action_mask"] == 0)[0])
    obs, *_ = env.step(far)
    assert obs["open"][far] == 1.0
    assert env.process.elapsed_h[0] == pytest.approx(env.city.travel_h[N, far] + WASTED_H)
    assert obs["action_mask"][far] == 1  # the crew stands there now
    obs, *_ = env.step(far)
    assert obs["open"][far] == 0.0


def test_terminal_observation__is_in_the_space_for_the_longest_and_shortest_jobs(env_of):
    for hours in (1e-3, 1e4):
        env = env_of()
        jobs = {name: np.full(N, hours) for name in ("duration_h", "lower_h", "upper_h", "point_h")}
        obs, _ = env.reset(seed=0, options={"jobs": jobs})
        assert env.observation_space.contains(obs)
        for action in range(N):
            obs = env.step(action)[0]
            assert env.observation_space.contains(obs)


@pytest.mark.parametrize("max_travel_km", [None, 4.0])
def test_pickle__in_the_middle_of_episodes_goes_on_as_the_original(max_travel_km):
    env = RestorationVectorEnv(3, city=CITY, max_travel_km=max_travel_km)
    env.reset(seed=5)
    for action in (3, 4, 5, 3):  # the last is a wasted trip
        env.step(np.full(3, action))
    first = env.core.process
    second = pickle.loads(pickle.dumps(first))
    for action in (6, 0, 6, 1):
        for one, other in zip(first.step(np.full(3, action)), second.step(np.full(3, action)), strict=True):
            np.testing.assert_array_equal(one, other)
        for name, values in first.observe().items():
            np.testing.assert_array_equal(values, second.observe()[name], err_msg=name)
        np.testing.assert_array_equal(first.outage_h, second.outage_h)
        np.testing.assert_array_equal(first.wasted, second.wasted)


def test_reset__of_one_row_begins_it_anew_and_leaves_the_others():
    env = RestorationVectorEnv(3, city=CITY, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=[1, 2, 3])
    for action in (3, 4, 3):
        env.step(np.full(3, action))
    process = env.core.process
    kept = {name: values[[0, 2]].copy() for name, values in process.observe().items()}
    outages = process.outage_h[[0, 2]].copy()
    mask = np.array([False, True, False])
    observation, _ = env.reset(seed=[None, 9, None], options={"reset_mask": mask})
    fresh, _ = RestorationVectorEnv(1, city=CITY).reset(seed=9)
    for name, values in kept.items():
        np.testing.assert_array_equal(observation[name][[0, 2]], values, err_msg=name)
        np.testing.assert_array_equal(observation[name][1], fresh[name][0], err_msg=name)
    np.testing.assert_array_equal(process.outage_h[[0, 2]], outages)
    assert not process.outage_h[1].any()
    assert process.wasted.tolist() == [1, 0, 1]
    assert process.steps.tolist() == [3, 0, 3]


def test_reset__given_jobs_have_no_records_and_drawn_ones_have_them_again(env_of):
    env = env_of()
    env.reset(seed=0)
    drawn = env.process.row.copy()
    jobs = {name: np.full(N, 2.0) for name in ("duration_h", "lower_h", "upper_h", "point_h")}
    env.reset(seed=0, options={"jobs": jobs})
    assert env.process.row is None
    env.reset(seed=0)
    np.testing.assert_array_equal(env.process.row, drawn)
    assert env.process.row.dtype == np.int64
    assert env.process.fixed_quantile_h is None


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
