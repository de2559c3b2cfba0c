"""Play agents on common scenarios; keep the metrics of every episode and the time of decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from stormgym.agents.binding import PrivilegeError, truth_reads
from stormgym.agents.evaluation.playing import Floats, Played, attribute, closing, play
from stormgym.agents.moved import forward
from stormgym.agents.policy import Entrant, Maker, Policy
from stormgym.envs.making import episode_seeds, make_batch, spec_of

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
    with closing(make_batch(env_id, rows, kwargs)) as env, closing(make_batch(env_id, 1, kwargs)) as alone:
        records = {
            name: _record(name, _entrant(agent), env, alone, seeds, latency_episodes, on_progress)
            for name, agent in agents.items()
        }
        limit, groups = attribute(env, "cost_limit"), attribute(env, "groups")
        limit_range = attribute(env, "cost_limit_range")
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
    own_cost = attribute(env, "cost_limit") is None
    allowed = entrant.privileged or bool(getattr(policy, "privileged", False))
    batches: list[Played] = []
    for first in range(0, len(seeds), env.num_envs):
        batch = list(seeds[first : first + env.num_envs])
        batches.append(play(env, policy, batch, own_cost))
        if not allowed and truth_reads(env) != before:
            raise PrivilegeError(
                f"agent {name!r} read what nobody can know (env.truth, or env.process, which holds it) and does not "
                "say so. Give its class `privileged = True`, so that tables mark it, or plan on env.announced"
            )
        if on_progress is not None:
            on_progress(name, len(batch))
    solo = entrant.make(alone)
    single = [play(alone, solo, [s]).decision_s for s in seeds[:latency_episodes]]
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
