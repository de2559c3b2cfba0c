"""Infos of one structure: single, vector in every autoreset mode, and games."""

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from gymnasium.vector import AutoresetMode

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.plain_info import PlainInfo, PlainInfoAEC, VectorPlainInfo

SMALL = {
    "Restoration-v0": {"city": "synthetic:8:1", "predictor": "none"},
    "GeneratorDispatch-v0": {"profile": "B"},
    "Undergrounding-v0": {"profile": "synthetic:6:1"},
    "PowerScheduling-v0": {},
}
each_id = pytest.mark.parametrize("env_id", SMALL)
RESET_KEYS = {"final_info", "_final_info", "final_obs", "_final_obs"}


def episode(env, seed):
    _, info = env.reset(seed=seed)
    infos, ended = [info], False
    env.action_space.seed(seed)
    while not ended:
        *_, terminated, truncated, info = env.step(env.action_space.sample())
        infos.append(info)
        ended = terminated or truncated
    return infos


@each_id
@pytest.mark.parametrize("metrics", [False, True])
def test_plain__every_info_has_the_same_scalars(env_id, metrics):
    inner = gym.make(env_id, **SMALL[env_id])
    for seed in range(2):
        plain, full = episode(PlainInfo(inner, metrics=metrics), seed), episode(inner, seed)
        assert {frozenset(info) for info in plain} == {frozenset(plain[0])}
        assert {type(value) for info in plain for value in info.values()} == {np.float64}
        assert [i["cost"] for i in plain] == [i["cost"] for i in full]
        assert plain[-1]["episode_cost"] == pytest.approx(sum(i["cost"] for i in full))
        assert ("episode_end" in plain[0]) is metrics
        if metrics:
            assert [i["episode_end"] for i in plain] == [0.0] * (len(plain) - 1) + [1.0]
            given = {f"metric_{name}": value for name, value in full[-1]["metrics"].items()}
            assert {key: value for key, value in plain[-1].items() if key.startswith("metric_")} == given


@each_id
@pytest.mark.parametrize("door", ["vector_entry_point", "sync"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value)
def test_plain__in_vector_form_gives_the_single_infos(env_id, door, mode):
    chosen = {"autoreset_mode": mode} if door != "sync" else {"vector_kwargs": {"autoreset_mode": mode}}
    make = lambda: gym.make_vec(env_id, 3, vectorization_mode=door, **chosen, **SMALL[env_id])  # noqa: E731
    env, inner = VectorPlainInfo(make(), metrics=True, masks=True), make()
    _, infos = env.reset(seed=0)
    inner.reset(seed=0)
    keys = set(infos)
    ends = 0
    env.action_space.seed(0)
    for _ in range(30):
        action = env.action_space.sample()
        _, _, terminated, truncated, infos = env.step(action)
        *_, full = inner.step(action)
        assert set(infos) - RESET_KEYS == keys
        np.testing.assert_array_equal(infos["cost"], full["cost"])
        told, whole = (
            (infos, full) if mode == AutoresetMode.NEXT_STEP else (infos.get("final_info", {}), full.get("final_info"))
        )
        for row in np.flatnonzero(terminated | truncated):
            ends += 1
            assert told["episode_end"][row] == 1.0
            assert set(told) == keys | (set(told) & RESET_KEYS)
            for name, values in whole["metrics"].items():
                if not name.startswith("_"):
                    assert told[f"metric_{name}"][row] == values[row]
    assert ends > 0
    env.close(), inner.close()


def test_plain__masks_are_given_when_asked_for():
    env = PlainInfo(gym.make("Restoration-v0", **SMALL["Restoration-v0"]), masks=True)
    _, info = env.reset(seed=0)
    assert info["action_mask"].all()
    assert info["action_mask"].dtype == np.int8


def test_plain__metrics_of_another_environment_are_an_error():
    with pytest.raises(TypeError, match=r"not made of a core of this suite\. Leave metrics=True out"):
        PlainInfo(gym.make("CartPole-v1"), metrics=True)
    _, info = PlainInfo(gym.make("CartPole-v1")).reset(seed=0)
    assert info == {}


def test_plain__infos_of_a_game_are_scalars_throughout():
    game = PlainInfoAEC(pettingzoo.make("aec", "DefenderAttacker-v0", profile="synthetic:5:1"))
    game.reset(seed=0)
    seen = set()
    for agent in game.agent_iter():
        *_, terminated, truncated, info = game.last()
        seen |= {frozenset(info), *(frozenset(info) for info in game.infos.values())}
        game.step(None if terminated or truncated else game.action_space(agent).sample())
    assert seen == {frozenset({"cost", "episode_cost", "cost_limit"})}
