"""Observations in two parts, and choices as scores: single and in every vector form."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from stormgym.envs.adapters.masked import MaskedForm, MaskedObservation, VectorMaskedObservation
from stormgym.envs.adapters.scores import ScoreActions

SMALL = {
    "Restoration-v0": {"city": "synthetic:8:1", "predictor": "none"},
    "GeneratorDispatch-v0": {"profile": "B"},
    "Undergrounding-v0": {"profile": "synthetic:6:1"},
    "HospitalBeds-v0": {},
}
each_id = pytest.mark.parametrize("env_id", SMALL)


def make(env_id, **kwargs):
    return gym.make(f"stormgym:{env_id}", **{**SMALL[env_id], **kwargs})


@each_id
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_masked__passes_gymnasiums_checker_and_holds_every_number_once(env_id, flat, dtype):
    env = MaskedObservation(make(env_id), observation="obs", mask="mask", mask_dtype=dtype, flat=flat)
    check_env(env, skip_render_check=True)
    seen, _ = env.reset(seed=3)
    whole, _ = make(env_id).reset(seed=3)
    assert set(seen) == {"obs", "mask"}
    assert seen["mask"].dtype == dtype
    np.testing.assert_array_equal(seen["mask"], whole["action_mask"])
    if flat:
        parts = [whole[key].ravel() for key in env.form.parts]
        np.testing.assert_array_equal(seen["obs"], np.concatenate(parts))
        assert seen["obs"].dtype == np.float32
    else:
        assert set(seen["obs"]) == set(whole) - {"action_mask"}


def test_masked__without_a_mask_is_one_part():
    env = MaskedObservation(make("Restoration-v0"), mask=None)
    assert set(env.observation_space.spaces) == {"observation"} == set(env.reset(seed=0)[0])


@each_id
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value)
def test_masked__rows_of_a_vector_are_the_single_ones(env_id, mode):
    batch = gym.make_vec(
        f"stormgym:{env_id}", 2, vectorization_mode="vector_entry_point", autoreset_mode=mode, **SMALL[env_id]
    )
    batch, single = VectorMaskedObservation(batch), [MaskedObservation(make(env_id)) for _ in range(2)]
    rows, _ = batch.reset(seed=5)
    ones = [env.reset(seed=5 + i)[0] for i, env in enumerate(single)]
    batch.action_space.seed(0)
    ended = np.zeros(2, dtype=bool)
    for _ in range(12):
        assert batch.observation_space.contains(rows)
        for i, one in enumerate(ones):
            for key in one:
                np.testing.assert_array_equal(rows[key][i], one[key])
        action = batch.action_space.sample()
        rows, _, terminated, truncated, infos = batch.step(action)
        for i, env in enumerate(single):
            if ended[i] and mode == AutoresetMode.NEXT_STEP:
                ones[i], ended[i] = env.reset()[0], False
                continue
            ones[i], _, *flags, _ = env.step(action[i])
            ended[i] = any(flags)
            assert ended[i] == (terminated | truncated)[i]
            if ended[i] and mode == AutoresetMode.SAME_STEP:
                for key in ones[i]:
                    np.testing.assert_array_equal(infos["final_obs"][i][key], ones[i][key])
                ones[i] = env.reset()[0]


def test_masked__bad_arguments():
    with pytest.raises(ValueError, match="must be a Dict with the part 'action_mask'"):
        MaskedForm(spaces.Box(0, 1, (3,)))
    with pytest.raises(ValueError, match="different names; both are 'x'"):
        MaskedObservation(make("Restoration-v0"), observation="x", mask="x")


def test_scores__take_the_best_open_choice_and_never_a_masked_one():
    env = ScoreActions(make("Restoration-v0", on_invalid="raise"))
    check_env(env, skip_render_check=True)
    obs, _ = env.reset(seed=0)
    rng, ended, visited = np.random.default_rng(0), False, []
    while not ended:
        scores = rng.uniform(-1, 1, 8).astype(np.float32)
        expected = max(np.flatnonzero(obs["action_mask"]), key=lambda i: scores[i])
        obs, _, ended, _, info = env.step(scores)
        assert info["choice"] == expected
        visited.append(info["choice"])
    assert sorted(visited) == list(range(8))


def test_scores__bad_arguments():
    with pytest.raises(ValueError, match="takes environments of Discrete actions; got MultiDiscrete"):
        ScoreActions(make("GeneratorDispatch-v0"))
    env = ScoreActions(make("Restoration-v0"))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action must be 8 finite scores"):
        env.step(np.full(8, np.nan))
    with pytest.raises(ValueError, match="must be a Dict"):
        ScoreActions(gym.make("CartPole-v1"))
