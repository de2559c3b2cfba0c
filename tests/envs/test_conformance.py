"""What every environment of the suite keeps, whichever door it is entered by.

Parametrised over all registered ids, doors (single, SyncVectorEnv, AsyncVectorEnv, native VectorEnv) and autoreset
modes. An environment that joins the suite adds its small arguments to SMALL and is held to all of it.
"""

import copy
import importlib
import inspect
import json
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator, registry
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.vector import AutoresetMode, VectorEnv

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.doors import MOST_ENVS
from stormgym.envs.wrappers import VectorEpisodeCost

IDS = sorted(
    name
    for name, spec in registry.items()
    if str(spec.entry_point).startswith("stormgym.") and "side" not in spec.kwargs  # sides of a game: test_side.py
)
VECTOR_IDS = [name for name in IDS if registry[name].vector_entry_point]
SMALL: dict[str, dict[str, Any]] = {
    "Restoration-v0": {"city": "synthetic:12:1"},
    "CrewDispatch-v0": {"city": "synthetic:8:1", "n_crews": 2},
    "GeneratorDispatch-v0": {"profile": "B"},
    "Undergrounding-v0": {"profile": "synthetic:16:1", "budget": 4_000.0},
    "NetworkSecurity-v0": {"n_nodes": 10, "radius": 0.5},
    "Portfolio-v0": {"n_assets": 6, "n_train": 12, "n_test": 12},
    "FractionalKnapsack-v0": {"n_items": 6, "n_train": 12, "n_test": 12},
    "ShortestPath-v0": {"grid": 3, "n_train": 12, "n_test": 12},
    "EnergyScheduling-v0": {"n_days": 60},
}
DOORS = ("sync", "async", "native")
MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
BATCH = 3
FURTHER_SCALARS = {"CrewDispatch-v0": ("asked",)}
"""What infos hold beside costs, limit and mask."""
LEVELS = 11
"""Choices of each part of a continuous action, in tests that choose."""


def takes(env_id: str, name: str) -> bool:
    """Whether an environment has an argument of this name."""
    return name in inspect.signature(load_env_creator(str(registry[env_id].entry_point))).parameters


PAYING_IDS = [name for name in IDS if takes(name, "reward") and takes(name, "cost")]
"""Environments that say when they pay; decisions of one step have no two ways."""
PAYMENTS = [
    pytest.param(name, payment, id="-".join([name, *payment.values()]))
    for name in IDS
    for payment in ([{"cost": "dense"}, {"cost": "terminal"}] if name in PAYING_IDS else [{}])
]

each_id = pytest.mark.parametrize("env_id", IDS)
each_paying_id = pytest.mark.parametrize("env_id", PAYING_IDS)
each_payment = pytest.mark.parametrize(("env_id", "payment"), PAYMENTS)
each_vector_id = pytest.mark.parametrize("env_id", VECTOR_IDS)
each_mode = pytest.mark.parametrize("mode", MODES, ids=[m.value for m in MODES])


def make(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """The small form of an environment, without wrappers."""
    return gym.make(env_id, **{**SMALL.get(env_id, {}), **kwargs}).unwrapped


def make_vec(env_id: str, door: str, mode: AutoresetMode, n: int = BATCH, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    """The small form of B environments by one of the doors."""
    arguments = {**SMALL.get(env_id, {}), **kwargs}
    if door == "native":
        return gym.make_vec(env_id, n, vectorization_mode="vector_entry_point", autoreset_mode=mode, **arguments)
    return gym.make_vec(env_id, n, vectorization_mode=door, vector_kwargs={"autoreset_mode": mode}, **arguments)


def single_space(env: Any) -> gym.Space[Any]:
    """The action space of one environment, of a single or a vector one."""
    return getattr(env, "single_action_space", env.action_space)


def each_choice(env: Any, mask: np.ndarray, choose: Callable[[np.ndarray], int]) -> Any:
    """An action made by choosing among the open choices of a mask `[A]`, one by one where the action has parts.

    Each part of a continuous action is one of `LEVELS` numbers between its bounds.
    """
    if mask.ndim == 2:
        return np.array([each_choice(env, row, choose) for row in mask])
    space = single_space(env)
    if isinstance(space, spaces.Discrete):
        return int(choose(np.flatnonzero(mask)))
    if isinstance(space, spaces.Box):
        assert mask.all()
        share = np.array([choose(np.arange(LEVELS)) for _ in mask]) / (LEVELS - 1)
        return within(space, share)
    parts = np.split(mask, np.cumsum(space.nvec)[:-1])
    return np.array([choose(np.flatnonzero(part)) for part in parts])


def some_open(env: Any, mask: np.ndarray, rng: np.random.Generator) -> Any:
    """A random allowed action; for masks `[B, A]` one each."""
    return each_choice(env, mask, rng.choice)


def within(space: spaces.Box, share: np.ndarray) -> np.ndarray:
    """Continuous actions `[..., n]` at shares of the way from their lower to their upper bounds."""
    return (space.low + share * (space.high.astype(np.float64) - space.low)).astype(space.dtype)


def any_action(env: Any, rng: np.random.Generator, batch: int | None = None) -> Any:
    """A random action, allowed or not; with `batch`, one for each of B environments."""
    space = single_space(env)
    if isinstance(space, spaces.Box):  # a fifth of the range beyond the bounds, too
        return within(space, rng.uniform(-0.2, 1.2, space.shape if batch is None else (batch, *space.shape)))
    if isinstance(space, spaces.Discrete):
        return int(rng.integers(space.n)) if batch is None else rng.integers(space.n, size=batch)
    return rng.integers(space.nvec, size=None if batch is None else (batch, len(space.nvec)))


def first_choice(env: Any) -> np.ndarray:
    """Choice 0 in every part of every environment's action, or its lower bound."""
    if isinstance(single_space(env), spaces.Box):
        return env.action_space.low.copy()
    return np.zeros(env.action_space.shape, dtype=np.int64)


def play(env: gym.Env[Any, Any], seed: int | None, rng: np.random.Generator, masked: bool = True) -> list[Any]:
    """One episode: the reset and every step, from first to last."""
    obs, info = env.reset(seed=seed)
    history: list[Any] = [(obs, info)]
    ended = False
    while not ended:
        action = some_open(env, obs["action_mask"], rng) if masked else any_action(env, rng)
        step = env.step(action)
        obs, ended = step[0], step[2] or step[3]
        history.append(step)
    return history


@cache
def length_of(env_id: str) -> int:
    """Steps of an episode of the small form."""
    return len(play(make(env_id), 0, np.random.default_rng(0))) - 1


def n_steps(env_id: str, usual: int) -> int:
    """Steps of a test that wants several episodes; where each step is one, six of them."""
    return min(usual, 6) if length_of(env_id) == 1 else usual


def is_limited(env_id: str) -> bool:
    """Whether an environment's costs have a limit; the costs of the others are zero."""
    return hasattr(make(env_id), "cost_limit")


def assert_same(a: Any, b: Any, path: str = "", rtol: float = 0.0) -> None:
    """Equal in structure, type of scalars, dtype and value (bit for bit unless `rtol`)."""
    if isinstance(a, dict):
        assert isinstance(b, dict), path
        assert set(a) == set(b), f"{path}: {sorted(set(a) ^ set(b))}"
        for key in a:
            assert_same(a[key], b[key], f"{path}/{key}", rtol)
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}/{i}", rtol)
    elif isinstance(a, np.ndarray) and a.dtype == object:
        assert a.shape == b.shape, path
        for i, (x, y) in enumerate(zip(a.ravel(), b.ravel(), strict=True)):
            assert_same(x, y, f"{path}[{i}]", rtol)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, f"{path}: {a.dtype} against {b.dtype}"
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol, err_msg=path)
    elif a is None or isinstance(a, str | bool):
        assert a == b, path
    else:
        assert type(a) is type(b), f"{path}: {type(a)} against {type(b)}"
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol, err_msg=path)


def arrays_of(tree: Any) -> Iterator[np.ndarray]:
    """Every array of a nested observation or info."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from arrays_of(value)
    elif isinstance(tree, np.ndarray):
        yield tree


# ------------------------------------------------------------------------------------------------- registration


@each_id
def test_registration__makes_without_arguments_and_takes_render_mode(env_id):
    assert gym.make(env_id).spec.id == env_id
    for render_mode in (None, *gym.make(env_id).metadata["render_modes"]):
        assert gym.make(env_id, render_mode=render_mode).render_mode == render_mode


@each_id
def test_registration__kwargs_are_json_and_no_time_limit_is_wrapped_around(env_id):
    spec = gym.spec(env_id)
    assert json.loads(json.dumps(spec.kwargs)) == spec.kwargs
    assert spec.max_episode_steps is None


@each_id
def test_registration__module_prefix_registers_by_itself(env_id):
    assert gym.make(f"stormgym:{env_id}", **SMALL.get(env_id, {})).spec.id == env_id


@each_id
def test_spec__json_round_trip_makes_the_same_environment(env_id):
    env = gym.make(env_id, **SMALL.get(env_id, {}))
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec.kwargs == env.spec.kwargs
    assert_same(list(env.reset(seed=5)), list(again.reset(seed=5)))


@each_id
def test_spec__survives_pickle(env_id):
    spec = gym.make(env_id, **SMALL.get(env_id, {})).spec
    assert_same(list(gym.make(pickle.loads(pickle.dumps(spec))).reset(seed=5)), list(gym.make(spec).reset(seed=5)))


@each_id
def test_arguments__an_unknown_one_is_a_type_error(env_id):
    with pytest.raises(TypeError, match="no_such_argument"):
        gym.make(env_id, no_such_argument=1)


# ------------------------------------------------------------------------------------------------ public checkers


def ignore_advice(env: Any) -> None:
    """Keep silent on what checkers advise against and environments of one decision do on purpose.

    Actions are in the environment's own units, by which learners scale them (`usual_action`), and what is known before
    keeps its shape, which `CaseFeatures` and the extractors of Stable-Baselines3 flatten.
    """
    if isinstance(env.action_space, spaces.Box):
        for advice in (
            r"We recommend you to use a symmetric and normalized Box action space",
            r".*For Box action spaces, we recommend using a symmetric and normalized space",
            r"Your observation \w+ has an unconventional shape",
        ):
            warnings.filterwarnings("ignore", advice)


@each_payment
def test_check_env__gymnasium_finds_nothing_to_warn_about(env_id, payment):
    env = make(env_id, **payment)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ignore_advice(env)
        gymnasium_check_env(env)


@each_id
def test_check_env__stable_baselines3_finds_nothing_to_warn_about(env_id):
    from stable_baselines3.common.env_checker import check_env

    env = make(env_id)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ignore_advice(env)
        check_env(env)


@each_id
def test_mask__sb3_contrib_finds_the_method_through_wrappers(env_id):
    from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
    from stable_baselines3.common.vec_env import DummyVecEnv

    venv = DummyVecEnv([lambda: gym.make(env_id, **SMALL.get(env_id, {}))])
    venv.reset()
    assert is_masking_supported(venv)
    n_choices = len(make(env_id).action_masks())
    assert get_action_masks(venv).shape == (1, n_choices)


# --------------------------------------------------------------------------------------- observations and infos


@each_id
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
def test_episode__every_observation_is_in_the_space_and_ends_by_itself(env_id, masked):
    env = make(env_id)
    history = play(env, 0, np.random.default_rng(0), masked)
    assert all(env.observation_space.contains(step[0]) for step in history)
    assert history[-1][2] or not env.settles_when_truncated  # nothing is left to come, so nothing to bootstrap
    assert all(not (step[2] or step[3]) for step in history[1:-1])


@each_id
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
def test_info__same_keys_throughout_float64_and_no_nan(env_id, masked):
    history = play(make(env_id), 0, np.random.default_rng(1), masked)
    infos = [history[0][1], *(step[4] for step in history[1:])]
    scalars = ("cost", "episode_cost", "cost_limit") if is_limited(env_id) else ("cost", "episode_cost")
    scalars = (*scalars, *FURTHER_SCALARS.get(env_id, ()))
    for info in infos[:-1]:
        assert set(info) == {*scalars, "action_mask"}
    assert set(infos[-1]) == {*scalars, "action_mask", "metrics"}
    assert infos[0]["cost"] == 0.0
    # a metric of this name would be another number than the sum that the limit bounds
    assert not (is_limited(env_id) and "cost" in infos[-1]["metrics"])
    for info in infos:
        assert {type(info[name]) for name in scalars} == {np.float64}  # floats with a dtype, which some readers want
        assert info["action_mask"].dtype == np.int8
    for value in (*(info["cost"] for info in infos), *infos[-1]["metrics"].values()):
        assert isinstance(value, float)
        assert np.isfinite(value)
    assert {type(value) for value in infos[-1]["metrics"].values()} == {float}
    np.testing.assert_array_equal([i["episode_cost"] for i in infos], np.cumsum([i["cost"] for i in infos]))
    for step in history[1:]:
        assert type(step[1]) is float
        assert (type(step[2]), type(step[3])) == (bool, bool)


@each_id
def test_mask__three_forms_agree_at_every_step_and_are_all_ones_at_the_end(env_id):
    env, rng = make(env_id), np.random.default_rng(2)
    obs, info = env.reset(seed=0)
    ended = False
    while True:
        assert env.action_masks().dtype == np.bool_
        np.testing.assert_array_equal(obs["action_mask"], info["action_mask"])
        np.testing.assert_array_equal(obs["action_mask"].astype(bool), env.action_masks())
        if ended:
            break
        obs, _, terminated, truncated, info = env.step(some_open(env, obs["action_mask"], rng))
        ended = terminated or truncated
    assert obs["action_mask"].all()


@each_vector_id
@each_mode
def test_mask__three_forms_agree_in_vector_form(env_id, mode):
    env, rng = make_vec(env_id, "native", mode), np.random.default_rng(2)
    obs, infos = env.reset(seed=0)
    for _ in range(n_steps(env_id, 30)):
        np.testing.assert_array_equal(obs["action_mask"], infos["action_mask"])
        np.testing.assert_array_equal(obs["action_mask"].astype(bool), env.action_masks())
        obs, _, _, _, infos = env.step(some_open(env, obs["action_mask"], rng))
        for final in infos.get("final_obs", []):
            assert final is None or final["action_mask"].all()


@each_id
def test_episode__observations_and_infos_are_never_reused_objects(env_id):
    env = make(env_id)
    history = [*play(env, 0, np.random.default_rng(3)), *play(env, 1, np.random.default_rng(3))]
    handed_out = [array for step in history for array in (*arrays_of(step[0]), *arrays_of(step[-1]))]
    before = [array.copy() for array in handed_out]
    play(env, 2, np.random.default_rng(4))
    for array, kept in zip(handed_out, before, strict=True):
        np.testing.assert_array_equal(array, kept)
    for i, a in enumerate(handed_out[:40]):
        assert not any(np.shares_memory(a, b) for b in handed_out[i + 1 : i + 12])


@each_vector_id
@each_mode
def test_vector__what_is_handed_out_never_changes_and_writing_into_it_changes_nothing(env_id, mode):
    env, untouched = make_vec(env_id, "native", mode), make_vec(env_id, "native", mode)
    obs, infos = env.reset(seed=0)
    same, _ = untouched.reset(seed=0)
    rng = np.random.default_rng(5)
    for _ in range(n_steps(env_id, 40)):
        actions = some_open(env, same["action_mask"], rng)
        old, copied = (obs, infos), copy.deepcopy((obs, infos))
        step = env.step(actions)
        assert_same(list(old), list(copied))
        other = untouched.step(actions)
        assert_same(list(step), list(other))
        obs, infos, same = step[0], step[4], other[0]
        for array in (*arrays_of(obs), step[1], step[2], step[3]):
            array[...] = 1
        obs = copy.deepcopy(same)


@each_vector_id
def test_usual_action__is_shown_by_both_doors_where_actions_are_continuous(env_id):
    for env in (make(env_id), make_vec(env_id, "native", AutoresetMode.NEXT_STEP)):
        space = single_space(env)
        assert hasattr(env, "usual_action") == isinstance(space, spaces.Box)
        if isinstance(space, spaces.Box):
            centre, spread = env.usual_action
            assert centre.shape == spread.shape == space.shape
            assert (space.low <= centre).all()
            assert (centre <= space.high).all()
            assert (spread > 0).all()


@each_id
def test_step__before_reset_and_after_the_end_is_an_error(env_id):
    env = make(env_id)
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.step(0)
    play(env, 0, np.random.default_rng(0))
    with pytest.raises(gym.error.ResetNeeded, match="has ended; call reset"):
        env.step(0)


# ------------------------------------------------------------------------------------------------- determinism


@each_id
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
def test_seed__same_seed_and_actions_give_the_same_episodes_bit_for_bit(env_id, masked):
    first, second = make(env_id), make(env_id)
    for seed in (7, None):  # the second episode goes on with the generator of the first
        a = play(first, seed, np.random.default_rng(1), masked)
        b = play(second, seed, np.random.default_rng(1), masked)
        assert_same(a, b)


@each_id
def test_seed__another_seed_gives_another_episode_and_global_state_is_untouched(env_id):
    env = make(env_id)
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    a, b = (play(env, seed, np.random.default_rng(1))[-1][4]["metrics"] for seed in (1, 2))
    assert a != b
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@each_vector_id
@each_mode
def test_seed__native_vector_repeats_itself_across_autoresets(env_id, mode):
    envs = [make_vec(env_id, "native", mode) for _ in range(2)]
    results = [list(env.reset(seed=3)) for env in envs]
    assert_same(results[0], results[1])
    rng = np.random.default_rng(0)
    for _ in range(n_steps(env_id, 45)):
        actions = some_open(envs[0], results[0][0]["action_mask"], rng)
        results = [list(env.step(actions)) for env in envs]
        assert_same(results[0], results[1])


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}
each_copy = pytest.mark.parametrize("how", COPIES)


def go_on(env: gym.Env[Any, Any], obs: Any, seed: int) -> list[Any]:
    """Play the running episode to its end, and one more whose seed is not given."""
    rng, history, ended = np.random.default_rng(seed), [], False
    while not ended:
        step = env.step(some_open(env, obs["action_mask"], rng))
        obs, ended = step[0], step[2] or step[3]
        history.append(step)
    return history + play(env, None, rng)


@each_id
@each_copy
def test_copy__in_mid_episode_goes_on_identically_and_apart_from_the_original(env_id, how):
    env, twin, rng = make(env_id), make(env_id), np.random.default_rng(6)
    obs, _ = env.reset(seed=11)
    twin.reset(seed=11)
    for _ in range(min(4, length_of(env_id) - 1)):  # the running episode is not over
        action = some_open(env, obs["action_mask"], rng)
        obs = env.step(action)[0]
        twin.step(action)
    copied = COPIES[how](env)
    copied_history = go_on(copied, obs, 8)
    assert_same(go_on(env, obs, 8), copied_history)  # the original did not move while its copy played
    assert_same(go_on(twin, obs, 8), copied_history)


@each_vector_id
@each_mode
@each_copy
def test_copy__of_the_native_vector_in_mid_episode_goes_on_identically(env_id, mode, how):
    env, rng = make_vec(env_id, "native", mode), np.random.default_rng(6)
    obs, _ = env.reset(seed=11)
    for _ in range(4):
        obs = env.step(some_open(env, obs["action_mask"], rng))[0]
    copied = COPIES[how](env)
    rows = []
    for which in (copied, env):
        rng, row, now = np.random.default_rng(8), [], obs
        for _ in range(n_steps(env_id, 30)):
            step = which.step(some_open(which, now["action_mask"], rng))
            row.append(step)
            now = step[0]
        rows.append(row)
    assert_same(rows[0], rows[1])


# ----------------------------------------------------------------------------------------------- vector doors


@each_vector_id
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=[m.value for m in AutoresetMode])
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
def test_native_vector__is_sync_vector_in_every_return_value(env_id, mode, masked):
    sync, native = (make_vec(env_id, door, mode) for door in ("sync", "native"))
    seeds = [4, 9, 1]
    obs, infos = sync.reset(seed=seeds)
    assert_same([obs, infos], list(native.reset(seed=seeds)))
    rng = np.random.default_rng(7)
    n_ended = 0
    for _ in range(n_steps(env_id, 45 if masked else 130)):
        masks = obs["action_mask"]
        actions = some_open(native, masks, rng) if masked else any_action(native, rng, BATCH)
        a, b = sync.step(actions), native.step(actions)
        assert_same(list(a[:4]), list(b[:4]))
        assert_same(a[4], b[4], rtol=1e-11)  # sums over customers may differ in the last bit
        obs, ended = a[0], a[2] | a[3]
        n_ended += int(ended.sum())
        if mode == AutoresetMode.DISABLED and ended.any():
            a = sync.reset(options={"reset_mask": ended.copy()})
            assert_same(list(a), list(native.reset(options={"reset_mask": ended.copy()})))
            obs = a[0]
    assert n_ended >= 2 * BATCH


@each_vector_id
def test_native_vector__rows_are_the_single_environments_of_their_seeds(env_id):
    native = make_vec(env_id, "native", AutoresetMode.SAME_STEP)
    singles = [make(env_id) for _ in range(BATCH)]
    obs, _ = native.reset(seed=20)
    own = [env.reset(seed=20 + i)[0] for i, env in enumerate(singles)]
    rng = np.random.default_rng(0)
    for _ in range(n_steps(env_id, 40)):
        for i in range(BATCH):
            assert_same({k: v[i] for k, v in obs.items()}, own[i])
        actions = some_open(native, obs["action_mask"], rng)
        obs, reward, terminated, truncated, infos = native.step(actions)
        for i, env in enumerate(singles):
            own[i], r, over, late, info = env.step(actions[i])
            assert (over, late) == (terminated[i], truncated[i])
            assert r == reward[i]
            if over or late:
                assert_same(infos["final_obs"][i], own[i])
                assert infos["final_info"]["cost"][i] == info["cost"]
                for name, value in info["metrics"].items():
                    assert infos["final_info"]["metrics"][name][i] == pytest.approx(value, rel=1e-11, abs=1e-11)
                own[i] = env.reset()[0]
            else:
                assert infos["cost"][i] == info["cost"]


@each_vector_id
@each_mode
def test_native_vector__says_its_autoreset_mode_in_both_places(env_id, mode):
    for given in (mode, mode.value):
        env = make_vec(env_id, "native", given)
        assert env.autoreset_mode == env.metadata["autoreset_mode"] == mode
    module, _, name = str(gym.spec(env_id).vector_entry_point).partition(":")
    assert "autoreset_mode" not in getattr(importlib.import_module(module), name).metadata  # the class stays clean


@each_vector_id
@each_mode
def test_native_vector__spaces_are_those_of_sync(env_id, mode):
    sync, native = (make_vec(env_id, door, mode) for door in ("sync", "native"))
    for name in ("single_observation_space", "observation_space", "single_action_space", "action_space"):
        assert getattr(sync, name) == getattr(native, name), name
    obs, _ = native.reset(seed=0)
    assert native.observation_space.contains({k: np.ascontiguousarray(v) for k, v in obs.items()})


@each_vector_id
def test_native_vector__disabled_mode_refuses_to_step_an_ended_environment(env_id):
    env, rng = make_vec(env_id, "native", AutoresetMode.DISABLED), np.random.default_rng(0)
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\)"):
        env.step(first_choice(env))
    with pytest.raises(gym.error.ResetNeeded, match="first reset must be of all"):
        env.reset(options={"reset_mask": np.array([True, False, False])})
    obs, _ = env.reset(seed=0)
    ended = np.zeros(BATCH, dtype=bool)
    while not ended.any():
        obs, _, terminated, truncated, _ = env.step(some_open(env, obs["action_mask"], rng))
        ended = terminated | truncated
    names = re.escape(str(np.flatnonzero(ended).tolist()))
    with pytest.raises(gym.error.ResetNeeded, match=f"environments {names} have ended; reset them"):
        env.step(first_choice(env))


@each_vector_id
def test_native_vector__bad_arguments_are_errors(env_id):
    with pytest.raises(ValueError, match="num_envs must be at least 1; got 0"):
        make_vec(env_id, "native", AutoresetMode.NEXT_STEP, n=0)
    env = make_vec(env_id, "native", AutoresetMode.NEXT_STEP)
    with pytest.raises(ValueError, match="seed must be an int or 3 values; got 2"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match=r"unknown reset options \['no_such'\]"):
        env.reset(options={"no_such": 1})
    with pytest.raises(ValueError, match=r"options\['reset_mask'\] must be 3 booleans with at least one True"):
        env.reset(options={"reset_mask": np.zeros(BATCH, dtype=bool)})
    env.reset(seed=0)
    continuous = isinstance(single_space(env), spaces.Box)
    words = r"numbers of shape" if continuous else r".*integers.* shape"
    texts = np.full(env.action_space.shape, "much")
    for bad in (np.zeros(2, dtype=np.int64), np.zeros(BATCH), [[0], [1], [2]], texts):
        with pytest.raises(TypeError, match=rf"actions must be {words} \(3,.*\); got shape"):
            env.step(bad)
    for bad in (np.nan, np.inf) if continuous else (-1, 10_000):
        actions = first_choice(env)
        actions.ravel()[-1] = bad
        with pytest.raises(ValueError, match=rf"got .*{bad}"):
            env.step(actions)


# ------------------------------------------------------------------------------------------------------- costs


def pick(env: Any, mask: np.ndarray, i: int) -> Any:
    """The action of a fixed rule that looks at the mask and the environment's number only."""
    return each_choice(env, mask, lambda allowed: int(allowed[(7 * i + 5) % allowed.size]))


def costs_of_single_episodes(env_id: str, payment: dict[str, str], n_episodes: int) -> np.ndarray:
    """Costs `[B, n_episodes]` of the first episodes of each environment, added up by hand, checked against metrics."""
    found = np.zeros((BATCH, n_episodes))
    for i in range(BATCH):
        env = make(env_id, **payment)
        for k in range(n_episodes):
            obs, info = env.reset(seed=30 + i if k == 0 else None)
            costs, ended = [info["cost"]], False
            while not ended:
                obs, _, terminated, truncated, info = env.step(pick(env, obs["action_mask"], i))
                costs.append(info["cost"])
                ended = terminated or truncated
            found[i, k] = sum(costs)
            if payment.get("cost") == "terminal":
                assert not any(costs[:-1])
    return found


def costs_of_vector_episodes(env: VectorEnv[Any, Any, Any], n_episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Costs and returns `[B, n_episodes]` of the first episodes of each row, as `VectorEpisodeCost` reads them."""
    env = VectorEpisodeCost(env)
    obs, _ = env.reset(seed=30)
    costs: list[list[float]] = [[] for _ in range(BATCH)]
    returns: list[list[float]] = [[] for _ in range(BATCH)]
    while min(map(len, costs)) < n_episodes:
        actions = np.array([pick(env, obs["action_mask"][i], i) for i in range(BATCH)])
        obs, _, _, _, infos = env.step(actions)
        for i in np.flatnonzero(infos["_episode_cost"]):
            costs[i].append(infos["episode_cost"][i])
            returns[i].append(infos["episode_return"][i])
    env.close()
    return np.array([c[:n_episodes] for c in costs]), np.array([r[:n_episodes] for r in returns])


@each_payment
def test_cost__is_equal_over_single_sync_async_and_native_in_both_modes(env_id, payment):
    expected = costs_of_single_episodes(env_id, payment, 3)
    assert (expected > 0).all() if is_limited(env_id) else (expected == 0).all()
    doors = DOORS if env_id in VECTOR_IDS else DOORS[:-1]
    for mode in MODES:
        for door in doors:
            costs, _ = costs_of_vector_episodes(make_vec(env_id, door, mode, **payment), 3)
            np.testing.assert_allclose(costs, expected, rtol=1e-12, atol=1e-12, err_msg=f"{door} {mode}")


@each_vector_id
@each_mode
def test_return__is_equal_over_single_and_native(env_id, mode):
    _, returns = costs_of_vector_episodes(make_vec(env_id, "native", mode), 2)
    for i in range(BATCH):
        env = make(env_id)
        for k in range(2):
            obs, _ = env.reset(seed=30 + i if k == 0 else None)
            total, ended = 0.0, False
            while not ended:
                obs, reward, terminated, truncated, _ = env.step(pick(env, obs["action_mask"], i))
                total, ended = total + reward, terminated or truncated
            assert returns[i, k] == pytest.approx(total, rel=1e-11, abs=1e-11)


@each_paying_id
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
def test_dense__has_the_totals_of_terminal(env_id, masked):
    totals = {}
    for reward in ("dense", "terminal"):
        for cost in ("dense", "terminal"):
            history = play(make(env_id, reward=reward, cost=cost), 3, np.random.default_rng(2), masked)[1:]
            totals[reward, cost] = [sum(s[1] for s in history), sum(s[4]["cost"] for s in history)]
            if reward == "terminal":
                assert not any(s[1] for s in history[:-1])
            if cost == "terminal":
                assert not any(s[4]["cost"] for s in history[:-1])
    for total in totals.values():
        np.testing.assert_allclose(total, totals["dense", "dense"], rtol=1e-12)


# ---------------------------------------------------------------------------------------------------- pictures


@each_id
def test_render__without_mode_warns_and_returns_none(env_id):
    env = make(env_id)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="without a render_mode"):
        assert env.render() is None


@each_id
def test_render__frames_are_repeatable_and_leave_the_episode_alone(env_id):
    for mode in gym.spec(env_id).make(**SMALL.get(env_id, {})).metadata["render_modes"]:
        env, twin = make(env_id, render_mode=mode), make(env_id)
        with pytest.raises(gym.error.ResetNeeded, match="before reset"):
            env.render()
        (obs, _), _ = env.reset(seed=2), twin.reset(seed=2)
        first = env.render()
        for _ in range(min(3, length_of(env_id))):
            action = some_open(env, obs["action_mask"], np.random.default_rng(0))
            step = env.step(action)
            assert_same(list(step), list(twin.step(action)))
            obs = step[0]
            frame, again = env.render(), env.render()
            np.testing.assert_array_equal(frame, again)
        assert not np.array_equal(first, frame)


@each_vector_id
def test_render__native_vector_gives_a_frame_for_each_environment(env_id):
    env = make_vec(env_id, "native", AutoresetMode.NEXT_STEP, render_mode="ansi")
    with pytest.raises(gym.error.ResetNeeded, match="before reset"):
        env.render()
    env.reset(seed=1)
    frames = env.render()
    assert len(frames) == BATCH
    single = make(env_id, render_mode="ansi")
    single.reset(seed=2)
    assert frames[1] == single.render()


@each_id
def test_reset__options_of_a_wrong_kind_are_errors_that_name_them(env_id):
    env = make(env_id)
    for bad in (5, "jobs", [("jobs", 1)], {1: 2}):
        with pytest.raises(TypeError, match=r"reset options must be a dict by name, or None; got"):
            env.reset(options=bad)
    with pytest.raises(
        ValueError, match=r"options\['jobs'\] must be a dict of arrays|unknown reset options \['jobs'\]"
    ):
        env.reset(options={"jobs": 5})
    env.reset(seed=0, options={})


@each_vector_id
def test_native_vector__numbers_of_environments_and_options_of_a_wrong_kind_are_errors(env_id):
    for bad in (1.5, "2", None, True, np.float64(2.0), [2]):
        with pytest.raises(TypeError, match=r"num_envs must be a whole number of environments; got .* Pass e\.g\. 16"):
            load_env_creator(str(registry[env_id].vector_entry_point))(bad, **SMALL.get(env_id, {}))
    for number, rule in ((-1, "at least 1"), (MOST_ENVS + 1, "at most 1,048,576")):
        with pytest.raises(ValueError, match=f"num_envs must be {rule}; got {number}"):
            make_vec(env_id, "native", AutoresetMode.NEXT_STEP, n=number)
    env = make_vec(env_id, "native", AutoresetMode.NEXT_STEP, n=np.int64(2))
    assert (type(env.num_envs), env.num_envs) == (int, 2)
    for bad in (5, "jobs", {1: 2}):
        with pytest.raises(TypeError, match=r"reset options must be a dict by name, or None; got"):
            env.reset(options=bad)
    with pytest.raises(ValueError, match=r"unknown reset options \['jobs'\]"):
        env.reset(options={"jobs": 5})
    for seed in (1.5, "3"):
        with pytest.raises(TypeError, match="seed must be an int, 2 of them, or None; got"):
            env.reset(seed=seed)
