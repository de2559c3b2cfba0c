"""Episodes under way as plain data: taken up elsewhere, they and all that follows are equal to the bit."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.registry import DOMAINS
from stormgym.envs.adapters.sb3 import StormVecEnv, make_vec_env
from stormgym.envs.adapters.sb3_mixed import make_mixed_vec_env
from stormgym.envs.core import Core
from stormgym.envs.replay import EpisodeLog, generator_of

IDS = sorted(i for i, s in gym.registry.items() if str(s.entry_point).startswith("stormgym.") and s.vector_entry_point)
B = 6
MODES = [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED]
HARDER: list[tuple[str, dict[str, Any]]] = [
    ("Restoration-v0", {"shock": "group", "cost_limit": (2.0, 20.0), "reward": "terminal", "cost": "terminal"}),
    ("Restoration-v0", {"on_invalid": "raise"}),
    ("Undergrounding-v0", {"storm": "adversarial"}),
    ("CrewDispatch-v0", {"shock": "group", "cost_limit": (1.0, 4.0), "assessed_share": 0.3, "n_assessors": 1}),
    ("GeneratorDispatch-v0", {"action": "blocks"}),
]


def made(env_id: str, mode: AutoresetMode, changes: dict[str, Any]) -> Any:
    kwargs = {**(DOMAINS[env_id].small if env_id in DOMAINS else {}), **changes}
    env: Any = gym.make_vec(env_id, B, vectorization_mode="vector_entry_point", autoreset_mode=mode, **kwargs)
    env.unwrapped.keep_log()
    return env.unwrapped


def actions_of(env: Any, rng: np.random.Generator, valid: bool) -> Any:
    space = env.single_action_space
    if isinstance(space, gym.spaces.Discrete) and valid:
        masks = env.action_masks()
        return (rng.random(masks.shape) * masks).argmax(axis=1)
    return env.action_space.sample()


def assert_same(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, np.ndarray) and a.dtype == object:
        assert [x is None for x in a] == [x is None for x in b]
        for x, y in zip(a, b, strict=True):
            if x is not None:
                assert_same(x, y)
    else:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    ("env_id", "changes"),
    [*((i, {}) for i in IDS), *HARDER],
    ids=[*IDS, "restoration-hard", "raises", "adversarial", "crews-hard", "blocks"],
)
def test_state__taken_up_elsewhere_is_equal_to_the_bit_and_so_is_all_that_follows(
    env_id: str, changes: dict[str, Any], mode: AutoresetMode
) -> None:
    env, other = made(env_id, mode, changes), made(env_id, mode, changes)
    rng = np.random.default_rng(0)
    env.action_space.seed(0)
    valid = changes.get("on_invalid") == "raise"

    def step(envs: list[Any]) -> list[Any]:
        if mode is AutoresetMode.DISABLED and env._any_ended:
            return [each.reset(options={"reset_mask": each._ended.copy()}) for each in envs]
        chosen = actions_of(env, rng, valid)
        return [each.step(chosen) for each in envs]

    env.reset(seed=7)
    for k in range(23):
        step([env])
        if k % 5 == 2:  # rows that began at different times, in every environment
            env.reset(options={"reset_mask": rng.random(B) < 0.4} if rng.random() < 0.9 else None)
    state = env.state_dict()
    plain = {**state, **{k: v.tolist() for k, v in state.items() if isinstance(v, np.ndarray)}}
    assert json.loads(json.dumps(plain)) == plain  # nothing but numbers and words
    assert_same(env._observe(), other.load_state_dict(state))
    assert_same(other.state_dict(), state)
    for _ in range(30):
        for one, two in zip(*step([env, other]), strict=True):
            assert_same(one, two)
        assert_same(env.action_masks(), other.action_masks())


def test_log__is_no_longer_than_the_longest_episode_under_way() -> None:
    log = EpisodeLog(2)
    rngs = [np.random.default_rng(i) for i in range(2)]
    core = Core()
    log.begin(core, np.arange(2), rngs)
    for t in range(10):
        log.add(np.full(2, t))
        if t in (3, 6):
            log.begin(core, np.array([t % 2]), rngs[t % 2 : t % 2 + 1])
    state = log.state_dict()
    assert state is not None
    np.testing.assert_array_equal(state["lengths"], [3, 6])
    np.testing.assert_array_equal(state["actions"][:, 0], np.arange(4, 10))


def test_state__of_a_reset_with_options_or_without_a_log_is_not_told() -> None:
    env = made("Restoration-v0", AutoresetMode.SAME_STEP, {})
    assert env.state_dict() is None
    env.reset(seed=0, options={"cost_limit": None})
    assert env.state_dict() is not None
    env.reset(seed=0, options={"cost_limit": 3.0})
    assert env.state_dict() is None
    env.reset(options={"reset_mask": np.arange(B) < 2})
    assert env.state_dict() is None  # other rows are still those of before
    env.reset()
    assert env.state_dict() is not None


@pytest.mark.parametrize(
    "change",
    [
        {"lengths": np.full(B, 10**6)},
        {"lengths": np.full(B, -1)},
        {"lengths": np.zeros(B)},
        {"actions": np.zeros((3, B + 1), dtype=np.int64)},
        {"actions": np.full((3, B), 10**6), "lengths": np.full(B, 3)},
        {"generators": []},
        {"generators": [[{"bit_generator": "MT19937"}]] * B},
        {"generators": [[{"bit_generator": "PCG64", "state": {"state": -1, "inc": 2**200}}]] * B},
        {"ended": np.zeros(B + 1, dtype=bool)},
        {"episode_cost": np.zeros(B, dtype=np.int64)},
    ],
    ids=str,
)
def test_state__that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    env = made("Restoration-v0", AutoresetMode.SAME_STEP, {})
    env.reset(seed=0)
    env.step(np.zeros(B, dtype=np.int64))
    with pytest.raises((LookupError, TypeError, ValueError, OverflowError)):
        env.load_state_dict({**env.state_dict(), **change})


def test_vec_env__takes_up_its_sums_too() -> None:
    make: Any = [
        lambda seed: make_vec_env("Restoration-v0", B, seed=seed, city="synthetic:6:1", predictor="none"),
        lambda seed: make_mixed_vec_env(
            "Restoration-v0", B, ("synthetic:5:1", "synthetic:9:2"), seed=seed, predictor="none"
        ),
    ]
    for maker in make:
        venv, other = maker(3), maker(4)
        venv.reset()
        rng = np.random.default_rng(1)
        for _ in range(8):
            masks = venv.action_masks()
            observation, *_ = venv.step((rng.random(masks.shape) * masks).argmax(axis=1))
        assert_same(observation, other.load_state_dict(venv.state_dict()))
        for _ in range(20):
            masks = venv.action_masks()
            chosen = (rng.random(masks.shape) * masks).argmax(axis=1)
            one, two = venv.step(chosen), other.step(chosen)
            for info in (*one[3], *two[3]):
                info.get("episode", {}).pop("t", None)  # a clock
            for a, b in zip(one[:3], two[:3], strict=True):
                assert_same(a, b)
            for p, q in zip(one[3], two[3], strict=True):
                assert_same(p, q)


def test_vec_env__of_environments_without_a_core_tells_nothing() -> None:
    env: Any = gym.make_vec(
        "Restoration-v0",
        2,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        city="synthetic:6:1",
        predictor="none",
    )
    venv = StormVecEnv(env)
    venv.reset()
    assert venv.state_dict() is None
    with pytest.raises(ValueError, match="without a core"):
        venv.load_state_dict({})


def test_generator__is_of_one_kind() -> None:
    rng = np.random.default_rng(3)
    rng.random(5)
    assert generator_of(rng.bit_generator.state).random() == rng.random()
    with pytest.raises(ValueError, match="of the kind PCG64; got 'Philox'"):
        generator_of(np.random.Philox(0).state)
