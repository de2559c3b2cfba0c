"""MixedVecEnv against the StormVecEnvs it is made of, and names of many cities."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.monitor import Monitor

from stormgym.envs.adapters.sb3 import StormVecEnv, make_vec_env
from stormgym.envs.adapters.sb3_mixed import MixedVecEnv, make_mixed_vec_env
from stormgym.envs.data import City
from stormgym.envs.data.resolve import many_cities, resolve_city

CITIES = ("synthetic:5:1", "synthetic:9:2", "synthetic:7:3")
SIZES = (5, 9, 7)
SHARES = (3, 2, 2)
ROWS = np.split(np.arange(7), [3, 5])
ENV: dict[str, Any] = {"predictor": "none"}  # needs no forest
MANY = "synthetic:5-9:3:3"


def mixed(seed: int | None = 3, **kwargs: Any) -> MixedVecEnv:
    return make_mixed_vec_env("Restoration-v0", 7, CITIES, seed=seed, **{**ENV, **kwargs})


def alone(seed: int = 3, **kwargs: Any) -> list[StormVecEnv]:
    """The same environments, one `StormVecEnv` a city."""
    return [
        make_vec_env("Restoration-v0", share, seed=seed + int(rows[0]), city=city, **{**ENV, **kwargs})
        for city, share, rows in zip(CITIES, SHARES, ROWS, strict=True)
    ]


def equal(a: Any, b: Any) -> None:
    if isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in b:
            equal(a[key], b[key])
    else:
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def unpadded(observation: dict[str, Any], n: int) -> dict[str, Any]:
    """One row's observation without padding, which is checked."""
    for key, value in observation.items():
        if key != "crew":
            np.testing.assert_array_equal(value[n:], -1 if key == "group" else 0)
    return {key: value if key == "crew" else value[:n] for key, value in observation.items()}


@pytest.mark.parametrize(
    "kwargs", [{}, {"cost_limit": (4.0, 20.0)}, {"cost": "terminal"}], ids=["plain", "pair", "end"]
)
def test_mixed__each_city_is_its_own_vec_env_step_for_step(kwargs: dict[str, Any]) -> None:
    ours, theirs = mixed(**kwargs), alone(**kwargs)
    obs, parts = ours.reset(), [venv.reset() for venv in theirs]
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(60):  # unmasked actions: wasted trips and truncation come up too
        for a, b in zip(ours.split(obs), parts, strict=True):
            equal(a, b)
        for i, n in enumerate(np.repeat(SIZES, SHARES)):
            unpadded({key: value[i] for key, value in obs.items()}, n)
        assert ours.observation_space.contains({k: np.ascontiguousarray(v[0]) for k, v in obs.items()})
        np.testing.assert_array_equal(ours.action_masks(), obs["action_mask"].astype(bool))
        actions = rng.integers(0, np.repeat(SIZES, SHARES))
        obs, reward, done, infos = ours.step(actions)
        steps = [venv.step(actions[rows]) for venv, rows in zip(theirs, ROWS, strict=True)]
        parts = [step[0] for step in steps]
        np.testing.assert_array_equal(reward, np.concatenate([step[1] for step in steps]))
        np.testing.assert_array_equal(done, np.concatenate([step[2] for step in steps]))
        for info, single, n in zip(infos, [i for s in steps for i in s[3]], np.repeat(SIZES, SHARES), strict=True):
            if "episode" in single:
                ended += 1
                info["episode"].pop("t")
                single["episode"].pop("t")
                info["terminal_observation"] = unpadded(info["terminal_observation"], n)
            np.testing.assert_array_equal(info["action_mask"][n:], 0)
            info["action_mask"] = info["action_mask"][:n]
            equal(info, single)
        for info, single in zip(ours.reset_infos, [i for venv in theirs for i in venv.reset_infos], strict=True):
            np.testing.assert_array_equal(
                info["action_mask"], np.pad(single["action_mask"], (0, 9 - len(single["action_mask"])))
            )
            equal({**info, "action_mask": 0}, {**single, "action_mask": 0})
    assert ended > 20


def test_mixed__what_is_handed_out_never_changes() -> None:
    venv = mixed()
    handed = [venv.reset()]
    copies = [{key: value.copy() for key, value in handed[0].items()}]
    for _ in range(12):
        obs, _, _, infos = venv.step(venv.action_masks().argmax(axis=1))
        obs["action_mask"][:] = 7
        infos[0]["action_mask"][:] = 7
        assert not (venv.action_masks() == 7).all()
        handed.append(obs)
        copies.append({key: value.copy() for key, value in obs.items()})
    for a, b in zip(handed, copies, strict=True):
        equal(a, b)


def test_mixed__spaces_are_those_of_the_largest_city_and_no_region_is_minus_one() -> None:
    venv = mixed()
    assert venv.action_space == spaces.Discrete(9)
    assert isinstance(venv.observation_space, spaces.Dict)
    assert venv.observation_space["point_h"].shape == (9,)
    assert venv.observation_space["group"].low.tolist() == [-1.0] * 9
    assert (venv.num_envs, venv.n_regions, [p.n_regions for p in venv.parts]) == (7, 9, list(SIZES))


def test_mixed__attributes_and_methods_are_those_of_each_row() -> None:
    venv = mixed(cost_limit=(4.0, 20.0))
    venv.reset()
    assert [city.name for city in venv.get_attr("city")] == np.repeat(CITIES, SHARES).tolist()
    assert [city.name for city in venv.get_attr("city", [6, 0, -4])] == [CITIES[2], CITIES[0], CITIES[1]]
    assert venv.get_attr("cost_limit") == [12.0] * 7
    assert venv.get_attr("cost_limit_range", 4) == [(4.0, 20.0)]
    venv.set_attr("note", 4)
    assert venv.get_attr("note") == [4] * 7
    venv.set_attr("note", 5, indices=[3, 4])  # a whole city
    assert venv.get_attr("note") == [4] * 3 + [5] * 2 + [4] * 2
    with pytest.raises(ValueError, match="indices=None"):
        venv.set_attr("note", 6, indices=[3])
    with pytest.raises(ValueError, match="act together"):
        venv.env_method("reset")
    assert venv.env_is_wrapped(Monitor) == [True] * 7
    assert is_masking_supported(venv)
    np.testing.assert_array_equal(get_action_masks(venv), venv.action_masks())
    assert [mask.sum() for mask in venv.env_method("action_masks", indices=[5, 0])] == [7, 5]
    venv.close()


def test_mixed__seed_makes_the_same_episodes_again_and_pickling_goes_on() -> None:
    venv = mixed(cost_limit=(4.0, 20.0))
    first = venv.reset()
    assert not np.array_equal(first["crew"], venv.reset()["crew"])
    assert venv.seed(3) == list(range(3, 10))
    equal(venv.reset(), first)
    for _ in range(3):
        venv.step(venv.action_masks().argmax(axis=1))
    other = pickle.loads(pickle.dumps(venv))
    for _ in range(25):
        actions = venv.action_masks().argmax(axis=1)
        a, b = venv.step(actions), other.step(actions)
        equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
        for x, y in zip(a[3], b[3], strict=True):
            assert x["cost_limit"] == y["cost_limit"]
            if "episode" in x:
                assert (x["episode"]["r"], x["episode"]["c"]) == (y["episode"]["r"], y["episode"]["c"])


def test_mixed__an_action_that_is_no_region_of_its_city_is_an_error() -> None:
    venv = mixed()
    venv.reset()
    with pytest.raises(ValueError, match=r"action 5 in environment 1: its city has the regions 0\.\.4; choose where"):
        venv.step(np.array([0, 5, 0, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match="action -1 in environment 0"):
        venv.step(np.array([-1, 0, 0, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match=r"actions must have shape \(7,\); got \(3,\)"):
        venv.step(np.zeros(3, dtype=np.int64))
    venv.set_options({"jobs": {}})
    with pytest.raises(ValueError, match="reset options"):
        venv.reset()


def test_mixed__needs_cities_with_the_same_number_of_groups() -> None:
    with pytest.raises(ValueError, match="at least one city; got none"):
        MixedVecEnv([])
    with pytest.raises(ValueError, match="over cities, whose observations have regions"):
        MixedVecEnv([make_vec_env("CartPole-v1", 1)])
    three = resolve_city(CITIES[0])
    two = City(
        **{
            **{name: getattr(three, name) for name in three.__dataclass_fields__},
            "name": "two groups",
            "group": np.minimum(three.group, 1),
            "group_names": ("low", "high"),
        }
    )
    with pytest.raises(ValueError, match=r"same number of groups; got synthetic:5:1: 3, two groups: 2"):
        make_mixed_vec_env("Restoration-v0", 2, [three, two], **ENV)


def test_mixed__rows_are_shared_evenly_with_at_least_one_a_city() -> None:
    for num_envs, shares in ((7, [3, 2, 2]), (6, [2, 2, 2]), (1, [1, 1, 1])):
        venv = make_mixed_vec_env("Restoration-v0", num_envs, CITIES, **ENV)
        assert [one.num_envs for one in venv.venvs] == shares


# ------------------------------------------------------------------------------------------ names of many cities


def test_many_cities__are_fixed_by_the_name_and_spread_over_the_range() -> None:
    names = many_cities("synthetic:20-100:3:16")
    assert names is not None
    assert names == many_cities("synthetic:20-100:3:16")
    assert names[0] == "synthetic:77:328645170"  # the same cities in every version
    sizes = np.sort([int(name.split(":")[1]) for name in names])
    parts = np.linspace(20, 101, 17)
    assert ((sizes >= np.floor(parts[:-1])) & (sizes < parts[1:])).all()
    assert len({name.split(":")[2] for name in names}) == 16
    assert names != many_cities("synthetic:20-100:4:16")
    assert [name.split(":")[1] for name in many_cities("synthetic:7-7:0:2") or ()] == ["7", "7"]
    assert [many_cities(name) for name in ("default", "synthetic:20:3", None, resolve_city(CITIES[0]))] == [None] * 4


def test_many_cities__of_several_kinds_are_named_together() -> None:
    names = many_cities("varied:20-60:3:4+synthetic:20-60:3:2")
    assert names is not None
    assert [name.partition(":")[0] for name in names] == ["varied"] * 4 + ["synthetic"] * 2
    assert names[4:] == many_cities("synthetic:20-60:3:2")
    assert many_cities("folder+of+mine") is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("varied:20-60:3:4+synthetic:20:3", "must be 'synthetic:LOW-HIGH:SEED:COUNT' or .* got 'synthetic:20:3' in"),
        ("varied:20-60:3:4+default", "got 'default' in 'varied:20-60:3:4"),
        ("varied:20-60:3:4+", "got '' in"),
        ("varied:10:1+varied:11:1", "got 'varied:10:1' in"),
        ("synthetic:20-30:1:100000+varied:20-30:1:100000", "names 200,000 cities; at most 100,000"),
        ("varied:10-11:1:2+varied:10-11:1:2", "names a city twice; give its parts different seeds"),
    ],
)
def test_many_cities__that_cannot_be_joined_say_which_and_why(name: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        many_cities(name)


@pytest.mark.parametrize("name", ["synthetic:2-9:0:1", "synthetic:9-5:0:1", "synthetic:5-201:0:1", "synthetic:5-9:0:0"])
def test_many_cities__what_cannot_be_made_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="needs 3 <= LOW <= HIGH <= 200 and COUNT >= 1; got"):
        many_cities(name)


def test_many_cities__are_for_training_only() -> None:
    for make in (
        lambda: gym.make("Restoration-v0", city=MANY),
        lambda: gym.make_vec("Restoration-v0", 2, vectorization_mode="vector_entry_point", city=MANY),
        lambda: resolve_city(MANY),
    ):
        with pytest.raises(ValueError, match=r"names many cities \(3\); for training only. Name one, e.g. 'synthetic:"):
            make()
