"""StormVecEnv against a DummyVecEnv of single environments, and with the algorithms that use it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import stormgym  # noqa: F401
from stormgym.envs.adapters.sb3 import StormVecEnv, make_vec_env

CITY = "synthetic:7:1"
ENV_KWARGS: dict[str, Any] = {"city": CITY, "predictor": "none"}  # "none" needs no forest


def dummy(num_envs: int, seed: int, **kwargs: Any) -> DummyVecEnv:
    venv = DummyVecEnv([lambda: Monitor(gym.make("Restoration-v0", **kwargs)) for _ in range(num_envs)])
    venv.seed(seed)
    return venv


def assert_same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert_same(ours[key], theirs[key])
    else:
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("timing", ["dense", "terminal"])
def test_vec_env__equals_dummy_vec_env_step_for_step(timing: str) -> None:
    kwargs = {**ENV_KWARGS, "cost": timing, "reward": timing}
    ours, theirs = make_vec_env("Restoration-v0", 5, seed=3, **kwargs), dummy(5, 3, **kwargs)
    assert_same(ours.reset(), theirs.reset())
    assert_same(ours.reset_infos[2], theirs.reset_infos[2])
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(80):  # unmasked actions: wasted trips and truncation come up too
        actions = rng.integers(0, 7, size=5)
        obs, reward, done, infos = ours.step(actions)
        obs2, reward2, done2, infos2 = theirs.step(actions)
        assert_same(obs, obs2)
        np.testing.assert_array_equal(done, done2)
        np.testing.assert_allclose(reward, reward2, rtol=1e-6)
        assert reward.dtype == reward2.dtype
        for a, b in zip(infos, infos2, strict=True):
            assert a["cost"] == pytest.approx(b["cost"], abs=1e-9)
            assert_same(a["action_mask"], b["action_mask"])
            assert a["TimeLimit.truncated"] == b["TimeLimit.truncated"]
            assert set(a) == set(b)
            if "episode" in b:
                ended += 1
                assert a["episode"]["r"] == pytest.approx(b["episode"]["r"], abs=1e-5)
                assert a["episode"]["l"] == b["episode"]["l"]
                assert a["metrics"] == pytest.approx(b["metrics"])
                assert all(type(v) is float for v in a["metrics"].values())
                assert_same(a["terminal_observation"], b["terminal_observation"])
                assert a["episode"]["c"] == pytest.approx(a["metrics"]["gap_h"])
        for a, b in zip(ours.reset_infos, theirs.reset_infos, strict=True):
            assert_same(a, b)
    assert ended > 10


def test_vec_env__masks_are_those_of_the_next_choice() -> None:
    venv = make_vec_env("Restoration-v0", 3, seed=0, **ENV_KWARGS)
    venv.reset()
    assert is_masking_supported(venv)
    for step in range(1, 15):
        masks = get_action_masks(venv)
        obs, _, done, _ = venv.step(masks.argmax(axis=1))
        np.testing.assert_array_equal(get_action_masks(venv), obs["action_mask"].astype(bool))
        assert done.all() == (step % 7 == 0)
        assert get_action_masks(venv).sum() == 3 * (7 - step % 7)


def test_vec_env__seed_makes_the_same_episodes_again() -> None:
    first, second = (make_vec_env("Restoration-v0", 2, seed=5, **ENV_KWARGS) for _ in range(2))
    assert_same(first.reset(), second.reset())
    before = first.reset()
    first.seed(5)
    assert not np.array_equal(before["point_h"], first.reset()["point_h"])
    second.seed(5)
    first.seed(5)
    assert_same(first.reset(), second.reset())


def test_vec_env__attributes_are_read_and_set_for_all() -> None:
    venv = make_vec_env("Restoration-v0", 3, **ENV_KWARGS)
    assert venv.get_attr("cost_limit") == [8.0] * 3
    assert venv.get_attr("cost_limit", indices=1) == [8.0]
    assert venv.has_attr("action_masks")
    assert not venv.has_attr("no_such_thing")
    venv.set_attr("note", 4)
    assert venv.get_attr("note") == [4, 4, 4]
    with pytest.raises(ValueError, match="indices=None"):
        venv.set_attr("note", 5, indices=[0])
    with pytest.raises(ValueError, match="act together"):
        venv.env_method("reset")
    assert venv.env_is_wrapped(Monitor) == [True] * 3
    assert len(venv.env_method("action_masks", indices=[0, 2])) == 2
    venv.close()


def test_vec_env__another_autoreset_mode_is_an_error() -> None:
    env = gym.make_vec("Restoration-v0", 2, vectorization_mode="vector_entry_point", **ENV_KWARGS)
    with pytest.raises(ValueError, match="SAME_STEP"):
        StormVecEnv(env)


def test_vec_env__reset_options_are_an_error() -> None:
    venv = make_vec_env("Restoration-v0", 2, **ENV_KWARGS)
    venv.set_options({"jobs": {}, "x": 1})
    with pytest.raises(ValueError, match="reset options"):
        venv.reset()


def test_make_vec_env__takes_the_id_that_gym_make_takes() -> None:
    assert make_vec_env("stormgym:Restoration-v0", 2, **ENV_KWARGS).num_envs == 2


def test_vec_env__missing_cost_is_an_error() -> None:
    venv = make_vec_env("CartPole-v1", 2, seed=0)
    venv.reset()
    with pytest.raises(KeyError, match="cost"):
        venv.step(np.zeros(2, dtype=np.int64))


def test_vec_env__sync_vector_env_gives_the_same() -> None:
    native = make_vec_env("Restoration-v0", 3, seed=1, **ENV_KWARGS)
    sync = StormVecEnv(
        gym.make_vec(
            "Restoration-v0",
            3,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
            **ENV_KWARGS,
        )
    )
    sync.seed(1)
    assert_same(native.reset(), sync.reset())
    for _ in range(15):
        np.testing.assert_array_equal(native.action_masks(), sync.action_masks())
        actions = native.action_masks().argmax(axis=1)
        obs, reward, done, infos = native.step(actions)
        obs2, reward2, done2, infos2 = sync.step(actions)
        assert_same(obs, obs2)
        np.testing.assert_allclose(reward, reward2, rtol=1e-6)
        np.testing.assert_array_equal(done, done2)
        for a, b in zip(infos, infos2, strict=True):
            assert a["cost"] == pytest.approx(b["cost"])
            if "metrics" in b:
                assert a["metrics"] == pytest.approx(b["metrics"])
    assert sync.get_attr("cost_limit") == [8.0] * 3


def test_vec_env__pictures_are_tiled() -> None:
    pytest.importorskip("stormgym.envs.restoration.render")
    venv = make_vec_env("Restoration-v0", 2, render_mode="rgb_array", **ENV_KWARGS)
    venv.reset()
    picture = venv.render()
    assert picture is not None
    assert picture.ndim == 3
    assert venv.render_mode == "rgb_array"


@pytest.mark.parametrize("algorithm", [PPO, DQN, MaskablePPO])
def test_vec_env__algorithms_learn_on_it_and_log_episodes(algorithm: Any) -> None:
    venv = make_vec_env("Restoration-v0", 4, seed=0, **ENV_KWARGS)
    settings = {"learning_starts": 50} if algorithm is DQN else {"n_steps": 32, "batch_size": 64}
    model = algorithm("MultiInputPolicy", venv, seed=0, device="cpu", **settings)
    model.learn(300)
    assert len(model.ep_info_buffer) > 0
    assert {"r", "l", "t", "c"} <= set(model.ep_info_buffer[0])
    assert isinstance(model.action_space, spaces.Discrete)


def test_vec_env__evaluate_policy_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    venv = make_vec_env("Restoration-v0", 4, seed=0, **ENV_KWARGS)
    model = PPO("MultiInputPolicy", venv, seed=0, device="cpu")
    recwarn.clear()
    mean, _ = evaluate_policy(model, venv, n_eval_episodes=4)
    assert mean < 0
    assert not [w for w in recwarn if "Monitor" in str(w.message)]
