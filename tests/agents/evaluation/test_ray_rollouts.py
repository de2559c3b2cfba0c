"""Evaluations in actors of a Ray cluster: the same numbers to the bit, also when actors die."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from rich.console import Console

from stormgym.agents.binding import PrivilegeError
from stormgym.agents.cluster import Workers
from stormgym.agents.evaluation.command import run_evaluation
from stormgym.agents.evaluation.rollouts import AgentRecord, evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.policy import Entrant
from stormgym.agents.rules import RandomPolicy

CITY = {"city": "synthetic:6:1", "cost_limit": 8.0}
TWO = Workers(2, on_ray=True)
AGENTS = {
    "Restoration-v0": (CITY, "random,request-volume,equity-planner,clairvoyant,sta-sac:any-limit,sta-sac:any-limit@3"),
    "GeneratorDispatch-v0": ({}, "online-greedy,oracle-dispatch"),
    "PowerScheduling-v0": ({}, "usual"),
}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)
    yield
    ray.shutdown()


def check_equal(one: AgentRecord, other: AgentRecord) -> None:
    assert one.metrics.keys() == other.metrics.keys()
    for name, values in one.metrics.items():
        np.testing.assert_array_equal(values, other.metrics[name], err_msg=f"{one.name}: {name}", strict=True)
    for values, others in ((one.times, other.times), (one.limits, other.limits)):
        assert (values is None) == (others is None)
        if values is not None:
            np.testing.assert_array_equal(values, others, strict=True)
    assert (one.learned, one.privileged, one.summary) == (other.learned, other.privileged, other.summary)


@pytest.mark.slow
@pytest.mark.parametrize("env_id", AGENTS)
def test_cluster__gives_the_numbers_of_one_process_to_the_bit(env_id: str) -> None:
    arguments, names = AGENTS[env_id]
    entrants = resolve_agents(names, env_id)
    given: dict[str, Any] = {"episodes": 13, "env_kwargs": arguments, "batch_size": 4, "latency_episodes": 1}
    here = evaluate(env_id, entrants, **given)
    told: list[tuple[str, int]] = []
    there = evaluate(env_id, entrants, **given, workers=TWO, on_progress=lambda name, n: told.append((name, n)))
    assert list(here.agents) == list(there.agents)
    for name, record in here.agents.items():
        check_equal(record, there.agents[name])
        assert sum(n for agent, n in told if agent == name) == 13
        assert there.agents[name].latency.mean_ms > 0
    assert (here.seeds, here.settings, here.cost_limit) == (there.seeds, there.settings, there.cost_limit)
    assert here.group_names == there.group_names


def test_random__is_a_function_of_the_scenario() -> None:
    entrants = {"random": RandomPolicy}
    costs = [
        evaluate("Restoration-v0", entrants, episodes=8, batch_size=size, env_kwargs=CITY).agents["random"].metrics
        for size in (3, 8)
    ]
    np.testing.assert_array_equal(costs[0]["return"], costs[1]["return"])
    assert len(set(costs[0]["return"])) == 8


def test_killed__is_played_again_and_counted_once(tmp_path: Path) -> None:
    marker = str(tmp_path / "killed")

    class Cursed(RandomPolicy):
        def key(self, observation: Any) -> Any:
            if not os.path.exists(marker):
                with open(marker, "x"):
                    os.kill(os.getpid(), signal.SIGKILL)
            return super().key(observation)

    told: list[int] = []
    given: dict[str, Any] = {"episodes": 12, "env_kwargs": CITY, "batch_size": 3}
    there = evaluate(
        "Restoration-v0",
        {"it": Entrant(lambda env: Cursed())},
        workers=TWO,
        on_progress=lambda name, n: told.append(n),
        **given,
    )
    assert os.path.exists(marker)
    assert told == [3, 3, 3, 3]
    here = evaluate("Restoration-v0", {"it": Entrant(lambda env: RandomPolicy())}, **given)
    check_equal(here.agents["it"], there.agents["it"])


def test_errors__of_agents_are_what_they_are_in_one_process() -> None:
    class Peeking(RandomPolicy):
        def __init__(self, env: Any) -> None:
            super().__init__()
            self.env = env

        def key(self, observation: Any) -> Any:
            assert self.env.unwrapped.truth is not None
            return super().key(observation)

    def fail(env: Any) -> Any:
        raise ZeroDivisionError("no such number")

    given: dict[str, Any] = {"episodes": 2, "env_kwargs": CITY, "workers": TWO}
    with pytest.raises(PrivilegeError, match="'it' read what nobody can know"):
        evaluate("Restoration-v0", {"it": lambda env: Peeking(env)}, **given)
    with pytest.raises(ZeroDivisionError, match="no such number"):
        evaluate("Restoration-v0", {"it": fail}, **given)


@pytest.mark.slow
def test_command__plays_on_a_cluster(tmp_path: Path) -> None:
    def of(workers: str | None) -> Any:
        return run_evaluation(
            env_id="Restoration-v0",
            agents="nearest,random",
            episodes=6,
            seed=1,
            env_kwargs=CITY,
            batch_size=2,
            workers=workers,
            console=Console(file=open(os.devnull, "w")),
        )

    here, there = of(None)["agents"], of("ray:2")["agents"]
    assert here["random"]["gap_h"] == there["random"]["gap_h"]
    assert here["nearest"]["mean_outage_h"] == there["nearest"]["mean_outage_h"]
