"""Replays of Undergrounding-v0: choices, the season's storm and the worst of its set, as the metrics have them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.undergrounding.replay import AFTER, BURIED, CREW, OVERHEAD, UndergroundingRecorder


def play(choices: list[int], seed: int = 0) -> tuple[UndergroundingRecorder, Any]:
    """One season in which these regions are buried, as far as money goes, and then planning stops."""
    env = gym.make("Undergrounding-v0", profile="synthetic:6:0", budget=100_000.0)
    env.reset(seed=seed)
    core: Any = env.unwrapped.core  # type: ignore[attr-defined]
    recorder, over = UndergroundingRecorder(core), False
    for choice in [*choices, 6]:
        if not over:
            _, _, over, _, _ = env.step(choice)
            recorder.step(core)
    assert over
    recorder.end(core)
    return recorder, core


def test_replay__of_storms_is_what_the_metrics_say() -> None:
    recorder, core = play([2, 4])
    p, process, metrics = core.profile, core.process, core.metrics(slice(None))
    times = UndergroundingRecorder.times_of([recorder])
    told = recorder.replay(times)
    assert UndergroundingRecorder.labels_of([recorder], times) == ["nothing buried", "choice 1", "choice 2", *AFTER]
    everybody = told.curves[0].values
    assert everybody[0] == pytest.approx(process.forecast.mean[0] @ p.population / p.population.sum())
    assert everybody[4] == pytest.approx(metrics["saidi_h"][0])
    assert everybody[6] == pytest.approx(metrics["worst_saidi_h"][0])
    assert told.waits == pytest.approx(process.unserved_h(slice(None))[0])
    assert told.state is not None
    assert told.state[0].tolist() == [OVERHEAD] * 6
    assert np.flatnonzero(told.state[1] == BURIED).tolist() == [2]
    assert np.flatnonzero(told.state[2] == BURIED).tolist() == [2, 4]
    assert (told.state[4] == CREW).sum() == metrics["crews_sent"][0]
    assert told.level is not None
    assert (told.level[2, [2, 4]] == 0).all()
    assert ((told.level >= 0) & (told.level <= 1)).all()


def test_replay__who_buries_less_waits_for_the_others() -> None:
    few, _ = play([])
    many, core = play([0, 1, 3])
    times = UndergroundingRecorder.times_of([few, many])
    assert len(times) == int(core.process.protected[0].sum()) + 1 + len(AFTER)
    told = few.replay(times)
    assert told.state is not None
    assert (told.state[: -len(AFTER)] == OVERHEAD).all()
