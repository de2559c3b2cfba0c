"""A limit drawn for each episode: the same storms, the same through every door, and its own in every figure."""

import copy
import json
import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.vector import AutoresetMode

from stormgym.envs.data import resolve_city
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.layout import CREW_SCALARS
from stormgym.envs.restoration.render import render
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

CITY = "synthetic:7:2"
PAIR = (4.0, 20.0)
LIMIT = CREW_SCALARS.index("cost_limit_h")
MODES = list(AutoresetMode)
each_mode = pytest.mark.parametrize("mode", MODES, ids=[m.value for m in MODES])


def single(cost_limit: Any = PAIR, **kwargs: Any) -> RestorationEnv:
    return RestorationEnv(CITY, predictor="none", cost_limit=cost_limit, **kwargs)


def vector(n: int, mode: AutoresetMode = AutoresetMode.SAME_STEP, cost_limit: Any = PAIR) -> RestorationVectorEnv:
    return RestorationVectorEnv(n, city=CITY, predictor="none", cost_limit=cost_limit, autoreset_mode=mode)


def finish(env: RestorationEnv) -> dict[str, Any]:
    """Restore what is open, in ascending order; return the last info."""
    while env.action_masks().any():
        info = env.step(int(env.action_masks().argmax()))[4]
        if "metrics" in info:
            return info
    raise AssertionError("nothing was open")


def equal(a: Any, b: Any) -> None:
    """Equal to the last bit."""
    if isinstance(a, dict):
        assert set(a) == set(b)
        for key in a:
            equal(a[key], b[key])
    elif isinstance(a, list | tuple) or (isinstance(a, np.ndarray) and a.dtype == object):
        for x, y in zip(a, b, strict=True):
            equal(x, y)
    else:
        np.testing.assert_array_equal(a, b)


def test_pair__limit_is_the_middle_and_the_range_is_told():
    for env in (single(), vector(2), single([4, 20]), single(np.array([4.0, 20.0]))):
        assert env.cost_limit == 12.0
        assert type(env.cost_limit) is float
        assert env.cost_limit_range == (4.0, 20.0)
    assert single(6).cost_limit_range is None
    assert single(None).cost_limit == resolve_city(CITY).cost_limit_h


@pytest.mark.parametrize("shock", ["none", "group"])
def test_pair__a_seed_gives_the_same_storms_as_with_a_number(shock):
    number, pair = single(8.0, shock=shock), single(shock=shock)
    for seed in (5, None, None, 6, None):
        a, b = number.reset(seed=seed)[0], pair.reset(seed=seed)[0]
        np.testing.assert_array_equal(number.process.duration_h, pair.process.duration_h)
        a["crew"][LIMIT] = b["crew"][LIMIT]
        equal(a, b)


def test_pair__limits_are_uniform_over_the_range():
    env = vector(4000)
    limit = env.reset(seed=0)[1]["cost_limit"]
    assert limit.min() >= 4.0
    assert limit.max() <= 20.0
    ordered = (np.sort(limit) - 4.0) / 16.0
    distance = np.abs(ordered - (np.arange(4000) + 0.5) / 4000).max()
    assert distance < 1.95 / np.sqrt(4000)  # Kolmogorov-Smirnov, false alarm about 1 in 1,000; the seed is fixed
    assert np.unique(limit).size == 4000


def test_pair__limit_and_durations_are_independent():
    env = vector(4000)
    limit = env.reset(seed=0)[1]["cost_limit"]
    for region in range(7):
        r = np.corrcoef(limit, env.process.duration_h[:, region])[0, 1]
        assert abs(r) < 4.5 / np.sqrt(4000)


def test_pair__every_episode_draws_its_own_and_a_seed_repeats_them():
    env = single()
    first = [env.reset(seed=s)[1]["cost_limit"] for s in (3, None, None, None)]
    again = [env.reset(seed=s)[1]["cost_limit"] for s in (3, None, None, None)]
    assert first == again
    assert len(set(first)) == 4


def test_pair__own_limit_is_in_observation_info_and_metrics():
    env, over = single((0.5, 12.0)), []
    for seed in range(30):
        obs, info = env.reset(seed=seed)
        limit = info["cost_limit"]
        assert obs["crew"][LIMIT] == np.float32(limit)
        assert env.process.cost_limit_h.tolist() == [limit]
        info = finish(env)
        assert type(info["cost_limit"]) is np.float64
        assert info["cost_limit"] == info["metrics"]["cost_limit_h"] == limit
        assert info["metrics"]["over_limit"] == float(info["metrics"]["gap_h"] > limit)
        over.append(info["metrics"]["over_limit"])
    assert 0 < np.mean(over) < 1


def test_pair__checkers_find_nothing_to_warn_about():
    from stable_baselines3.common.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check_env(gym.make("Restoration-v0", city=CITY, predictor="none", cost_limit=[4, 20]).unwrapped)
        check_env(single())


def test_pair__spec_survives_json():
    spec = gym.make("Restoration-v0", city=CITY, predictor="none", cost_limit=(4, 20)).spec
    again = gym.make(EnvSpec.from_json(spec.to_json()))
    assert again.unwrapped.cost_limit_range == (4.0, 20.0)
    assert json.loads(spec.to_json())["kwargs"]["cost_limit"] == [4, 20]


@each_mode
@pytest.mark.parametrize("given", [None, 6.0], ids=["drawn", "fixed"])
def test_vector__is_sync_vector_to_the_bit(mode, given):
    native = vector(3, mode)
    sync = gym.make_vec(
        "Restoration-v0",
        3,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        city=CITY,
        predictor="none",
        cost_limit=PAIR,
    )
    options = None if given is None else {"cost_limit": given}
    a, b = sync.reset(seed=[4, 9, 1], options=options), native.reset(seed=[4, 9, 1], options=options)
    equal(list(a), list(b))
    rng, seen = np.random.default_rng(0), set()
    for _ in range(60):
        actions = rng.integers(7, size=3)
        a, b = sync.step(actions), native.step(actions)
        for x, y in zip(a[:4], b[:4], strict=True):
            equal(x, y)
        for info in (a[4], b[4]):  # other metrics may differ in the last bit of a sum
            for part in (info, info.get("final_info", {})):
                if "metrics" in part:
                    part["metrics"] = {k: v for k, v in part["metrics"].items() if "limit" in k}
        equal(a[4], b[4])
        seen.update(b[4]["cost_limit"].tolist())
        ended = b[2] | b[3]
        if mode == AutoresetMode.DISABLED and ended.any():
            some = {"reset_mask": ended, **(options or {})}
            equal(
                list(sync.reset(options=dict(some))), list(native.reset(options=some))
            )  # the first takes the mask out
    assert len(seen - {0.0, 6.0}) >= (3 if given is None or mode != AutoresetMode.DISABLED else 0)


def test_vector__rows_are_the_single_environments_of_their_seeds():
    many, ones = vector(3), [single() for _ in range(3)]
    obs, infos = many.reset(seed=20)
    own = [env.reset(seed=20 + i) for i, env in enumerate(ones)]
    for k in range(30):
        for i in range(3):
            equal({key: value[i] for key, value in obs.items()}, own[i][0])
            assert infos["cost_limit"][i] == own[i][1]["cost_limit"]
        obs, _, _, _, infos = many.step(np.full(3, k % 7))
        for i, env in enumerate(ones):
            step = env.step(k % 7)
            own[i] = (step[0], step[4])
            if step[2] or step[3]:
                final = infos["final_info"]
                assert final["cost_limit"][i] == final["metrics"]["cost_limit_h"][i] == step[4]["cost_limit"]
                own[i] = env.reset()


@pytest.mark.parametrize("how", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["copy", "pickle"])
def test_copy__draws_the_same_limits_afterwards(how):
    env = vector(3)
    env.reset(seed=1)
    copied = how(env)
    for k in range(40):
        a, b = env.step(np.full(3, k % 7)), copied.step(np.full(3, k % 7))
        equal(a[0], b[0])
        equal(a[4]["cost_limit"], b[4]["cost_limit"])
    one = single()
    one.reset(seed=1)
    copied = how(one)
    for _ in range(4):
        assert one.reset()[1]["cost_limit"] == copied.reset()[1]["cost_limit"]


@pytest.mark.parametrize("cost_limit", [8.0, PAIR])
def test_reset__an_option_fixes_the_limit_of_that_episode_only(cost_limit):
    env, plain = single(cost_limit), single(cost_limit)
    env.reset(seed=2)
    plain.reset(seed=2)
    _, info = env.reset(options={"cost_limit": 6})
    plain.reset()
    assert info["cost_limit"] == 6.0
    np.testing.assert_array_equal(env.process.duration_h, plain.process.duration_h)
    assert finish(env)["metrics"]["cost_limit_h"] == 6.0
    assert env.reset()[1]["cost_limit"] == plain.reset()[1]["cost_limit"]  # and it moves no later draw


def test_reset__an_option_fixes_the_limits_of_a_vector_row_by_row():
    env = vector(3, AutoresetMode.DISABLED)
    _, infos = env.reset(seed=0, options={"cost_limit": [5.0, 6.0, 7.0]})
    assert infos["cost_limit"].tolist() == [5.0, 6.0, 7.0]
    mask = np.array([False, True, False])
    _, infos = env.reset(options={"cost_limit": np.array([1.0, 2.0, 3.0]), "reset_mask": mask})
    assert infos["cost_limit"].tolist() == [0.0, 2.0, 0.0]
    assert env.process.cost_limit_h.tolist() == [5.0, 2.0, 7.0]


@pytest.mark.parametrize("bad", [0, -1.0, np.inf, np.nan, "6", [1.0, 2.0], True])
def test_reset__a_bad_limit_is_an_error(bad):
    with pytest.raises(ValueError, match=r"options\['cost_limit'\] must be a positive number of hours; got"):
        single().reset(options={"cost_limit": bad})
    if not isinstance(bad, list):
        with pytest.raises(ValueError, match=r"must be a positive number of hours, or 3 of them; got"):
            vector(3).reset(options={"cost_limit": bad})


def test_reset__a_limit_that_no_observation_holds_is_an_error():
    with pytest.raises(ValueError, match=r"cost_limit must be at most 1e\+30 hours, which no gap reaches; got 1e\+308"):
        single().reset(options={"cost_limit": 1e308})
    single().reset(options={"cost_limit": 1e30})


@pytest.mark.parametrize("bad", [(20.0, 4.0), (0.0, 4.0), (4.0, np.inf), (1.0, 2.0, 3.0), (4.0,), (np.nan, 4.0)])
def test_pair__a_bad_one_is_an_error(bad):
    with pytest.raises(ValueError, match=r"cost_limit must be a pair \(low, high\) with 0 < low <= high hours; got"):
        single(bad)


@pytest.mark.parametrize("bad", ["much", "4-20", ("4", "20"), {"low": 4}, ()])
def test_pair__what_is_no_number_is_a_type_error(bad):
    with pytest.raises(TypeError, match=r"cost_limit must be a number; got .*A pair \(low, high\) or None"):
        single(bad)


def test_render__shows_the_limit_of_the_row():
    env = vector(2)
    env.reset(seed=0, options={"cost_limit": [5.0, 6.5]})
    assert "limit 5.00 h" in render(env.process, 0, "ansi")
    assert "limit 6.50 h" in render(env.process, 1, "ansi")


def test_truncation__rows_cut_short_keep_their_limits():
    env = vector(3, AutoresetMode.SAME_STEP)
    limit = env.reset(seed=0)[1]["cost_limit"]
    for _ in range(28):
        infos = env.step(np.zeros(3, dtype=np.int64))[4]
    assert infos["final_info"]["metrics"]["cost_limit_h"].tolist() == limit.tolist()
    assert (infos["cost_limit"] != limit).all()
