"""Datasets of an environment: what a random policy, today's practice, a planner and the best planner play, and a mix.

Which agents these are, the environment's domain says (`Domain.demonstrators`). Episodes are drawn from the half of the
records that training has where an environment has halves (`split="train"`), so that what is learnt from them is scored
on others. A card beside each dataset says what is in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minari
import numpy as np
from gymnasium import spaces
from minari import MinariDataset
from numpy.typing import NDArray

from stormgym.agents.files import write_atomically
from stormgym.agents.lineup import make_policy
from stormgym.agents.policy import BasePolicy, Policy
from stormgym.agents.registry import domain_of, plain_id
from stormgym.agents.versions import package_versions
from stormgym.envs.adapters.minari import PolicyOf, Scenarios, write_dataset
from stormgym.envs.arrays import Bools, Observation

RANDOM, MIXED = "random", "mixed"
KINDS = (RANDOM, "status-quo", "planner", "expert", MIXED)
"""Kinds of datasets: uniform open choices; today's practice; a simple planner; the best that needs no training; a mix
of all four in equal parts."""
CARD = "card"


class RandomActions(BasePolicy):
    """Random actions of every kind: open choices uniformly, numbers near what is usual or between their bounds.

    Args:
        env: the vector environment.
        seed: of its own generator.
    """

    name = RANDOM

    def __init__(self, env: Any, *, seed: int = 0) -> None:
        self.space = env.single_action_space
        self.usual = getattr(env.unwrapped, "usual_action", None)
        self._rng = np.random.default_rng(seed)

    def act(self, observation: Observation, state: Any, episode_start: Bools, deterministic: bool) -> tuple[Any, Any]:
        """An action each."""
        del episode_start, deterministic
        mask = np.asarray(observation["action_mask"]) > 0
        if isinstance(self.space, spaces.Box):
            return self._numbers(len(mask)), state
        sizes = self.space.nvec if isinstance(self.space, spaces.MultiDiscrete) else [mask.shape[1]]
        parts = np.split(np.where(mask, self._rng.random(mask.shape), -1.0), np.cumsum(sizes)[:-1], axis=1)
        choices = np.stack([part.argmax(axis=1) for part in parts], axis=1)
        return (choices if isinstance(self.space, spaces.MultiDiscrete) else choices[:, 0]), state

    def _numbers(self, n: int) -> NDArray[Any]:
        low, high = self.space.low.astype(np.float64), self.space.high.astype(np.float64)
        if self.usual is None:
            drawn = low + self._rng.random((n, *low.shape)) * (high - low)
        else:
            centre, spread = np.asarray(self.usual)
            drawn = np.clip(centre + 2.0 * spread * self._rng.standard_normal((n, *low.shape)), low, high)
        return drawn.astype(self.space.dtype)


@dataclass(frozen=True)
class DatasetSpec:
    """What decides a dataset."""

    env_id: str
    kind: str
    """One of `KINDS`."""
    episodes: int = 500
    seed: int = 0
    env_kwargs: Mapping[str, Any] | None = None

    @property
    def dataset_id(self) -> str:
        """Its name: `restoration/expert-v0`."""
        return f"{plain_id(self.env_id).rpartition('-')[0].lower()}/{self.kind}-v0"

    @property
    def makers(self) -> dict[str, PolicyOf]:
        """What makes each policy of the dataset, by its agent's name.

        Raises:
            ValueError: an unknown kind, or an environment that names no agents for it.
        """
        named = {RANDOM: RANDOM, **domain_of(self.env_id).demonstrators}
        wanted = list(named) if self.kind == MIXED else [self.kind]
        lacking = [kind for kind in wanted if kind not in named]
        if self.kind not in KINDS or lacking:
            able = ", ".join([*named, MIXED])
            raise ValueError(f"kind must be one of {able} for {self.env_id}; got {self.kind!r}")
        return {named[kind]: _maker(named[kind], self.seed) for kind in wanted}


def _maker(agent: str, seed: int) -> PolicyOf:
    def make(env: Any) -> Policy:
        return RandomActions(env, seed=seed) if agent == RANDOM else make_policy(agent, env.unwrapped)

    return make


def make_dataset(spec: DatasetSpec, on_policy: Callable[[str], None] = lambda name: None) -> MinariDataset:
    """Play and write a dataset with its card; one of that name is replaced.

    Args:
        spec: what it holds.
        on_policy: called with the name of each agent before it plays.
    """
    makers = spec.makers
    shares = [spec.episodes // len(makers) + (i < spec.episodes % len(makers)) for i in range(len(makers))]
    if min(shares) < 1:
        raise ValueError(f"episodes must be at least {len(makers)}, one for each policy; got {spec.episodes}")

    def told(name: str, make: PolicyOf) -> PolicyOf:
        def wrapped(env: Any) -> Any:
            on_policy(name)
            return make(env)

        return wrapped

    if spec.dataset_id in minari.list_local_datasets():
        minari.delete_dataset(spec.dataset_id)
    dataset = write_dataset(
        spec.dataset_id,
        Scenarios(spec.env_id, dict(spec.env_kwargs or {}), seed=spec.seed),
        [(told(name, make), n) for (name, make), n in zip(makers.items(), shares, strict=True)],
        algorithm_name=", ".join(makers),
        description=f"{spec.kind} episodes of {spec.env_id}, with costs, masks and metrics",
    )
    write_card(spec, dataset, dict(zip(makers, shares, strict=True)))
    return dataset


def folder_of(dataset: MinariDataset) -> Path:
    """Where a dataset is kept."""
    return Path(dataset.storage.data_path).parent


def figures_of(dataset: MinariDataset) -> dict[str, float]:
    """Mean return, mean cost and their spread, mean metrics, and the share of episodes over their limit."""
    rows = []
    for episode in dataset.iterate_episodes():
        infos = episode.infos
        row = {"return": float(np.sum(episode.rewards)), "cost": float(infos["episode_cost"][-1])}
        row["steps"] = float(len(episode.rewards))
        if "cost_limit" in infos:
            row["over_limit_share"] = float(row["cost"] > infos["cost_limit"][-1])
        row |= {name.removeprefix("metric_"): float(v[-1]) for name, v in infos.items() if name.startswith("metric_")}
        rows.append(row)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def write_card(spec: DatasetSpec, dataset: MinariDataset, episodes: Mapping[str, int]) -> Path:
    """`card.json` and `card.md` in the dataset's folder: what it holds, how it was made, what it is not good for."""
    figures = figures_of(dataset)
    card = {
        "dataset": spec.dataset_id,
        "environment": plain_id(spec.env_id),
        "env_kwargs": dict(spec.env_kwargs or {}),
        "kind": spec.kind,
        "episodes_by_policy": dict(episodes),
        "episodes": int(dataset.total_episodes),
        "transitions": int(dataset.total_steps),
        "seed": spec.seed,
        "means": figures,
        "observation": sorted(dataset.observation_space.spaces),
        "infos": sorted(dataset[0].infos or {}),
        "versions": package_versions(),
        "licence": "that of the data behind the environment's arguments; of the synthetic defaults, MIT",
    }
    folder = folder_of(dataset)
    write_atomically(folder / f"{CARD}.json", json.dumps(card, indent=1) + "\n")
    by_policy = ", ".join(f"{name} {n:,}" for name, n in episodes.items())
    table = "\n".join(f"| {name} | {value:,.4g} |" for name, value in figures.items())
    text = f"""# {spec.dataset_id}

{dataset.total_episodes:,} episodes, {dataset.total_steps:,} transitions of {plain_id(spec.env_id)} with
{json.dumps(card["env_kwargs"])}, seed {spec.seed}. Episodes by policy: {by_policy}.
Scenario i of the seed is episode i.

| mean over episodes | |
| --- | --- |
{table}

- Observations hold `action_mask`; infos `cost`, `episode_cost`, `cost_limit` where there is one, `episode_end` and
  `metric_NAME`, 0 until the end. Infos have one entry more than actions: that of the reset.
- Policies act as they explore; planners repeat themselves, so their episodes differ by the storm alone, and say nothing
  of what other choices would have brought.
- Synthetic cities and storms are calibrated to published figures and are no record of a real place.
"""
    return write_atomically(folder / f"{CARD}.md", text)


def spec_of_dataset(dataset: MinariDataset) -> DatasetSpec:
    """What decided a dataset, from its card.

    Raises:
        FileNotFoundError: it has none: another command made it.
    """
    file = folder_of(dataset) / f"{CARD}.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: make the dataset with python -m stormgym.agents.offline make")
    card = json.loads(file.read_text(encoding="utf-8"))
    return DatasetSpec(card["environment"], card["kind"], card["episodes"], card["seed"], card["env_kwargs"])
