"""Replays of Restoration-v0: states, shares and the crew's way are those of the episode."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.restoration.replay import AT_WORK, DARK, RESTORED, RestorationRecorder
from stormgym.envs.restoration.core import RestorationCore
from stormgym.envs.restoration.process import WASTED_H


def play(choices: list[int], **kwargs: object) -> tuple[RestorationRecorder, RestorationCore]:
    """One episode in which the crew takes these regions in turn."""
    env = gym.make("Restoration-v0", city="synthetic:6:1", predictor="none", **kwargs)
    env.reset(seed=3)
    core = env.unwrapped.core  # type: ignore[attr-defined]
    recorder = RestorationRecorder(core)
    for choice in choices:
        _, _, terminated, truncated, _ = env.step(choice)
        recorder.step(core)
    assert terminated or truncated
    recorder.end(core)
    return recorder, core


def test_replay__states_and_shares_are_those_of_the_outages() -> None:
    recorder, core = play([3, 0, 5, 1, 4, 2])
    outage, work = core.process.outage_h[0], core.process.duration_h[0]
    times = RestorationRecorder.times_of([recorder])
    assert times[-1] == outage.max() == recorder.end_time
    told = recorder.replay(times)
    assert told.state is not None
    for t, hours in enumerate(times):
        for region in range(6):
            expected = (
                RESTORED if outage[region] <= hours else AT_WORK if outage[region] - work[region] <= hours else DARK
            )
            assert told.state[t, region] == expected
        assert (told.state[t] == AT_WORK).sum() <= 1  # there is one crew
    for curve in told.curves:
        own = outage[core.city.group == curve.group]
        assert curve.values == pytest.approx((own[None] > times[:, None]).mean(axis=1))
    assert told.waits.mean() == pytest.approx(core.metrics(slice(None))["mean_outage_h"][0])


def test_replay__the_crew_stands_where_it_works() -> None:
    recorder, core = play([3, 0, 5, 1, 4, 2])
    outage, work = core.process.outage_h[0], core.process.duration_h[0]
    for region in range(6):
        at = np.array([outage[region] - 0.9 * work[region], outage[region] - 0.1 * work[region]])
        (crew,) = recorder.replay(at).vehicles
        assert crew.xy == pytest.approx(np.tile(core.city.xy_km[region], (2, 1)))
    assert recorder.replay(np.zeros(1)).vehicles[0].xy[0] == pytest.approx(core.city.depot_km)


def test_replay__a_wasted_trip_is_a_visit_that_restores_nothing() -> None:
    recorder, core = play([3, 3, 0, 5, 1, 4, 2])
    outage = core.process.outage_h[0]
    (crew,) = recorder.replay(outage[3] + np.array([0.0, 0.5 * WASTED_H, WASTED_H])).vehicles
    assert crew.xy == pytest.approx(np.tile(core.city.xy_km[3], (3, 1)))  # it is there already: no way, a quarter hour


def test_replay__of_a_truncated_episode_visits_all_that_was_left() -> None:
    recorder, core = play([3] * 24)
    outage, work = core.process.outage_h[0], core.process.duration_h[0]
    assert (outage > 0).all()
    for region in range(6):
        (crew,) = recorder.replay(outage[[region]] - 0.5 * work[region]).vehicles
        assert crew.xy[0] == pytest.approx(core.city.xy_km[region])
