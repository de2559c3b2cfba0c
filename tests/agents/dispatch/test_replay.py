"""Replays of GeneratorDispatch-v0: days, generators and who is left, from the process's own counts."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.dispatch.replay import DispatchRecorder


@pytest.mark.parametrize("action", ["units", "blocks"])
def test_replay__days_add_up_to_the_metrics(action: str) -> None:
    env = gym.make("GeneratorDispatch-v0", profile="synthetic:4:0", action=action)
    _, info = env.reset(seed=1)
    core: Any = env.unwrapped.core  # type: ignore[attr-defined]
    recorder, rng, over = DispatchRecorder(core), np.random.default_rng(0), False
    p = core.profile
    served = [np.zeros(4)]
    while not over:
        choice = rng.choice(np.flatnonzero(info["action_mask"])) if action == "blocks" else rng.integers(0, core.most)
        before = int(core.process.day[0])
        _, _, over, _, info = env.step(choice)
        recorder.step(core)
        if core.process.day[0] > before and not over:
            served.append(core.process.stock[0].copy())  # on the last day they have gone home again
    recorder.end(core)
    times = DispatchRecorder.times_of([recorder])
    assert times.tolist() == list(range(p.n_periods + 1))
    assert DispatchRecorder.labels_of([recorder], times)[-1] == f"day {p.n_periods}"
    told = recorder.replay(times)
    assert told.count is not None
    assert told.level is not None
    assert (told.count[:-1] == np.array(served)).all()
    out = core.process.out[0]
    dark = np.maximum(out - p.customers_per_generator * told.count, 0.0)
    assert told.level == pytest.approx(np.clip(dark / p.population, 0, 1))
    metrics = core.metrics(slice(None))
    assert told.waits @ p.population / p.population.sum() == pytest.approx(metrics["saidi"][0])
    by_group = np.sum([curve.values[1:].sum() for curve in told.curves if curve.group is not None])
    assert by_group == pytest.approx(metrics["unserved"][0])
    assert told.curves[0].values == pytest.approx(out.sum(axis=1))
    if action == "units":
        assert told.count[1:].sum() * p.operating_cost == pytest.approx(metrics["operating_cost"][0])
