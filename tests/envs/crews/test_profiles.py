"""Profiles of CrewDispatch-v0: the default's draws to the bit, the utility's numbers, and N slots in R regions."""

import inspect

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.special import gammainc
from scipy.stats import kstest, spearmanr

from stormgym.envs.crews.env import CrewDispatchEnv, CrewDispatchVectorEnv
from stormgym.envs.crews.given import KINDS
from stormgym.envs.crews.jobs import slot_parents
from stormgym.envs.crews.profiles import slice_means
from stormgym.envs.data import City

SMALL = {"profile": "utility", "city": "synthetic:7:1", "n_jobs": 18, "n_crews": 4, "n_assessors": 1}


def storm_of(env, row=0):
    """The storm of an environment as options of a reset."""
    jobs = env.core.process.jobs
    names = {name: "site" if name == "region" else name for name in (*KINDS, "quantile_h")}
    return {name: getattr(jobs, field)[row].copy() for name, field in names.items()}


def begun(seed=0, batch=None, **kwargs):
    env = (
        CrewDispatchEnv(**{**SMALL, **kwargs}) if batch is None else CrewDispatchVectorEnv(batch, **{**SMALL, **kwargs})
    )
    env.reset(seed=seed)
    return env


def played(env, choose=None):
    """The last info of an episode, by the nearest rule."""
    obs, info = env.reset(seed=0)
    while "metrics" not in info:
        open_ = obs["action_mask"][:-1] > 0
        action = np.where(open_, obs["distance_km"], np.inf).argmin() if choose is None else choose(obs)
        obs, *_, info = env.step(int(action))
    return info


def test_default__draws_four_uniform_numbers_a_job_and_the_shock_and_nothing_else():
    env = CrewDispatchEnv(city="synthetic:14:1", predictor="none", feeder="none", shock="group")
    log, rng = env.city.log, np.random.default_rng(5)
    env.reset(seed=5)
    for _ in range(3):
        record, late, special, looked_at = (rng.random(14) for _ in range(4))
        score = rng.standard_normal(4)[1:][env.city.group]
        hours = [log.repair_h[log.region == j] for j in range(14)]
        hours = np.array([own[int(u * own.size)] for own, u in zip(hours, record, strict=True)])
        storm = storm_of(env)
        np.testing.assert_allclose(storm["duration_h"], hours * np.exp(0.35 * score - 0.35**2 / 2), rtol=1e-12)
        assert (storm["arrival_h"] == 0).tolist() == (late < 0.6).tolist()
        assert storm["need"].tolist() == (special < 0.25).astype(int).tolist()
        assert looked_at.shape == storm["assessed"].shape
        env.reset()


def test_profile__names_defaults_that_arguments_override():
    env = CrewDispatchEnv(profile="utility")
    assert (env.core.n_jobs, env.core.roster.n_crews, len(env.core.depots_km)) == (200, 15, 3)
    roster = env.core.roster
    repairs = ~roster.assessor
    assert (repairs.sum(), roster.skills[repairs, 1].sum(), (roster.start_h[repairs] == 12.0).sum()) == (12, 6, 5)
    assert (roster.skills[:, 1] & (roster.start_h == 12.0)).sum() == 3  # of both kinds some work at night
    assert env.cost_limit == 2.0
    small = begun(known_share=1.0, night_share=0.0)
    assert (small.core.n_jobs, small.core.roster.n_crews, small.core.roster.start_h.max()) == (18, 5, 0.0)
    assert (small.core.process.jobs.arrival_h == 0).all()
    one_a_region = begun(n_jobs=None)
    assert one_a_region.core.process.jobs.site[0].tolist() == list(range(7))
    default = inspect.signature(CrewDispatchEnv).parameters
    assert (default["n_crews"].default, default["n_jobs"].default) == (4, None)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"profile": "city"}, "profile must be one of default, utility; got 'city'"),
        ({"predictor": "none"}, "predictor has no use with profile 'utility'"),
        ({"split": "test"}, "split has no use with profile 'utility'"),
        ({"n_jobs": 0}, "n_jobs must be at least 1; got 0"),
        ({"night_share": 1.5}, "night_share must be from 0 to 1; got 1.5"),
    ],
)
def test_profile__bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        begun(**kwargs)


def test_utility__jobs_have_the_numbers_of_the_storms():
    env = begun(batch=150, city="default", n_jobs=200)
    jobs, n = env.core.process.jobs, 30_000
    assert np.abs(np.bincount(jobs.site.ravel()) / n - 1 / 55).max() < 6 * np.sqrt(1 / 55 / n)
    assert (jobs.need == 1).mean() == pytest.approx(0.22, abs=6 * np.sqrt(0.22 * 0.78 / n))
    assert (jobs.arrival_h == 0).mean() == pytest.approx(0.25, abs=6 * np.sqrt(0.25 * 0.75 / n))
    assert (jobs.customers == 1).mean() == pytest.approx(0.61, abs=6 * np.sqrt(0.61 * 0.39 / n))
    several = np.log(jobs.customers[jobs.customers > 1])
    assert several.mean() == pytest.approx(3.4, abs=0.1)  # rounded up, and at least two
    for kind, (median, log_sd) in enumerate([(0.47, 1.07), (2.8, 1.23)]):
        log = np.log(jobs.duration_h[jobs.need == kind])
        assert kstest((log - np.log(median)) / log_sd, "norm").pvalue > 1e-6
        seen = jobs.point_h[jobs.need == kind]
        assert spearmanr(seen, np.exp(log)).statistic == pytest.approx(0.65, abs=0.04)


def test_utility__late_jobs_are_a_pulse_over_a_steady_base():
    jobs = begun(batch=150, city="default", n_jobs=200).core.process.jobs
    late = jobs.arrival_h[jobs.arrival_h > 0]
    base = 0.16 * gammainc(3.0, 8.0) / 48.0  # an hour, where the whole pulse is one

    def until(hours):
        return (gammainc(3.0, hours / 6.0) + base * hours) / (gammainc(3.0, 8.0) + base * 48.0)

    assert late.max() <= 48.0
    assert kstest(late, until).pvalue > 1e-6


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_utility__both_forecasts_cover_as_they_say_and_the_seen_one_is_narrower(level):
    jobs = begun(batch=150, city="default", n_jobs=200, confidence_level=level).core.process.jobs
    hours, sd = jobs.duration_h, np.sqrt(level * (1 - level) / jobs.duration_h.size)
    for low, high in ((jobs.lower_h, jobs.upper_h), (jobs.wide_h[..., 1], jobs.wide_h[..., 2])):
        assert ((low <= hours) & (hours <= high)).mean() == pytest.approx(level, abs=6 * sd)
    ratio = np.log(jobs.upper_h / jobs.lower_h) / np.log(jobs.wide_h[..., 2] / jobs.wide_h[..., 1])
    np.testing.assert_allclose(ratio, np.sqrt(1 - (2 * np.sin(np.pi * 0.65 / 6)) ** 2))


def test_quantiles__are_means_of_slices_so_their_average_is_the_mean():
    centre, sd = np.array([0.3, -1.0]), np.array([1.23, 0.4])
    found = slice_means(centre, sd)
    np.testing.assert_allclose(found.mean(axis=-1), np.exp(centre + sd**2 / 2), rtol=1e-12)
    draws = np.sort(np.exp(centre + sd * np.random.default_rng(0).standard_normal((200_000, 2))), axis=0)
    np.testing.assert_allclose(found[:, :19], draws.reshape(20, -1, 2).mean(axis=1).T[:, :19], rtol=0.02)
    env = begun(known_share=1.0)
    announced, jobs = env.announced, env.core.process.jobs
    np.testing.assert_array_equal(announced.quantile_h, jobs.wide_quantile_h)  # nobody has looked
    np.testing.assert_allclose(announced.quantile_h.mean(axis=-1), jobs.wide_h[..., 0], rtol=1e-12)


def test_draws__are_the_same_whatever_the_options_and_the_policy():
    base = storm_of(begun(7))
    for kwargs in (
        {"n_crews": 6, "night_share": 0.0},
        {"feeder": "radial"},
        {"shock": "group"},
        {"n_skills": 1},
        {"assessed_share": 0.5},
        {"special_share": 0.6},
        {"known_share": 0.7},
        {"confidence_level": 0.5},
        {"n_jobs": 18, "weights": "customers"},
    ):
        other = storm_of(begun(7, **kwargs))
        for name in ("region", "customers"):
            np.testing.assert_array_equal(other[name], base[name])
        if not {"shock", "special_share"} & set(kwargs):
            np.testing.assert_array_equal(other["duration_h"], base["duration_h"])
        if not {"feeder", "known_share"} & set(kwargs):
            np.testing.assert_array_equal(other["arrival_h"], base["arrival_h"])
    env = CrewDispatchEnv(**SMALL)
    storms = []
    for choose in (None, lambda obs: np.flatnonzero(obs["action_mask"])[-1]):
        played(env, choose)
        env.reset()
        storms.append(storm_of(env))
    for name in storms[0]:
        np.testing.assert_array_equal(storms[0][name], storms[1][name])


def test_hidden__jobs_to_come_change_no_observation_before_they_come():
    env, twin = begun(4), CrewDispatchEnv(**SMALL)
    storm = storm_of(env)
    late = storm["arrival_h"] > 5.0
    assert late.any()
    other = {name: values.copy() for name, values in storm.items()}
    other["region"][late] = (other["region"][late] + 3) % 7
    other["need"][late] = 1 - other["need"][late]
    other["customers"][late] += 1000.0
    other["point_h"][late] *= 2.0
    other["arrival_h"][late] = np.maximum(5.5, other["arrival_h"][late] - 4.0)
    seen, _ = env.reset(seed=0, options={"jobs": storm})
    own, _ = twin.reset(seed=0, options={"jobs": other})
    decisions = 0
    while max(env.core.process.t[0], twin.core.process.t[0]) < 5.0:
        for name, values in seen.items():
            np.testing.assert_array_equal(values, own[name], err_msg=name)
        np.testing.assert_array_equal(env.announced.site, twin.announced.site)
        action = int(np.where(seen["action_mask"][:-1] > 0, seen["distance_km"], np.inf).argmin())
        seen, *_ = env.step(action)
        own, *_ = twin.step(action)
        decisions += 1
    assert decisions > 3


def test_conformance__gymnasiums_checks_and_single_equals_native():
    check_env(gym.make("stormgym:CrewDispatch-v0", **SMALL).unwrapped, skip_render_check=True)
    batch, singles = CrewDispatchVectorEnv(3, **SMALL), [CrewDispatchEnv(**SMALL) for _ in range(3)]
    seen, _ = batch.reset(seed=11)
    own = [env.reset(seed=11 + i)[0] for i, env in enumerate(singles)]
    for _ in range(25):
        for name, values in seen.items():
            np.testing.assert_array_equal(values, np.stack([obs[name] for obs in own]))
        actions = [int(np.flatnonzero(obs["action_mask"])[0]) for obs in own]
        seen, reward, *_, infos = batch.step(np.array(actions))
        steps = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        own = [step[0] for step in steps]
        assert all(env.observation_space.contains(obs) for env, obs in zip(singles, own, strict=True))
        np.testing.assert_array_equal(reward, [step[1] for step in steps])
        np.testing.assert_array_equal(infos["cost"], [step[4]["cost"] for step in steps])
        if any(step[2] for step in steps):
            break


def test_state__taken_up_elsewhere_is_equal_to_the_bit():
    env, other = (CrewDispatchVectorEnv(4, **SMALL, feeder="radial") for _ in range(2))
    for one in (env, other):
        one.keep_log()
    env.reset(seed=7)
    rng = np.random.default_rng(0)

    def step(*envs):
        masks = env.action_masks()
        actions = (rng.random(masks.shape) * masks).argmax(axis=1)
        return [one.step(actions)[0] for one in envs]

    for _ in range(60):  # beyond the end of some episodes
        step(env)
    other.load_state_dict(env.state_dict())
    for _ in range(30):
        seen, own = step(env, other)
        for name, values in seen.items():
            np.testing.assert_array_equal(values, own[name])


def test_episode__totals_pictures_and_hours_by_region():
    env = CrewDispatchEnv(**SMALL, render_mode="ansi", feeder="radial")
    obs, total = env.reset(seed=2)[0], 0.0
    info = {}
    while "metrics" not in info:
        text = env.render()
        assert max(map(len, text.splitlines())) <= 80
        obs, reward, *_, info = env.step(int(np.where(obs["action_mask"][:-1], obs["distance_km"], np.inf).argmin()))
        total += reward
    metrics, jobs, power = info["metrics"], env.core.process.jobs, env.core.process.power_h[0]
    assert total == pytest.approx(-metrics["mean_outage_h"] - 0.05 * metrics["overtime_h"])
    outage = power - jobs.arrival_h[0]
    by_region = [outage[jobs.site[0] == r].max(initial=0.0) for r in range(7)]
    np.testing.assert_allclose(env.times_h()[0], by_region)
    assert metrics["saidi_h"] == pytest.approx((outage * jobs.customers[0]).sum() / env.city.customers.sum())
    frame = gym.make("stormgym:CrewDispatch-v0", **SMALL, render_mode="rgb_array")
    frame.reset(seed=0)
    assert frame.render().shape == (600, 1200, 3)


def test_slots__hang_on_the_first_slot_of_the_nearest_region_above():
    parent = np.array([-1, 0, 1, 2])
    site = np.array([[3, 0, 2, 3, 0], [3, 3, 2, 2, 1]])
    assert slot_parents(parent, site).tolist() == [[2, -1, 1, 2, -1], [2, 2, 4, 4, -1]]
    jobs = begun(3, batch=5, feeder="radial").core.process.jobs
    above = np.where(jobs.parent >= 0, np.take_along_axis(jobs.arrival_h, np.maximum(jobs.parent, 0), axis=1), 0.0)
    assert (jobs.parent >= 0).any()
    assert (above <= jobs.arrival_h).all()


def test_default__takes_slots_too_and_shares_a_regions_customers():
    env = CrewDispatchEnv(city="synthetic:7:1", predictor="none", n_jobs=21)
    env.reset(seed=0)
    jobs = env.core.process.jobs
    assert np.unique(jobs.site).size < 21
    np.testing.assert_allclose(jobs.customers[0], env.city.customers[jobs.site[0]] / 3)
    assert played(env)["metrics"]["completed"] == 1.0


def test_utility__without_customers_of_the_city_saidi_is_of_those_hit():
    city = City.synthetic(1, 7)
    bare = City(**{**{f: getattr(city, f) for f in city.__dataclass_fields__}, "customers": None})
    env = CrewDispatchEnv(**{**SMALL, "city": bare, "weights": "customers"})
    metrics = played(env)["metrics"]
    assert metrics["saidi_h"] == pytest.approx(metrics["caidi_h"])
    assert env.core.process.jobs.weight.sum() > 0


def test_given__fewer_jobs_than_slots_leave_empty_ones():
    env, full = begun(0), begun(1)
    storm = {name: values[:5] for name, values in storm_of(full).items()}
    storm["weight"] = np.full(5, 0.2)
    env.reset(seed=0, options={"jobs": storm})
    assert np.isinf(env.core.process.jobs.arrival_h[0, 5:]).all()
    other = CrewDispatchEnv(**{**SMALL, "n_jobs": 5})
    infos = []
    for one in (env, other):
        obs, info = one.reset(seed=0, options={"jobs": storm})
        while "metrics" not in info:
            obs, *_, info = one.step(int(np.where(obs["action_mask"][:-1], obs["distance_km"], np.inf).argmin()))
        infos.append(info["metrics"])
    assert infos[0] == pytest.approx(infos[1])
    assert np.isfinite(env.times_h()).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": None}, r"jobs\['region'\] is missing; without it jobs are one a region, 7; got 18"),
        ({"region": np.full(18, 7)}, r"jobs\['region'\] must be 0 to 6; got 7"),
        ({"need": np.full(18, 0.5)}, r"jobs\['need'\] must be whole numbers; got 0.5"),
        ({"customers": np.full(18, -1.0)}, r"jobs\['customers'\] must be at least 0; got -1"),
        ({"quantile_h": np.ones((18, 3))}, r"jobs\['quantile_h'\] must be 18 rows of 20 finite numbers"),
        ({"duration_h": np.ones(19)}, r"jobs\['duration_h'\] must be 1 to 18 numbers, as there are slots; got 19"),
        ({"parent": np.array([18, *[-1] * 17])}, "parent must be a slot 0 to 17, or -1 for none; got 18"),
        (
            {"parent": np.array([1, *[-1] * 17]), "arrival_h": np.array([0.0, 3.0, *[0.0] * 16])},
            r"jobs\['arrival_h'\] of job 0 \(0 h\) must not be before that of its parent 1 \(3 h\)",
        ),
    ],
)
def test_given__bad_ones(change, message):
    env = begun(0)
    storm = {name: value for name, value in {**storm_of(env), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        env.reset(options={"jobs": storm})
