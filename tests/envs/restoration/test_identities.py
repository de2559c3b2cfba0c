"""What Restoration-v0 adds up to: sums of travel and repair, other names and units, and the best of all orders."""

import itertools
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.data import City
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.layout import COLUMN
from stormgym.envs.restoration.vector_env import RestorationVectorEnv


def play(env: RestorationEnv, seed: int, rng: np.random.Generator, masked: bool) -> list[Any]:
    """What each step of an episode returned, with open regions or any region drawn at random."""
    observation, _ = env.reset(seed=seed)
    history, over = [], False
    while not over:
        open_ = np.flatnonzero(observation["action_mask"]) if masked else np.arange(env.city.n_regions)
        history.append(env.step(int(rng.choice(open_))))
        observation, over = history[-1][0], history[-1][2] or history[-1][3]
    return history


@pytest.mark.slow
def test_outage_times__equal_a_plain_sum_of_travel_and_repair_from_the_depot() -> None:
    env = gym.make("Restoration-v0", city="synthetic:9:4").unwrapped
    env.reset(seed=3)
    city, duration = env.city, env.process.duration_h[0].copy()
    order = np.random.default_rng(0).permutation(city.n_regions)
    now, here, expected = 0.0, city.depot_km, np.zeros(city.n_regions)
    for region in order:
        road_km = city.detour * float(np.hypot(*(city.xy_km[region] - here)))
        now += road_km / city.speed_kmh + duration[region]
        here, expected[region] = city.xy_km[region], now
        env.step(region)
    np.testing.assert_allclose(env.process.outage_h[0], expected, rtol=1e-12)


def no_forecast(city: Any, **kwargs: Any) -> RestorationEnv:
    """A restoration environment that needs no fit."""
    return RestorationEnv(city, predictor="none", **kwargs)


def jobs_of(env: RestorationEnv) -> dict[str, np.ndarray]:
    """The jobs of the running episode, as `reset(options={"jobs": ...})` takes them."""
    process = env.process
    names = ("lower_h", "upper_h", "point_h")
    jobs = {name: process.regions[0, COLUMN[name]].astype(np.float64) for name in names}
    return {"duration_h": process.duration_h[0].copy(), **jobs}


def run_order(env: RestorationEnv, jobs: dict[str, np.ndarray], order: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Sum of rewards, sum of costs and outage hours `[N]` of one order."""
    env.reset(options={"jobs": jobs})
    total_reward = total_cost = 0.0
    for action in order:
        _, reward, _, _, info = env.step(int(action))
        total_reward, total_cost = total_reward + reward, total_cost + info["cost"]
    return total_reward, total_cost, env.process.outage_h[0].copy()


def relabelled(city: City, order: np.ndarray) -> City:
    """The same city with its regions listed in another order."""
    ids = [city.region_ids[i] for i in order]
    return replace(
        city,
        region_ids=tuple(ids),
        xy_km=city.xy_km[order],
        group=city.group[order],
        log=city.log.select(ids),
        context={name: values[order] for name, values in city.context.items()},
        customers=None if city.customers is None else city.customers[order],
        requests=city.requests[order],
        orders={},
    )


@pytest.mark.parametrize("city", ["synthetic:12:1", "synthetic:7:2", "synthetic:20:5"])
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
def test_reward_and_cost__sum_to_mean_outage_and_to_the_largest_scipy_distance(city, masked):
    env = no_forecast(city)
    for seed in range(3):
        history = play(env, seed, np.random.default_rng(seed), masked)
        times, group, metrics = env.process.outage_h[0], env.city.group, history[-1][4]["metrics"]
        expected = max(
            wasserstein_distance(times[group == a], times[group == b])
            for a, b in itertools.combinations(range(env.city.n_groups), 2)
        )
        assert sum(s[4]["cost"] for s in history) == pytest.approx(expected, rel=1e-12)
        assert metrics["gap_h"] == pytest.approx(expected, rel=1e-12)
        assert sum(s[1] for s in history) == pytest.approx(-times.mean(), rel=1e-12)
        assert metrics["mean_outage_h"] == pytest.approx(times.mean(), rel=1e-14)


@pytest.mark.parametrize("name", ["confidence_level", "cost_limit", "shock_log_sd", "max_travel_km", "income_effect"])
def test_arguments__a_word_for_a_number_is_a_type_error(name):
    with pytest.raises(TypeError, match=f"{name} must be a number; got 'much'"):
        no_forecast("synthetic:12:1", **{name: "much"})


def test_jobs__an_interval_inside_out_is_an_error():
    env = no_forecast("synthetic:12:1")
    env.reset(seed=4)
    jobs = jobs_of(env)
    jobs["lower_h"][3] = jobs["upper_h"][3] + 1.0
    with pytest.raises(ValueError, match=r"jobs\['lower_h'\] must not exceed jobs\['upper_h'\]; it does at row 3"):
        env.reset(options={"jobs": jobs})


def test_relabelling__regions_in_another_order_give_the_same_totals():
    env, rng = no_forecast("synthetic:12:1"), np.random.default_rng(0)
    env.reset(seed=4)
    jobs = jobs_of(env)
    for _ in range(5):
        order, new = rng.permutation(12), rng.permutation(12)  # new[i] is the old index of the i-th region
        other = no_forecast(relabelled(env.city, new))
        renamed = {name: values[new] for name, values in jobs.items()}
        reward, cost, times = run_order(env, jobs, order)
        again = run_order(other, renamed, np.argsort(new)[order])
        np.testing.assert_allclose(again[:2], (reward, cost), rtol=1e-12)
        np.testing.assert_allclose(again[2], times[new], rtol=1e-12)


def test_relabelling__groups_under_other_names_give_the_same_gap():
    env = no_forecast("synthetic:12:1")
    env.reset(seed=4)
    jobs, order = jobs_of(env), np.random.default_rng(1).permutation(12)
    expected = run_order(env, jobs, order)
    for names in itertools.permutations(range(3)):
        other = no_forecast(replace(env.city, group=np.array(names)[env.city.group]))
        np.testing.assert_allclose(run_order(other, jobs, order)[:2], expected[:2], rtol=1e-12)


def test_units__twice_the_distances_at_twice_the_speed_are_the_same_hours():
    env = no_forecast("synthetic:12:1")
    city = env.city
    other = no_forecast(replace(city, xy_km=2 * city.xy_km, depot_km=2 * city.depot_km, speed_kmh=2 * city.speed_kmh))
    env.reset(seed=4)
    jobs, order = jobs_of(env), np.random.default_rng(2).permutation(12)
    a, b = run_order(env, jobs, order), run_order(other, jobs, order)
    np.testing.assert_allclose(a[:2], b[:2], rtol=1e-12)
    np.testing.assert_allclose(a[2], b[2], rtol=1e-12)


@pytest.mark.parametrize(("n_regions", "seed"), [(4, 1), (5, 2), (6, 3), (7, 4)])
def test_optimum__of_all_orders_equals_an_independent_brute_force_and_nothing_beats_it(n_regions, seed):
    name = f"synthetic:{n_regions}:{seed}"
    orders = np.array(list(itertools.permutations(range(n_regions))))
    env = RestorationVectorEnv(len(orders), city=name, predictor="none", autoreset_mode="SameStep")
    env.reset(seed=[seed] * len(orders))
    duration, city = env.process.duration_h[0].copy(), env.city
    np.testing.assert_array_equal(env.process.duration_h, np.tile(duration, (len(orders), 1)))
    totals = np.zeros(len(orders))
    for actions in orders.T:
        _, reward, terminated, _, _ = env.step(actions)
        totals -= reward
    assert terminated.all()

    def mean_outage(order: np.ndarray) -> float:
        points = np.vstack([city.depot_km, city.xy_km[order]])
        legs = np.hypot(*np.diff(points, axis=0).T) * city.detour / city.speed_kmh
        return float(np.cumsum(legs + duration[order]).mean())

    expected = np.array([mean_outage(order) for order in orders])
    np.testing.assert_allclose(totals, expected, rtol=1e-12)
    assert totals.argmin() == expected.argmin()

    single, rng = no_forecast(name), np.random.default_rng(0)
    for masked in [True] * 20 + [False] * 20:
        history = play(single, seed, rng, masked)
        assert -sum(step[1] for step in history) >= expected.min() - 1e-9
