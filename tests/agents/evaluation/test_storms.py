"""Storms kept for replay: which ones, and that a replay is the episode of the evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stormgym.agents.evaluation.rollouts import Evaluation, evaluate
from stormgym.agents.evaluation.storms import MOST_STORMS, chosen_storms, record_storms
from stormgym.agents.evaluation.summary import summarise
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.registry import DOMAINS

WITH_REPLAY = [env_id for env_id, domain in DOMAINS.items() if domain.replay is not None]
FIRST = {
    "Restoration-v0": "nearest,random,clairvoyant",
    "CrewDispatch-v0": "nearest,list-rho",
    "GeneratorDispatch-v0": "do-nothing,online-greedy",
    "Undergrounding-v0": "bury-nothing,loss-per-cost",
}


def played(env_id: str, episodes: int = 6) -> tuple[dict[str, Any], dict[str, Any]]:
    """The summary of a small evaluation, and its storms."""
    entrants = resolve_agents(FIRST[env_id], env_id)
    evaluation = evaluate(env_id, entrants, episodes=episodes, env_kwargs=DOMAINS[env_id].small, batch_size=4)
    summary = summarise(evaluation)
    told = record_storms(evaluation, summary, entrants, 3)
    assert told is not None
    return summary, told


@pytest.mark.parametrize("env_id", WITH_REPLAY)
def test_storms__are_the_episodes_of_the_evaluation(env_id: str) -> None:
    summary, told = played(env_id)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    n_places = len(told["scene"]["places"])
    for storm in told["storms"]:
        n_frames = len(storm["times"])
        assert len(storm["labels"]) == n_frames
        assert np.all(np.diff(storm["times"]) > 0)
        assert list(storm["agents"]) == list(summary["agents"])
        for name, replay in storm["agents"].items():
            episode = summary["agents"][name]["episodes"][storm["episode"]]
            assert storm["seed"] == episode["seed"]
            # rounding of sums depends on the size of a batch
            assert {key: episode[key] for key in replay["metrics"]} == pytest.approx(replay["metrics"], rel=1e-9)
            assert len(replay["waits"]) == n_places
            assert all(len(curve["y"]) == n_frames for curve in replay["curves"])
            assert all(len(v["x"]) == len(v["y"]) == n_frames for v in replay["vehicles"])
            assert replay["state"] is None or len(replay["state"]) == n_places
            assert replay["level"] is None or np.shape(replay["level"]) == (n_frames, n_places)
            assert replay["count"] is None or np.shape(replay["count"]) == (n_frames, n_places)


def test_storms__none_where_the_domain_tells_no_replay(full: Evaluation) -> None:
    env_id = next(env_id for env_id, domain in DOMAINS.items() if domain.replay is None)
    assert record_storms(full, {"env": env_id}, {}) is None
    with pytest.raises(ValueError, match=f"from 1 to {MOST_STORMS}; got 0"):
        record_storms(full, {"env": env_id}, {}, 0)


def test_chosen__are_the_worst_the_usual_the_widest_and_the_mildest(full: Evaluation) -> None:
    summary = summarise(full)
    chosen = chosen_storms(summary, 5)
    episodes = summary["agents"]["equity-planner"]["episodes"]  # the best heuristic
    outage = np.array([episode["mean_outage_h"] for episode in episodes])
    gaps = np.array([episode["gap_h"] for episode in episodes])
    assert list(chosen)[:4] == [
        outage.argmax(),
        list(outage).index(np.sort(outage)[29]),
        gaps.argmax(),
        outage.argmin(),
    ]
    assert chosen[int(outage.argmax())].startswith(f"the worst for equity-planner: mean outage {outage.max():.2f} h")
    assert len(chosen_storms(summary, 100)) == 60
    assert len(chosen_storms(summary, 1)) == 1


def test_chosen__of_one_episode_is_that_one(evaluation: Callable[..., Evaluation], record: Callable[..., Any]) -> None:
    assert list(chosen_storms(summarise(evaluation(record("nearest", 50, 9, episodes=1))), 5)) == [0]
