"""What episodes draw: records, shocks, halves of the log, and jobs that are given instead."""

import numpy as np
import pytest

from stormgym.envs.cities.tables import MAX_SHOCK_SD, records_of
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

N = 12


def test_observation__predictive_quantiles_belong_to_the_drawn_records(env_of):
    env = env_of(predictor="ecqr")
    obs, _ = env.reset(seed=5)
    quantile = env.core.quantile_h()
    assert quantile.shape == (1, N, env.core.tables.quantile_levels.size)
    assert (np.diff(quantile, axis=-1) >= 0).all()
    np.testing.assert_allclose(quantile[0].mean(axis=-1), obs["point_h"], rtol=1e-5)


def test_reset__each_region_draws_a_record_of_its_own_log(env_of):
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


def test_reset__durations_do_not_depend_on_what_the_agent_does(env_of):
    envs = [env_of() for _ in range(2)]
    for env, order in zip(envs, (range(N), reversed(range(N))), strict=True):
        env.reset(seed=9)
        for action in order:
            env.step(action)
    for _ in range(2):
        for env in envs:
            env.reset()
        np.testing.assert_array_equal(envs[0].process.duration_h, envs[1].process.duration_h)


@pytest.mark.parametrize("shock", ["common", "group"])
def test_shock__keeps_the_drawn_records_and_multiplies_by_one_factor(env_of, shock):
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


def test_shock__log_sd_zero_is_no_shock(env_of):
    calm, still = env_of(), env_of(shock="group", shock_log_sd=0.0)
    calm.reset(seed=1)
    still.reset(seed=1)
    np.testing.assert_allclose(still.process.duration_h, calm.process.duration_h, rtol=1e-15)


def given_jobs() -> dict[str, np.ndarray]:
    """Jobs of today for the small city."""
    point = np.linspace(1.0, 3.0, N)
    return {"duration_h": point[::-1].copy(), "lower_h": 0.5 * point, "upper_h": 2.0 * point, "point_h": point}


def test_given_jobs__replace_the_drawn_records(env_of):
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


def test_given_jobs__do_not_shift_the_episodes_that_follow(env_of):
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
def test_given_jobs__bad_ones_are_errors(env_of, change, message):
    jobs = {name: value for name, value in {**given_jobs(), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        env_of().reset(seed=0, options={"jobs": jobs})


def test_split__halves_of_each_regions_records_are_drawn_and_share_none(env_of):
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


def test_split__an_unknown_one_is_an_error(env_of):
    with pytest.raises(ValueError, match="split must be one of"):
        env_of(split="validation")


@pytest.mark.parametrize("given", [{"lower_h": ["x"] * N}, {"upper_h": [[1], [1, 2]]}, {"point_h": [10**400] * N}])
def test_reset__jobs_that_are_no_numbers_are_named(env_of, given):
    jobs = {name: np.ones(N) for name in ("duration_h", "lower_h", "upper_h", "point_h")}
    (name,) = given
    with pytest.raises(ValueError, match=rf"jobs\['{name}'\] must be an array of numbers; got"):
        env_of().reset(options={"jobs": {**jobs, **given}})
    with pytest.raises(ValueError, match=r"options\['cost_limit'\] must be a positive number of hours"):
        env_of().reset(options={"cost_limit": [[1], [1, 2]]})
