"""Minari: what a policy played as a dataset, with costs, masks and metrics in it, by way of the batched environments.

write_dataset("restoration/planner-v0", "Restoration-v0", [(make_policy, 100)])
minari.load_dataset("restoration/planner-v0")
"""

from __future__ import annotations

from stormgym.predictors.extras import require

require("stormgym.envs.adapters.minari", "minari", "minari")

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from gymnasium.vector import AutoresetMode
from minari import MinariDataset
from minari.data_collector import EpisodeBuffer

from stormgym.envs.making import episode_seeds, spec_of
from stormgym.envs.plain_info import VectorPlainInfo

PolicyOf = Callable[[Any], Any]
"""Makes a policy with Stable-Baselines3's `predict` for a vector environment."""


@dataclass(frozen=True)
class Scenarios:
    """Which storms are played: episode i of `seed` is the same whatever the policy and the batch."""

    env_id: str
    env_kwargs: dict[str, Any]
    seed: int = 0
    num_envs: int = 64

    def make(self, num_envs: int) -> VectorPlainInfo:
        """B environments, which are reset by hand, whose infos are plain scalars with metrics."""
        spec = spec_of(self.env_id)
        mode = AutoresetMode.DISABLED
        env = gym.make_vec(
            spec.id, num_envs, vectorization_mode="vector_entry_point", autoreset_mode=mode, **self.env_kwargs
        )
        return VectorPlainInfo(env, metrics=True)


def play_episodes(scenarios: Scenarios, policy_of: PolicyOf, episodes: int, first: int = 0) -> list[EpisodeBuffer]:
    """Episodes `first`, `first + 1`, ... as a policy plays them.

    Observations have one entry more than actions, infos as well: those of the reset. Infos hold `cost`,
    `episode_cost`, `cost_limit` where there is one, `episode_end` and, in the last, each `metric_NAME`.

    Args:
        scenarios: the environment and its seed.
        policy_of: makes the policy; it acts as it explores (`deterministic=False`).
        episodes: how many, at least 1.
        first: index of the first scenario.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1; got {episodes}")
    seeds = episode_seeds(scenarios.seed, first + episodes)[first:]
    batch = min(scenarios.num_envs, episodes)
    env = scenarios.make(batch)
    try:
        return _Play(env, policy_of(env), seeds, first).run()
    finally:
        env.close()


class _Play:
    """B rows, each of which takes the next scenario as soon as its own has ended."""

    def __init__(self, env: VectorPlainInfo, policy: Any, seeds: Sequence[int], first: int) -> None:
        self.env, self.policy, self.seeds, self.first = env, policy, seeds, first
        self.episode = np.arange(env.num_envs)  # index that each row plays
        self.next = env.num_envs
        self.tracks: list[list[tuple[Any, ...]]] = [[] for _ in seeds]

    def run(self) -> list[EpisodeBuffer]:
        """Play all; in the order of the scenarios."""
        n = self.env.num_envs
        obs, infos = self.env.reset(seed=list(self.seeds[:n]))
        state, start = None, np.ones(n, dtype=bool)
        live = np.ones(n, dtype=bool)
        buffers: list[EpisodeBuffer | None] = [None] * len(self.seeds)
        before = [_row(infos, row) for row in range(n)]
        while live.any():
            actions, state = self.policy.predict(obs, state=state, episode_start=start, deterministic=False)
            after, reward, terminated, truncated, infos = self.env.step(actions)
            ended = terminated | truncated
            for row in np.flatnonzero(live).tolist():
                track = self.tracks[self.episode[row]]
                track.append((_row(obs, row), before[row], actions[row], reward[row], terminated[row], truncated[row]))
                before[row] = _row(infos, row)
                if ended[row]:
                    last = (_row(after, row), before[row])
                    buffers[self.episode[row]] = _buffer(self.first + self.episode[row], track, last)
                    track.clear()
            obs, start = after, ended
            if ended.any():
                obs, infos = self._begin(np.flatnonzero(ended), live)
                for row in np.flatnonzero(ended).tolist():
                    before[row] = _row(infos, row)
        assert all(buffer is not None for buffer in buffers)
        return [buffer for buffer in buffers if buffer is not None]

    def _begin(self, rows: Any, live: Any) -> tuple[Any, dict[str, Any]]:
        """Give the next scenarios to rows; those for which none is left play on unrecorded."""
        mask = np.zeros(self.env.num_envs, dtype=bool)
        mask[rows] = True
        seeds: list[int | None] = [None] * self.env.num_envs
        for row in rows.tolist():
            live[row] &= self.next < len(self.seeds)
            if live[row]:
                self.episode[row], seeds[row] = self.next, self.seeds[self.next]
                self.next += 1
        return self.env.reset(seed=seeds, options={"reset_mask": mask})


def _row(parts: dict[str, Any], row: int) -> dict[str, Any]:
    return {key: value[row] for key, value in parts.items() if not key.startswith("_")}


def _buffer(episode: int, track: list[tuple[Any, ...]], last: tuple[Any, Any]) -> EpisodeBuffer:
    """One episode as Minari keeps it."""
    observations, infos, actions, rewards, terminations, truncations = zip(*track, strict=True)
    return EpisodeBuffer(
        id=int(episode),
        observations=_stacked([*observations, last[0]]),
        actions=np.asarray(actions),
        rewards=[float(reward) for reward in rewards],
        terminations=[bool(flag) for flag in terminations],
        truncations=[bool(flag) for flag in truncations],
        infos=_stacked([*infos, last[1]]),
    )


def _stacked(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    listed = list(rows)
    return {key: np.stack([row[key] for row in listed]) for key in listed[0]}


def write_dataset(
    dataset_id: str,
    scenarios: Scenarios,
    policies: Sequence[tuple[PolicyOf, int]],
    *,
    algorithm_name: str = "",
    description: str = "",
    author: str = "stormgym",
) -> MinariDataset:
    """Play policies one after the other, each on storms of its own, and keep all in one dataset.

    Args:
        dataset_id: as Minari names datasets, `restoration/planner-v0`.
        scenarios: environment and seed.
        policies: what makes each policy, and its number of episodes.
        algorithm_name, description, author: of the dataset's metadata.

    Raises:
        ValueError: a dataset of this name exists.
    """
    buffers: list[EpisodeBuffer] = []
    for policy_of, episodes in policies:
        buffers += play_episodes(scenarios, policy_of, episodes, first=len(buffers))
    env = gym.make(spec_of(scenarios.env_id).id, **scenarios.env_kwargs)
    try:
        return minari.create_dataset_from_buffers(
            dataset_id,
            buffer=buffers,
            env=env,
            algorithm_name=algorithm_name,
            description=description,
            author=author,
        )
    finally:
        env.close()
