"""Play agents on common scenarios; keep the metrics of every episode and the time of decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.cluster import Workers
from stormgym.agents.evaluation.playing import Floats, Played, Player, Task, attribute
from stormgym.agents.moved import forward
from stormgym.agents.policy import Entrant, Maker, Policy
from stormgym.envs.making import episode_seeds, spec_of
from stormgym.envs.risk_measure import MEAN, RiskMeasure

__getattr__ = forward(__name__)


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
    measure: RiskMeasure = MEAN
    """What of the costs of episodes the limit bounds."""
    instance_name: str = ""
    """Name of the city or profile (`Core.instance_name`)."""

    @property
    def episodes(self) -> int:
        """Number of episodes E that each agent played."""
        return len(self.seeds)

    def burden_of(self, record: AgentRecord) -> float | None:
        """Mean over episodes of g(cost / limit) (`RiskMeasure`), at most 1 where an agent holds the limit; None without
        a limit."""
        limits = self.limits_of(record)
        if limits is None:
            return None
        shares = record.metrics["cost"] / limits
        return float(self.measure.g(shares, self.measure.threshold(shares)).mean())

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
    workers: Workers | None = None,
) -> Evaluation:
    """Play every agent on the same `episodes` scenarios.

    Scenario i is drawn from a seed that depends on `seed` and i alone, so that differences between agents are
    paired and no batch size changes them. An agent that draws random numbers of its own has `seed_episodes(seeds)`,
    which is called with the seed of each row before they begin; without it, it may act differently in another batch.
    One that has `episode_metrics(state, rows)` adds figures of its own to those of the environment.

    Args:
        env_id: a registered id.
        agents: name -> `Entrant`, a maker such as `Policy.for_env`, or a policy that needs no binding. A trained one is
            `Entrant(..., learned=True)`, or says `learned = True` itself; others count as heuristics, the best of which
            is what all are compared with.
        episodes: E, number of scenarios.
        seed: decides the scenarios.
        env_kwargs: arguments of the environment.
        batch_size: episodes played side by side, at most.
        latency_episodes: further episodes an agent plays alone (batch one) to time its decisions.
        on_progress: called with an agent's name and the number of episodes it has just finished: after each step, also
            with 0, or with `workers` after each batch.
        workers: actors of a Ray cluster that play the batches side by side; None plays them here. All numbers but the
            times of decisions are the same to the bit, on processors of one kind: batches are the same, and what an
            agent remembers is for the steps of one (`predict`'s state).

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
    task = Task(env_id, dict(env_kwargs or {}), rows, {name: _entrant(agent) for name, agent in agents.items()})
    batches = [seeds[first : first + rows] for first in range(0, episodes, rows)]
    timed = seeds[:latency_episodes]
    if workers is not None:
        from stormgym.agents.evaluation.ray_rollouts import play_on_cluster

        records = {
            name: _record(name, task, played, seconds)
            for name, (played, seconds) in play_on_cluster(task, batches, timed, workers, on_progress).items()
        }
    player = Player(task if workers is None else replace(task, rows=1))
    try:
        if workers is None:
            records = {name: _played_here(player, name, batches, timed, on_progress) for name in task.entrants}
        env = player.env
        limit, groups = attribute(env, "cost_limit"), attribute(env, "groups")
        limit_range = attribute(env, "cost_limit_range")
        return Evaluation(
            env_id=spec_of(env_id).id,
            seeds=seeds,
            settings={"seed": seed, "episodes": episodes, "env_kwargs": task.env_kwargs, "batch_size": rows},
            cost_limit=None if limit is None else float(limit),
            agents=records,
            group=None if groups is None else np.asarray(groups.ids),
            group_names=() if groups is None else tuple(groups.names),
            cost_limit_range=limit_range,
            measure=attribute(env, "risk_measure") or MEAN,
            instance_name=str(attribute(env, "instance_name") or ""),
        )
    finally:
        player.close()


def _entrant(agent: Entrant | Maker | Policy) -> Entrant:
    if isinstance(agent, Entrant):
        return agent
    learned = getattr(agent, "learned", False) is True
    if isinstance(agent, type) and hasattr(agent, "for_env"):
        return Entrant(agent.for_env, learned=learned)
    if hasattr(agent, "predict") and not isinstance(agent, type):
        policy = agent
        return Entrant(lambda env: policy, learned=learned)
    if callable(agent):
        return Entrant(agent)
    raise TypeError(f"an agent must be a policy (with predict) or make one from an environment; got {agent!r}")


def _played_here(
    player: Player,
    name: str,
    batches: Sequence[Sequence[int]],
    timed: Sequence[int],
    on_progress: Callable[[str, int], None] | None,
) -> AgentRecord:
    on_step = None if on_progress is None else partial(on_progress, name)
    played = [player.play(name, batch, on_step) for batch in batches]
    return _record(name, player.task, played, player.time_alone(name, timed))


def _record(name: str, task: Task, batches: Sequence[Played], single_s: Floats) -> AgentRecord:
    """What an agent's batches, in the order of the scenarios, and its decisions one by one come to."""
    entrant = task.entrants[name]
    decisions = sum(int(b.decisions.sum()) for b in batches)
    latency = Latency(
        mean_ms=1e3 * float(single_s.mean()),
        worst_ms=1e3 * float(single_s.max()),
        batched_ms=1e3 * float(sum(b.decision_s.sum() for b in batches)) / decisions,
        batch_size=task.rows,
    )
    keys = batches[0].metrics.keys()
    times = [b.times for b in batches if b.times is not None]
    limits = [b.limits for b in batches if b.limits is not None]
    return AgentRecord(
        name=name,
        metrics={key: np.concatenate([b.metrics[key] for b in batches]) for key in keys},
        latency=latency,
        learned=entrant.learned,
        privileged=batches[0].privileged,
        summary=entrant.summary,
        times=np.concatenate(times) if len(times) == len(batches) else None,
        limits=np.concatenate(limits) if len(limits) == len(batches) else None,
    )
