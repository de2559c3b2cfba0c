"""What runs in which library, untouched and with its adapter: the table of docs/libraries.md, by trying.

    python -m benchmarks.libraries --docs docs

Every cell is a short trial in a process of its own: episodes are played (or a learner trained for a few steps) on the
small form of an environment whose masked choices raise, so that a library that passes the mask over fails. A library
that is not installed is said to be so. A few minutes.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tyro
from rich.progress import track

from benchmarks.kit.pages import replace_block
from stormgym.agents.terminal import make_console

SMALL: dict[str, dict[str, Any]] = {
    "Restoration-v0": {"city": "synthetic:8:1", "predictor": "none", "on_invalid": "raise"},
    "GeneratorDispatch-v0": {"profile": "B"},
    "Undergrounding-v0": {"profile": "synthetic:6:1", "on_invalid": "raise"},
    "DefenderAttacker-v0": {"profile": "synthetic:5:1"},
}
GAME = "DefenderAttacker-v0"
SIDE = "DefenderAttackerPlanner-v0"
"""The game as libraries of single agents play it."""
STEPS = 32

Trial = Callable[[str, dict[str, Any]], None]


def gymnasium_untouched(env_id: str, kwargs: dict[str, Any]) -> None:
    """Gymnasium's checker, and its vector form with its own statistics."""
    import gymnasium as gym
    from gymnasium.utils.env_checker import check_env
    from gymnasium.wrappers.vector import RecordEpisodeStatistics

    check_env(gym.make(env_id, **kwargs).unwrapped, skip_render_check=True)
    batch = RecordEpisodeStatistics(
        gym.make_vec(env_id, 2, vectorization_mode="sync", **{**kwargs, **_wasting(kwargs)})
    )
    batch.reset(seed=0)
    for _ in range(STEPS):
        batch.step(batch.action_space.sample())


def _wasting(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"on_invalid": "waste"} if "on_invalid" in kwargs else {}


def sb3_untouched(env_id: str, kwargs: dict[str, Any]) -> None:
    """Plain PPO over a `DummyVecEnv`; it knows no masks, so masked choices are wasted."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    venv = make_vec_env(env_id, 2, env_kwargs={**kwargs, **_wasting(kwargs)})
    PPO("MultiInputPolicy", venv, n_steps=STEPS, batch_size=STEPS, device="cpu").learn(2 * STEPS)


def contrib_untouched(env_id: str, kwargs: dict[str, Any]) -> None:
    """MaskablePPO over a `DummyVecEnv`."""
    from sb3_contrib import MaskablePPO
    from stable_baselines3.common.env_util import make_vec_env

    venv = make_vec_env(env_id, 2, env_kwargs=kwargs)
    MaskablePPO("MultiInputPolicy", venv, n_steps=STEPS, batch_size=STEPS, device="cpu").learn(2 * STEPS)


def contrib_adapted(env_id: str, kwargs: dict[str, Any]) -> None:
    """MaskablePPO over `StormVecEnv`, with costs of episodes."""
    from sb3_contrib import MaskablePPO

    from stormgym.envs.adapters.sb3 import make_vec_env

    venv = make_vec_env(env_id, 2, seed=0, **kwargs)
    model = MaskablePPO("MultiInputPolicy", venv, n_steps=STEPS, batch_size=STEPS, device="cpu", stats_window_size=9)
    model.learn(2 * STEPS)
    assert all("c" in episode for episode in model.ep_info_buffer or [])


def torchrl_untouched(env_id: str, kwargs: dict[str, Any]) -> None:
    """`GymEnv` with a reader of costs and random actions that keep to the mask."""
    from torchrl.envs import ActionMask, TransformedEnv, default_info_dict_reader
    from torchrl.envs.libs.gym import GymEnv

    import stormgym  # noqa: F401  (the prefix is not understood where no module is imported)

    env = GymEnv(env_id, categorical_action_encoding=True, **kwargs)
    env.set_info_dict_reader(default_info_dict_reader(["cost"]))
    data = TransformedEnv(env, ActionMask()).rollout(STEPS, break_when_any_done=False)
    assert "state" in set(data.keys()) or "state" not in env.unwrapped.observation_space.spaces, "state is renamed"


def torchrl_adapted(env_id: str, kwargs: dict[str, Any]) -> None:
    """`make_env`, `make_game`."""
    from torchrl.envs import check_env_specs

    from stormgym.envs.adapters.torchrl import make_env, make_game

    if env_id == SIDE:
        make_game(GAME, **kwargs).rollout(STEPS)
        return
    for num_envs in (None, 2):
        env = make_env(env_id, num_envs, **kwargs)
        check_env_specs(env)
        env.rollout(STEPS, break_when_any_done=False)


def tianshou_untouched(env_id: str, kwargs: dict[str, Any]) -> None:
    """A collector with a random policy of one choice that reads `obs.mask`; dispatch is played block by block."""
    import gymnasium as gym
    from tianshou.env import DummyVectorEnv

    kwargs = {**kwargs, **_of_one_choice(env_id)}
    _tianshou_episodes(DummyVectorEnv([lambda: gym.make(env_id, **kwargs)] * 2))


def tianshou_adapted(env_id: str, kwargs: dict[str, Any]) -> None:
    """The same with `make_envs`."""
    from stormgym.envs.adapters.tianshou import make_envs

    _tianshou_episodes(make_envs(env_id, 2, **{**kwargs, **_of_one_choice(env_id)}))


def _of_one_choice(env_id: str) -> dict[str, Any]:
    return {"action": "blocks"} if env_id == "GeneratorDispatch-v0" else {}


def _tianshou_episodes(envs: Any) -> None:
    from tianshou.algorithm.random import MARLRandomDiscreteMaskedOffPolicyAlgorithm as Random
    from tianshou.data import Collector, VectorReplayBuffer

    buffer = VectorReplayBuffer(500, 2)
    policy = Random(action_space=envs.action_space[0]).policy
    collector = Collector(policy, envs, buffer)
    collector.reset()
    collector.collect(n_episode=3)
    assert "cost" in buffer.info


def skrl_untouched(env_id: str, kwargs: dict[str, Any]) -> None:
    """`wrap_env` over the native vector form."""
    import gymnasium as gym
    from skrl.envs.wrappers.torch import wrap_env

    env = wrap_env(gym.make_vec(env_id, 2, vectorization_mode="vector_entry_point", **kwargs))
    env.reset()


def skrl_adapted(env_id: str, kwargs: dict[str, Any]) -> None:
    """`make_env`, masks read back from flat observations."""
    import numpy as np
    import torch
    from gymnasium import spaces

    from stormgym.envs.adapters.skrl import make_env, split_mask

    env = make_env(env_id, 2, native=env_id != SIDE, **kwargs)
    states, _ = env.reset()
    space = env.action_space
    for _ in range(STEPS):
        _, mask = split_mask(env.observation_space, states)
        action = mask.float().argmax(dim=1, keepdim=True)
        if not isinstance(space, spaces.Discrete):
            action = torch.as_tensor(np.stack([space.sample() for _ in range(2)]))
        states, *_ = env.step(action)
    env.close()


def minari_untouched(env_id: str, kwargs: dict[str, Any]) -> None:
    """`DataCollector` with infos."""
    import gymnasium as gym
    import minari

    env = minari.DataCollector(gym.make(env_id, **{**kwargs, **_wasting(kwargs)}), record_infos=True)
    for episode in range(2):
        env.reset(seed=episode)
        while not any(env.step(env.action_space.sample())[2:4]):
            pass
    env.create_dataset("trial/untouched-v0")


def minari_adapted(env_id: str, kwargs: dict[str, Any]) -> None:
    """`write_dataset`."""
    from stormgym.envs.adapters.minari import Scenarios, write_dataset

    class Random:
        def __init__(self, env: Any) -> None:
            self.env = env

        def predict(self, observation: Any, state: Any = None, **_: Any) -> tuple[Any, Any]:
            from gymnasium import spaces

            if isinstance(self.env.single_action_space, spaces.Discrete):
                return observation["action_mask"].argmax(axis=1), state
            return self.env.action_space.sample(), state

    dataset = write_dataset("trial/adapted-v0", Scenarios(env_id, kwargs), [(Random, 3)])
    assert "cost" in dataset[0].infos


def rllib_untouched(env_id: str, kwargs: dict[str, Any]) -> None:
    """PPO of the new API stack on a remote runner."""
    _rllib(f"stormgym:{env_id}", kwargs)


def rllib_adapted(env_id: str, kwargs: dict[str, Any]) -> None:
    """The same with the environments, the module and the callback of the adapter."""
    from stormgym.envs.adapters import rllib

    def adapted(config: Any) -> Any:
        return config.rl_module(rl_module_spec=rllib.masked_module()).callbacks(rllib.EpisodeCosts)

    _rllib(rllib.register_env(env_id), kwargs, adapted)


def _rllib(name: str, kwargs: dict[str, Any], adapted: Callable[[Any], Any] = lambda config: config) -> None:
    import ray
    from ray.rllib.algorithms.ppo import PPOConfig

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100_000_000,
        logging_level=40,
        log_to_driver=False,
    )
    config = PPOConfig().environment(name, env_config=kwargs).env_runners(num_env_runners=1)
    config = config.training(train_batch_size=2 * STEPS, minibatch_size=STEPS, num_epochs=1)
    algorithm = adapted(config).build_algo()
    result = algorithm.train()["env_runners"]
    assert any("cost" in key for key in result), f"no cost among the results: {', '.join(sorted(result))}"
    algorithm.stop()


def pettingzoo_untouched(env_id: str, kwargs: dict[str, Any]) -> None:
    """PettingZoo's API test."""
    import pettingzoo
    from pettingzoo.test import api_test

    import stormgym  # noqa: F401  (registers the game)

    api_test(pettingzoo.make("aec", GAME, **kwargs), num_cycles=STEPS)


@dataclass(frozen=True)
class Library:
    """A library and its trials; an entry that is None has no trial."""

    name: str
    package: str
    untouched: Trial | None
    adapted: Trial | None = None
    adapter: str = ""
    only: tuple[str, ...] = tuple(SMALL)
    """Environments that it can be tried on."""


PLAIN = tuple(name for name in SMALL if name != GAME)
LIBRARIES = (
    Library("Gymnasium", "gymnasium", gymnasium_untouched),
    Library("Stable-Baselines3", "stable-baselines3", sb3_untouched),
    Library("sb3-contrib", "sb3-contrib", contrib_untouched, contrib_adapted, "sb3"),
    Library("RLlib", "ray", rllib_untouched, rllib_adapted, "rllib"),
    Library("TorchRL", "torchrl", torchrl_untouched, torchrl_adapted, "torchrl"),
    Library("Tianshou", "tianshou", tianshou_untouched, tianshou_adapted, "tianshou"),
    Library("skrl", "skrl", skrl_untouched, skrl_adapted, "skrl"),
    Library("Minari", "minari", minari_untouched, minari_adapted, "minari", only=PLAIN),
    Library("PettingZoo", "pettingzoo", pettingzoo_untouched, only=(GAME,)),
)


@dataclass(frozen=True)
class Settings:
    """What runs in which library."""

    docs: Path | None = None
    """Folder of the docs, whose libraries.md gets the table; left out, it is printed only."""
    only: tuple[str, ...] = ()
    """Libraries by package; all if left out."""
    trial: str | None = None
    """PACKAGE/ID/untouched or PACKAGE/ID/adapted: run this one trial in this process (what the others are made of)."""


def run_trial(name: str) -> None:
    """One trial; it raises where the library fails."""
    package, env_id, kind = name.split("/")
    library = next(library for library in LIBRARIES if library.package == package)
    trial = library.untouched if kind == "untouched" else library.adapted
    assert trial is not None, f"{package} has no trial {kind}"
    single = env_id == GAME and trial is not pettingzoo_untouched
    warnings.simplefilter("ignore")
    import stormgym  # noqa: F401  (registers the ids)

    trial(SIDE if single else env_id, SMALL[env_id])


def outcome(package: str, env_id: str, kind: str) -> str:
    """`yes`, or the last line of what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.libraries", "--trial", f"{package}/{env_id}/{kind}"]
        environment = {**os.environ, "MINARI_DATASETS_PATH": folder, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, timeout=240, check=False, cwd=Path.cwd()
            )
        except subprocess.TimeoutExpired:
            return "no: no end within four minutes"
    if done.returncode == 0:
        return "yes"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    told = next((line for line in reversed(lines) if "Error" in line.partition(":")[0]), lines[-1] if lines else "")
    return f"no: {told[:90]}"


def table(rows: list[tuple[Library, str | None, dict[str, dict[str, str]]]]) -> str:
    """The table in Markdown, and the reasons under it."""
    letters = dict(zip(SMALL, "RGUD", strict=True))
    lines = ["| library | version | untouched | with its adapter | adapter |", "| --- | --- | --- | --- | --- |"]
    reasons = []
    for library, installed, found in rows:
        cells = []
        for kind in ("untouched", "adapted"):
            results = found.get(kind, {})
            good = [letters[env_id] for env_id, result in results.items() if result == "yes"]
            bad = [letters[env_id] for env_id, result in results.items() if result != "yes"]
            text = " ".join([*good, *(f"~~{letter}~~" for letter in bad)])
            cells.append(text if results else "")
            by_reason: dict[str, list[str]] = {}
            for env_id, result in results.items():
                if result != "yes":
                    by_reason.setdefault(result.removeprefix("no: "), []).append(letters[env_id])
            how = kind if kind == "untouched" else "with its adapter"
            reasons += [f"- {library.name}, {how}, {' '.join(ids)}: `{why}`" for why, ids in by_reason.items()]
        place = "#stable-baselines3" if library.adapter == "sb3" else f"libraries/{library.adapter}.md"
        page = f"[`{library.adapter}`]({place})" if library.adapter else ""
        lines.append(f"| {library.name} | {installed or 'not installed'} | {cells[0]} | {cells[1]} | {page} |")
    return "\n".join([*lines, "", *reasons])


def main(args: list[str] | None = None) -> int:
    """Try all, print the table, and write it where asked."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    if settings.trial is not None:
        run_trial(settings.trial)
        return 0
    rows = []
    chosen = [library for library in LIBRARIES if not settings.only or library.package in settings.only]
    for library in track(chosen, description="libraries"):
        try:
            installed: str | None = version(library.package)
        except PackageNotFoundError:
            rows.append((library, None, {}))
            continue
        kinds = {"untouched": library.untouched, "adapted": library.adapted}
        found = {
            kind: {env_id: outcome(library.package, env_id, kind) for env_id in library.only}
            for kind, trial in kinds.items()
            if trial is not None
        }
        rows.append((library, installed, found))
    text = table(rows)
    make_console().print(text, markup=False)
    if settings.docs is not None:
        today = datetime.date.today().isoformat()
        python = ".".join(map(str, sys.version_info[:3]))
        replace_block(settings.docs / "libraries.md", "libraries", f"{text}\n\nTried on {today} with Python {python}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
