"""Play every environment with what the core of the package brings, and say how long it took.

    python -m benchmarks.installs.core_play

One episode of every id as a single environment, some steps of its native vector environment, its text, a city from a
folder, and the games of PettingZoo. It needs no extra, so that it can run where only `pip install stormgym` was done;
`tests/test_install.py` and `.ci/run` do so.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pettingzoo

import stormgym  # noqa: F401  (registers the ids)
from stormgym.envs.data import City

N_VECTOR_STEPS = 3


def ids() -> list[str]:
    """Ids of this suite that Gymnasium knows."""
    return [
        env_id
        for env_id, spec in gym.registry.items()
        if isinstance(spec.entry_point, str) and spec.entry_point.startswith("stormgym.")
    ]


def play(env_id: str, **kwargs: Any) -> int:
    """One episode of random actions, with the text of its last state; returns its steps."""
    env = gym.make(f"stormgym:{env_id}", render_mode="ansi", **kwargs)
    obs, info = env.reset(seed=0)
    assert env.observation_space.contains(obs), env_id
    env.action_space.seed(0)
    n_steps, done = 0, False
    while not done:
        masked = isinstance(env.action_space, gym.spaces.Discrete) and "action_mask" in info
        action = env.action_space.sample(mask=info["action_mask"]) if masked else env.action_space.sample()
        obs, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(obs), env_id
        assert np.isfinite(float(reward)), env_id
        assert np.isfinite(info["cost"]), env_id
        n_steps, done = n_steps + 1, terminated or truncated
    text: Any = env.render()
    assert text.strip(), env_id
    env.close()
    return n_steps


def play_vector(env_id: str) -> None:
    """Some steps of four environments at once."""
    if gym.spec(env_id).vector_entry_point is None:
        return
    envs = gym.make_vec(f"stormgym:{env_id}", num_envs=4, vectorization_mode="vector_entry_point")
    envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(N_VECTOR_STEPS):
        _, rewards, *_ = envs.step(envs.action_space.sample())
        assert rewards.shape == (4,), env_id
    envs.close()


def play_game(name: str) -> int:
    """One season of random moves; returns their number."""
    entry = pettingzoo.aec_registry[name].entry_point
    module, _, attribute = str(entry).partition(":")
    game = getattr(__import__(module, fromlist=[attribute]), attribute)(render_mode="ansi")
    game.reset(seed=0)
    n_moves = 0
    for player in game.agent_iter():
        obs, _, terminated, truncated, _ = game.last()
        action = None
        if not (terminated or truncated):
            mask = obs.get("action_mask") if isinstance(obs, dict) else None
            space = game.action_space(player)
            action = space.sample(mask) if mask is not None else space.sample()
        game.step(action)
        n_moves += 1
    assert str(game.render()).strip()
    return n_moves


def main() -> int:
    """Play all of it; an error ends it."""
    for env_id in ids():
        start = time.process_time()
        n_steps = play(env_id)
        play_vector(env_id)
        print(f"{env_id}: {n_steps} steps, {time.process_time() - start:.2f} s CPU", flush=True)
    for name in pettingzoo.aec_registry:
        if str(pettingzoo.aec_registry[name].entry_point).startswith("stormgym."):
            print(f"{name}: {play_game(name)} moves", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        City.synthetic(seed=3, n_regions=6).save(Path(folder) / "city")
        print(f"a city folder: {play('Restoration-v0', city=str(Path(folder) / 'city'))} steps", flush=True)
    extras = {"torch", "pandas", "matplotlib", "stable_baselines3", "rich", "tyro"} & set(sys.modules)
    assert not extras, f"the core imported {extras}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
