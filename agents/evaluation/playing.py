"""Play agents on batches of scenarios, in a vector environment; keep what their episodes came to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from stormgym.agents.binding import PrivilegeError, truth_reads
from stormgym.agents.policy import Entrant, Policy, predict_in
from stormgym.envs.making import make_batch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """What an evaluation plays: the same in every process that has a part in it."""

    env_id: str
    env_kwargs: dict[str, Any]
    rows: int
    """Episodes of a batch; a batch of fewer scenarios is filled up."""
    entrants: Mapping[str, Entrant]


class Player:
    """Plays agents of a task batch by batch, with environments and policies of its own.

    Args:
        task: what is played.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.env = make_batch(task.env_id, task.rows, task.env_kwargs)
        self.alone = make_batch(task.env_id, 1, task.env_kwargs)
        self._policies: dict[str, Policy] = {}

    def play(
        self,
        name: str,
        seeds: Sequence[int],
        on_step: Callable[[int], None] | None = None,
        on_reset: Callable[[], None] | None = None,
        on_end: Callable[[Policy, Any, NDArray[np.int64]], None] | None = None,
    ) -> Played:
        """Play an agent on at most `rows` scenarios.

        Args:
            name: of the agent.
            seeds: of the scenarios.
            on_step: called after each step with the number of episodes that ended in it.
            on_reset: called when the scenarios have been drawn, before the first step.
            on_end: called with the policy, its state and the rows whose episodes have just ended.

        Raises:
            PrivilegeError: it read what nobody can know, and does not say so.
        """
        if name not in self._policies:
            self._policies = {name: self.task.entrants[name].make(self.env)}  # one at a time: some are large
        policy = self._policies[name]
        privileged = self.task.entrants[name].privileged or bool(getattr(policy, "privileged", False))
        before = truth_reads(self.env)
        own_cost = attribute(self.env, "cost_limit") is None
        try:
            played = play(self.env, policy, list(seeds), own_cost, on_step, on_reset, on_end)
        except Exception as error:
            error.add_note(f"while agent {name!r} played {self.task.env_id}, scenarios of seeds {_span(seeds)}")
            raise
        if not privileged and truth_reads(self.env) != before:
            raise PrivilegeError(
                f"agent {name!r} read what nobody can know (env.truth, or env.process, which holds it) and does not "
                "say so. Give its class `privileged = True`, so that tables mark it, or plan on env.announced"
            )
        return replace(played, privileged=privileged)

    def time_alone(self, name: str, seeds: Sequence[int]) -> Floats:
        """Seconds of each decision of an agent that plays these scenarios one by one."""
        policy = self.task.entrants[name].make(self.alone)
        return np.concatenate([play(self.alone, policy, [seed]).decision_s for seed in seeds])

    def close(self) -> None:
        """Close the environments."""
        self.env.close()
        self.alone.close()


def _span(seeds: Sequence[int]) -> str:
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"


def attribute(env: VectorEnv[Any, Any, Any], name: str) -> Any:
    """An attribute of a native vector environment, or of a `SyncVectorEnv`'s first environment; else None."""
    inner = env.unwrapped
    envs = getattr(inner, "envs", None)
    return getattr(envs[0].unwrapped if envs else inner, name, None)


@dataclass
class Played:
    """One batch, without the rows that only fill it."""

    metrics: dict[str, Floats]
    decisions: NDArray[np.int64]
    """Decisions taken in each row of the batch, also in those that only fill it: they cost time too."""
    decision_s: Floats
    times: Floats | None = None
    limits: Floats | None = None
    privileged: bool = False


def play(
    env: VectorEnv[Any, Any, Any],
    policy: Policy,
    seeds: list[int],
    own_cost: bool = False,
    on_step: Callable[[int], None] | None = None,
    on_reset: Callable[[], None] | None = None,
    on_end: Callable[[Policy, Any, NDArray[np.int64]], None] | None = None,
) -> Played:
    """Play one episode a row; rows that ended are reset by the environment and ignored from then on.

    A policy that draws random numbers is given the seed of every row first (`seed_episodes`), so that its draws are
    those of the scenario, in whatever batch and process it is played. One with figures of its own about an episode
    (`episode_metrics(state, rows)`, called when rows have just ended) has them among the metrics. With `own_cost` a
    metric `cost` of the environment takes the place of the sum of the steps' costs. A policy whose `predict` takes
    `action_masks` is given them (`predict_in`). `on_step` is called after each step
    with the number of scenarios that ended in it, `on_reset` before the first, `on_end` with the policy, its state and
    the rows that have just ended.
    """
    n, wanted = env.num_envs, len(seeds)
    filled = seeds + [seeds[-1]] * (n - wanted)  # a short last batch repeats its last scenario
    if hasattr(policy, "seed_episodes"):
        policy.seed_episodes(filled)
    observation, _ = env.reset(seed=filled)  # type: ignore[arg-type]  # vector forms take one seed a row
    if on_reset is not None:
        on_reset()
    state: Any = None
    start, just_ended, running = np.ones(n, dtype=bool), np.zeros(n, dtype=bool), np.ones(n, dtype=bool)
    total: dict[str, Floats] = {"return": np.zeros(n), "cost": np.zeros(n), "steps": np.zeros(n)}
    metrics: dict[str, Floats] = {}
    times: Floats | None = None
    limits: Floats | None = None
    seconds: list[float] = []
    predict = predict_in(env, policy)
    while running.any():
        begin = time.perf_counter()
        action, state = predict(observation, state=state, episode_start=start, deterministic=True)
        seconds.append(time.perf_counter() - begin)
        observation, reward, terminated, truncated, infos = env.step(action)
        total["return"] += np.where(running, reward, 0.0)
        total["cost"] += np.where(running, _costs(infos, running), 0.0)
        total["steps"] += running
        ended = np.asarray(terminated) | np.asarray(truncated)
        last = running & ended
        if last.any():
            for key, values in _final_metrics(infos, last).items():
                metrics.setdefault(key, np.full(n, np.nan))[last] = values[last]
            rows = np.flatnonzero(last)
            if hasattr(policy, "episode_metrics"):
                for key, values in policy.episode_metrics(state, rows).items():
                    metrics.setdefault(key, np.full(n, np.nan))[rows] = values
            if on_end is not None:
                on_end(policy, state, rows)
            hours = _times_h(env, rows)
            if hours is not None:
                times = np.full((n, hours.shape[1]), np.nan) if times is None else times
                times[rows] = hours
            if "cost_limit" in infos:
                limits = np.full(n, np.nan) if limits is None else limits
                limits[rows] = np.asarray(infos["cost_limit"], dtype=np.float64)[rows]
        start = just_ended  # NEXT_STEP: a row that ended one step ago was reset in this one
        just_ended = ended
        running &= ~ended
        if on_step is not None:
            on_step(int(last[:wanted].sum()))
    steps = total["steps"].astype(np.int64)
    if own_cost and "cost" in metrics:
        del total["cost"]
    kept = {key: values[:wanted] for key, values in {**metrics, **total}.items()}
    return Played(
        metrics=kept,
        decisions=steps,
        decision_s=np.asarray(seconds),
        times=None if times is None else times[:wanted],
        limits=None if limits is None else limits[:wanted],
    )


def _times_h(env: VectorEnv[Any, Any, Any], rows: NDArray[np.int64]) -> Floats | None:
    """Hours until each region had power `[len(rows), N]` of rows that have just ended, where the environment tells."""
    read = getattr(env.unwrapped, "times_h", None)
    return None if read is None else read(rows)


def _costs(infos: Mapping[str, Any], running: NDArray[np.bool_]) -> Floats:
    given = np.asarray(infos.get("_cost", "cost" in infos)) & np.ones_like(running)
    if not given[running].all():
        raise KeyError(f"the environment must put 'cost' into info at every step; found {sorted(infos)}")
    return np.asarray(infos["cost"], dtype=np.float64)


def _final_metrics(infos: Mapping[str, Any], last: NDArray[np.bool_]) -> dict[str, Floats]:
    given = np.asarray(infos.get("_metrics", np.zeros_like(last)))
    if not given[last].all():
        raise KeyError(f"the environment must put 'metrics' into info when an episode ends; found {sorted(infos)}")
    return {
        key: np.asarray(values, dtype=np.float64) for key, values in infos["metrics"].items() if not key.startswith("_")
    }
