"""Replays of CrewDispatch-v0: who works when, what is dark, and where crews are, from the process's own hours."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.crews.replay import (
    AT_WORK,
    DARK,
    LOOKS,
    LOST,
    NO_JOB,
    ON_THE_WAY,
    REPAIRS,
    RESTORED,
    CrewRecorder,
)
from stormgym.envs.crews.core import CrewCore
from stormgym.envs.data import City
from stormgym.envs.data.crews_file import CrewRecord

SMALL: dict[str, Any] = {"city": "synthetic:6:1", "n_crews": 2, "predictor": "none"}


def play(seed: int = 0, masked: bool = True, **kwargs: Any) -> tuple[CrewRecorder, CrewCore]:
    """One storm in which crews take what a random generator says, of what is open or of everything.

    An argument that is None is not given.
    """
    env = gym.make("CrewDispatch-v0", **{k: v for k, v in {**SMALL, **kwargs}.items() if v is not None})
    _, info = env.reset(seed=seed)
    core = env.unwrapped.core  # type: ignore[attr-defined]
    recorder, rng, over = CrewRecorder(core), np.random.default_rng(seed), False
    while not over:
        mask = info["action_mask"] if masked else np.ones_like(info["action_mask"])
        _, _, terminated, truncated, info = env.step(int(rng.choice(np.flatnonzero(mask))))
        recorder.step(core)
        over = terminated or truncated
    recorder.end(core)
    return recorder, core


@pytest.mark.parametrize("seed", range(3))
def test_bars__are_the_ways_and_repairs_of_crews_which_never_do_two_things(seed: int) -> None:
    recorder, core = play(seed)
    process = core.process
    bars = recorder.replay(np.zeros(1)).bars
    there = np.isfinite(process.jobs.arrival_h[0])
    repairs = sorted((bar.lane, bar.start, bar.end) for bar in bars if bar.kind == REPAIRS)
    hours = (process.crew_of, process.begun_h, process.repaired_h)
    assert repairs == sorted(zip(*(x[0][there].tolist() for x in hours), strict=True))
    travel = sum(bar.end - bar.start for bar in bars if bar.kind == ON_THE_WAY)
    assert travel == pytest.approx(process.travel_h[0])
    for crew in range(2):
        own = sorted((bar.start, bar.end) for bar in bars if bar.lane == crew)
        assert all(end <= start + 1e-9 for (_, end), (start, _) in pairwise(own))


def test_bars__wasted_trips_and_assessments_are_told() -> None:
    recorder, core = play(masked=False)
    bars = recorder.replay(np.zeros(1)).bars
    process = core.process
    assert process.wasted[0] > 0
    assert sum(bar.kind == LOST for bar in bars) == process.wasted[0]
    looked, core = play(n_assessors=1, assessed_share=0.0)
    lanes = {bar.lane for bar in looked.replay(np.zeros(1)).bars if bar.kind == LOOKS}
    assert lanes == {2}
    assert looked.scene().lane_names == ("crew 0", "crew 1", "assessor 2")


def test_names__are_those_of_the_citys_crews() -> None:
    city = City.synthetic(seed=1, n_regions=6)
    at = (float(city.xy_km[0, 0]), float(city.xy_km[0, 1]))
    crews = tuple(CrewRecord(name, at, 30.0, (0, 1), 0.0, 24.0, 0.0) for name in ("Anna", "1"))
    named = replace(city, crews=crews)
    recorder, _ = play(city=named, n_crews=None)
    assert recorder.scene().lane_names == ("Anna", "crew 1")  # without a name it has its number
    assert [vehicle.name for vehicle in recorder.replay(np.zeros(1)).vehicles] == ["Anna", "crew 1"]
    recorder, _ = play(city=named, n_crews=2)
    assert recorder.scene().lane_names == ("crew 0", "crew 1")  # not the city's


def test_states__are_those_of_the_jobs_at_each_instant() -> None:
    recorder, core = play(1, n_jobs=12)
    process, jobs = core.process, core.process.jobs
    times = CrewRecorder.times_of([recorder])
    told = recorder.replay(times)
    assert told.state is not None
    for t in (0, 20, 50, 100):
        now = times[t]
        for region in range(6):
            own = (jobs.site[0] == region) & (jobs.arrival_h[0] <= now)
            begun = own & (process.begun_h[0] <= now) & (process.repaired_h[0] > now)
            dark = own & (process.power_h[0] > now)
            expected = AT_WORK if begun.any() else DARK if dark.any() else RESTORED if own.any() else NO_JOB
            assert told.state[t, region] == expected
    assert (told.state[-1] != DARK).all()
    dark = (jobs.arrival_h[0] <= times[30]) & (process.power_h[0] > times[30])
    there = np.isfinite(jobs.arrival_h[0])
    for curve in told.curves:
        own = there & (jobs.group[0] == curve.group)
        assert curve.values[30] == pytest.approx((dark & own).sum() / max(own.sum(), 1))
    waits = np.where(there, process.power_h[0] - np.where(there, jobs.arrival_h[0], 0.0), -np.inf)
    for region in range(6):
        longest = max(waits[jobs.site[0] == region], default=-np.inf)
        assert told.waits[region] == pytest.approx(longest) or (np.isnan(told.waits[region]) and longest == -np.inf)


def test_vehicles__stand_at_their_work_and_stay_until_they_are_sent() -> None:
    recorder, core = play(2)
    bars = [bar for bar in recorder.replay(np.zeros(1)).bars if bar.lane == 0]
    for bar in bars:
        at = np.array([bar.start + 1e-6, 0.5 * (bar.start + bar.end), bar.end - 1e-6])
        xy = recorder.replay(at).vehicles[0].xy
        if bar.kind == REPAIRS:
            assert xy == pytest.approx(np.tile(core.city.xy_km[bar.place], (3, 1)))
        else:
            goal = core.city.xy_km[bar.place]
            left = np.hypot(*(xy - goal).T)
            assert left[0] >= left[1] >= left[2]
            assert left[2] < 0.01
    assert recorder.replay(np.zeros(1)).vehicles[0].xy[0] == pytest.approx(core.places_km[core.process.roster.depot[0]])
