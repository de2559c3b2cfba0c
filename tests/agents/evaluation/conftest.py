"""What tests of evaluations share: hand-made episodes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stormgym.agents.evaluation.rollouts import AgentRecord, Evaluation, Latency

EPISODES = 60


@pytest.fixture(scope="session")
def record() -> Callable[..., AgentRecord]:
    """Makes the episodes of an agent, 60 unless `episodes` says otherwise: record(name, mean outage, gap)."""

    def make(
        name: str, mean: float, gap: float, *, episodes: int = EPISODES, times: bool = True, **kind: Any
    ) -> AgentRecord:
        rng = np.random.default_rng(7)  # common scenarios: every agent meets the same noise
        outage = mean + rng.normal(0, 4, episodes)
        gaps = np.maximum(gap + rng.normal(0, 2, episodes), 0.1)
        low, high = outage + 3, outage - 3
        return AgentRecord(
            name=name,
            metrics={
                "mean_outage_h": outage,
                "gap_h": gaps,
                "worst_group_mean_h": low,
                "group_mean_h_0": low,
                "group_mean_h_1": high,
                "p95_h": outage * 1.9,
                "gini": np.full(episodes, 0.31),
                "completed": np.ones(episodes),
                "saidi_h": outage + 1,
                "customer_hours": 1000 * outage,
                "customers_out_24h": np.full(episodes, 0.6),
                "return": -outage,
                "cost": gaps,
                "steps": np.full(episodes, 55.0),
            },
            latency=Latency(0.2, 21.0, 0.01, 32),
            times=np.abs(rng.normal(mean, mean / 2, (episodes, 6))) if times else None,
            **kind,
        )

    return make


@pytest.fixture(scope="session")
def evaluation() -> Callable[..., Evaluation]:
    """Makes an evaluation of such agents: evaluation(*records)."""

    def make(*records: AgentRecord, cost_limit: float | None = 8.0) -> Evaluation:
        episodes = records[0].metrics["cost"].size
        return Evaluation(
            env_id="Restoration-v0",
            seeds=tuple(range(100, 100 + episodes)),
            settings={"seed": 0, "episodes": episodes, "env_kwargs": {}, "batch_size": 32},
            cost_limit=cost_limit,
            agents={r.name: r for r in records},
            group=np.array([0, 0, 0, 1, 1, 1]),
            group_names=("low", "high"),
        )

    return make


@pytest.fixture
def full(record: Callable[..., AgentRecord], evaluation: Callable[..., Evaluation]) -> Evaluation:
    """An evaluation of six agents, one of them learnt, two privileged."""
    return evaluation(
        record("nearest", 52.8, 17.4),
        record("equity-planner", 43.8, 7.0),
        record("repairman", 42.5, 14.0),
        record("sta-sac/0-20250101-120000", 45.0, 7.4, learned=True),
        record("clairvoyant", 36.9, 13.0, privileged=True),
        record("clairvoyant-fair", 37.7, 7.8, privileged=True),
    )
