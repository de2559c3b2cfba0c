"""Play one agent on one batch of scenarios, in a vector environment; keep what its episodes came to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from stormgym.agents.policy import Policy

Floats = NDArray[np.float64]


class closing:
    """Close an environment at the end of a block."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        self.env = env

    def __enter__(self) -> VectorEnv[Any, Any, Any]:
        return self.env

    def __exit__(self, *exc: object) -> None:
        self.env.close()


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


def play(env: VectorEnv[Any, Any, Any], policy: Policy, seeds: list[int], own_cost: bool = False) -> Played:
    """Play one episode a row; rows that ended are reset by the environment and ignored from then on.

    With `own_cost` a metric `cost` of the environment takes the place of the sum of the steps' costs.
    """
    n, wanted = env.num_envs, len(seeds)
    filled = seeds + [seeds[-1]] * (n - wanted)  # a short last batch repeats its last scenario
    observation, _ = env.reset(seed=filled)  # type: ignore[arg-type]  # vector forms take one seed a row
    state: Any = None
    start, just_ended, running = np.ones(n, dtype=bool), np.zeros(n, dtype=bool), np.ones(n, dtype=bool)
    total: dict[str, Floats] = {"return": np.zeros(n), "cost": np.zeros(n), "steps": np.zeros(n)}
    metrics: dict[str, Floats] = {}
    times: Floats | None = None
    limits: Floats | None = None
    seconds: list[float] = []
    while running.any():
        begin = time.perf_counter()
        action, state = policy.predict(observation, state=state, episode_start=start, deterministic=True)
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
