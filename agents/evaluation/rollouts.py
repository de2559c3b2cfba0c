"""Play agents on common scenarios; keep the metrics of every episode and the time of decisions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from stormgym.agents.binding import PrivilegeError, truth_reads
from stormgym.agents.moved import forward
from stormgym.agents.policy import Entrant, Maker, Policy
from stormgym.envs.making import episode_seeds, make_batch, spec_of

__getattr__ = forward(__name__)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Latency:
    """Wall time of decisions in milliseconds; planning at the start of an episode counts."""

    mean_ms: float
    """Mean of a decision at batch one."""
    worst_ms: float
    """Slowest single decision at batch one: for a planner, the one that makes the plan."""
    batched_ms: float
    """Mean time of a decision when `batch_size` episodes are played in one batch: time of the batch over its rows."""
    batch_size: int


@dataclass(frozen=True)
class AgentRecord:
    """Results of one agent: every metric of every episode, and its latency."""

    name: str
    metrics: dict[str, Floats]
    """Metric name -> `[E]`: the environment's `metrics` and `return`, `cost`, `steps`.

    `cost` is the sum of the steps' costs, which a limit bounds; where there is no limit, and the environment has a
    metric of this name (what a decision cost), it is that one.
    """
    latency: Latency
    learned: bool = False
    privileged: bool = False
    summary: str = ""
    times: Floats | None = None
    """`[E, N]` hours until each region had power; None where the environment has no `times_h`."""
    limits: Floats | None = None
    """`[E]` limit of each episode on its cost; None where infos hold no `cost_limit`."""


@dataclass(frozen=True)
class Evaluation:
    """Results of several agents on the same E scenarios of one environment (`evaluate`)."""

    env_id: str
    seeds: tuple[int, ...]
    """The seed of each of the E episodes."""
    settings: dict[str, Any]
    """What decides the scenarios: `seed`, `episodes`, `env_kwargs`; and the batch size."""
    cost_limit: float | None
    agents: dict[str, AgentRecord]
    group: NDArray[np.int64] | None = None
    group_names: tuple[str, ...] = ()
    """Group of each region `[N]` and the groups' names, where the environment has groups (`Core.groups`)."""
    cost_limit_range: tuple[float, float] | None = None
    """Range from which each episode drew its limit (`cost_limit` is its middle); None where all have the same."""

    @property
    def episodes(self) -> int:
        """Number of episodes E that each agent played."""
        return len(self.seeds)

    def limits_of(self, record: AgentRecord) -> Floats | None:
        """The limit of each episode `[E]` on its cost; None without a limit."""
        if self.cost_limit is None:
            return None
        if self.cost_limit_range is None:
            return np.full(self.episodes, self.cost_limit)
        return record.limits


def evaluate(
    env_id: str,
    agents: Mapping[str, Entrant | Maker | Policy],
    *,
    episodes: int = 100,
    seed: int = 0,
    env_kwargs: Mapping[str, Any] | None = None,
    batch_size: int = 64,
    latency_episodes: int = 2,
    on_progress: Callable[[str, int], None] | None = None,
) -> Evaluation:
    """Play every agent on the same `episodes` scenarios.

    Scenario i is drawn from a seed that depends on `seed` and i alone, so that differences between agents are
    paired and no batch size changes them. An agent that draws random numbers of its own may still act
    differently in another batch.

    Args:
        env_id: a registered id.
        agents: name -> `Entrant`, a maker such as `Policy.for_env`, or a policy that needs no binding.
        episodes: E, number of scenarios.
        seed: decides the scenarios.
        env_kwargs: arguments of the environment.
        batch_size: episodes played side by side, at most.
        latency_episodes: further episodes an agent plays alone (batch one) to time its decisions.
        on_progress: called with an agent's name and the number of episodes it has just finished.

    Raises:
        ValueError: fewer than one episode, batch row or agent.
        KeyError: the environment gives no `cost`, or no `metrics` at the end of an episode.
        PrivilegeError: an agent read `env.truth` without saying `privileged = True`.
    """
    for name, value in {
        "episodes": episodes,
        "batch_size": batch_size,
        "latency_episodes": latency_episodes,
    }.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}")
    if not agents:
        raise ValueError("no agent to evaluate; name at least one")
    seeds = episode_seeds(seed, episodes)
    n_batches = -(-episodes // min(batch_size, episodes))
    rows = -(-episodes // n_batches)  # batches of equal size: the last one repeats few scenarios
    kwargs = dict(env_kwargs or {})
    with _closing(make_batch(env_id, rows, kwargs)) as env, _closing(make_batch(env_id, 1, kwargs)) as alone:
        records = {
            name: _record(name, _entrant(agent), env, alone, seeds, latency_episodes, on_progress)
            for name, agent in agents.items()
        }
        limit, groups = _attribute(env, "cost_limit"), _attribute(env, "groups")
        limit_range = _attribute(env, "cost_limit_range")
        return Evaluation(
            env_id=spec_of(env_id).id,
            seeds=seeds,
            settings={"seed": seed, "episodes": episodes, "env_kwargs": kwargs, "batch_size": rows},
            cost_limit=None if limit is None else float(limit),
            agents=records,
            group=None if groups is None else np.asarray(groups.ids),
            group_names=() if groups is None else tuple(groups.names),
            cost_limit_range=limit_range,
        )


class _closing:
    """Close an environment at the end of a block."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        self.env = env

    def __enter__(self) -> VectorEnv[Any, Any, Any]:
        return self.env

    def __exit__(self, *exc: object) -> None:
        self.env.close()


def _attribute(env: VectorEnv[Any, Any, Any], name: str) -> Any:
    """An attribute of a native vector environment, or of a `SyncVectorEnv`'s first environment; else None."""
    inner = env.unwrapped
    envs = getattr(inner, "envs", None)
    return getattr(envs[0].unwrapped if envs else inner, name, None)


def _entrant(agent: Entrant | Maker | Policy) -> Entrant:
    if isinstance(agent, Entrant):
        return agent
    if isinstance(agent, type) and hasattr(agent, "for_env"):
        return Entrant(agent.for_env)
    if hasattr(agent, "predict") and not isinstance(agent, type):
        policy = agent
        return Entrant(lambda env: policy)
    if callable(agent):
        return Entrant(agent)
    raise TypeError(f"an agent must be a policy (with predict) or make one from an environment; got {agent!r}")


def _record(
    name: str,
    entrant: Entrant,
    env: VectorEnv[Any, Any, Any],
    alone: VectorEnv[Any, Any, Any],
    seeds: Sequence[int],
    latency_episodes: int,
    on_progress: Callable[[str, int], None] | None,
) -> AgentRecord:
    before = truth_reads(env)
    policy = entrant.make(env)
    own_cost = _attribute(env, "cost_limit") is None
    allowed = entrant.privileged or bool(getattr(policy, "privileged", False))
    batches: list[_Played] = []
    for first in range(0, len(seeds), env.num_envs):
        batch = list(seeds[first : first + env.num_envs])
        batches.append(_play(env, policy, batch, own_cost))
        if not allowed and truth_reads(env) != before:
            raise PrivilegeError(
                f"agent {name!r} read what nobody can know (env.truth, or env.process, which holds it) and does not "
                "say so. Give its class `privileged = True`, so that tables mark it, or plan on env.announced"
            )
        if on_progress is not None:
            on_progress(name, len(batch))
    solo = entrant.make(alone)
    single = [_play(alone, solo, [s]).decision_s for s in seeds[:latency_episodes]]
    single_s = np.concatenate(single)
    decisions = sum(int(b.decisions.sum()) for b in batches)
    latency = Latency(
        mean_ms=1e3 * float(single_s.mean()),
        worst_ms=1e3 * float(single_s.max()),
        batched_ms=1e3 * float(sum(b.decision_s.sum() for b in batches)) / decisions,
        batch_size=env.num_envs,
    )
    keys = batches[0].metrics.keys()
    times = [b.times for b in batches if b.times is not None]
    limits = [b.limits for b in batches if b.limits is not None]
    return AgentRecord(
        name=name,
        metrics={key: np.concatenate([b.metrics[key] for b in batches]) for key in keys},
        latency=latency,
        learned=entrant.learned,
        privileged=allowed,
        summary=entrant.summary,
        times=np.concatenate(times) if len(times) == len(batches) else None,
        limits=np.concatenate(limits) if len(limits) == len(batches) else None,
    )


@dataclass
class _Played:
    """One batch, without the rows that only fill it."""

    metrics: dict[str, Floats]
    decisions: NDArray[np.int64]
    """Decisions taken in each row of the batch, also in those that only fill it: they cost time too."""
    decision_s: Floats
    times: Floats | None = None
    limits: Floats | None = None


def _play(env: VectorEnv[Any, Any, Any], policy: Policy, seeds: list[int], own_cost: bool = False) -> _Played:
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
    return _Played(
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
