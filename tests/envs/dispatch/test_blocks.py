"""Allocations block by block: the same days as whole allocations, choices that are open, bad arguments."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from stormgym.agents.dispatch.planners import OnlineGreedy
from stormgym.envs.dispatch.core import STATE

ID = "stormgym:GeneratorDispatch-v0"
DAY = STATE.index("day")


def blocks(**kwargs):
    return gym.make(ID, action="blocks", **kwargs).unwrapped


def test_blocks__passes_gymnasiums_checker():
    check_env(blocks(), skip_render_check=True)


@pytest.mark.parametrize("n_blocks", [1, 4, 10, 1_000])
def test_blocks__days_are_those_of_the_same_whole_allocations(n_blocks):
    env, whole, rng = (
        blocks(profile="ten", blocks=n_blocks),
        gym.make(ID, profile="ten").unwrapped,
        np.random.default_rng(0),
    )
    for episode in range(3):
        obs, _ = env.reset(seed=episode)
        twin, _ = whole.reset(seed=episode)
        ended, reward, cost = False, 0.0, 0.0
        while not ended:
            planned, day = obs["planned"], obs["state"][DAY]
            choice = int(rng.choice(np.flatnonzero(obs["action_mask"])))
            expected = planned.copy()
            if choice < len(planned):
                left = env.profile.generators - planned.sum()
                room = min(env.core.most[choice] - planned[choice], left)
                expected[choice] += min(-(-env.profile.generators // n_blocks), room)
            obs, paid, ended, _, info = env.step(choice)
            reward, cost = reward + paid, cost + info["cost"]
            if obs["state"][DAY] == day and not ended:
                np.testing.assert_array_equal(obs["planned"], expected)
                assert (paid, info["cost"]) == (0.0, 0.0)
                continue
            twin, twin_reward, _, _, twin_info = whole.step(expected.astype(np.int64))
            assert (paid, info["cost"]) == (twin_reward, twin_info["cost"])
            for name in set(twin) - {"action_mask"}:
                np.testing.assert_array_equal(obs[name], twin[name])
        assert info["metrics"] == twin_info["metrics"]
        assert obs["action_mask"].all()


def test_blocks__the_mask_is_what_can_be_placed():
    env = blocks(profile="B", blocks=2)
    obs, _ = env.reset(seed=0)
    assert obs["action_mask"].tolist() == [1, 1, 1, 1]
    size, most = 3, np.minimum(env.core.most, 5)
    obs, *_ = env.step(0)
    assert obs["planned"][0] == min(size, most[0])
    assert obs["action_mask"][0] == (most[0] > size)


def test_blocks__a_closed_county_ends_the_days_choices():
    env = blocks(profile="ten", blocks=2)
    obs, _ = env.reset(seed=1)
    closed = int(env.core.most.argmin())
    while obs["action_mask"][closed]:
        obs, *_ = env.step(closed)
    assert obs["state"][DAY] == 0
    obs, *_ = env.step(closed)
    assert obs["state"][DAY] == 1
    assert not obs["planned"].any()


def test_blocks__rows_of_a_batch_are_at_their_own_days():
    n = 5
    batch = gym.make_vec(ID, n, vectorization_mode="vector_entry_point", action="blocks", profile="B")
    single = [blocks(profile="B") for _ in range(n)]
    obs, _ = batch.reset(seed=3)
    rows = [env.reset(seed=3 + i)[0] for i, env in enumerate(single)]
    rng, over = np.random.default_rng(2), np.zeros(n, dtype=bool)
    for _ in range(25):
        choices = np.array([rng.choice(np.flatnonzero(mask)) for mask in obs["action_mask"]])
        obs, reward, ended, _, _ = batch.step(choices)
        for i, env in enumerate(single):
            if over[i]:
                rows[i], over[i] = env.reset()[0], False
                assert reward[i] == 0.0
            else:
                rows[i], paid, over[i], _, _ = env.step(choices[i])
                assert (reward[i], ended[i]) == (paid, over[i])
            np.testing.assert_array_equal(obs["planned"][i], rows[i]["planned"])
    assert len(set(obs["state"][:, DAY].tolist())) > 1


@pytest.mark.parametrize(("number", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), (True, TypeError)])
def test_blocks__bad_numbers(number, error):
    with pytest.raises(error, match="blocks must be"):
        blocks(blocks=number)


def test_blocks__bad_actions():
    env = blocks(profile="B")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action must be a county 0 to 2, or 3 to end the day; got 4"):
        env.step(4)
    with pytest.raises(TypeError, match="actions must be 1 integers"):
        env.step([1, 2, 3])


def test_blocks__planners_say_which_actions_they_need():
    with pytest.raises(ValueError, match='make it with action="units" or "box"'):
        OnlineGreedy.for_env(blocks())
