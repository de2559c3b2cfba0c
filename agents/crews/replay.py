"""A storm of CrewDispatch-v0 for pages: jobs on the map, crews on their way, who works when, outages by group."""

from __future__ import annotations

from typing import cast

import numpy as np

from stormgym.agents.storm_replay import (
    Bar,
    Curve,
    PlaceState,
    Replay,
    ReplayScene,
    StormRecorder,
    Vehicle,
    along,
    places_of_city,
)
from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.core import Core
from stormgym.envs.crews.core import CrewCore

NO_JOB, DARK, AT_WORK, RESTORED = range(4)
STATES = (
    PlaceState("no damage known", "absent"),
    PlaceState("without power", "dark"),
    PlaceState("crew at work", "work"),
    PlaceState("power again", "lit"),
)
ON_THE_WAY, REPAIRS, LOOKS, LOST = range(4)
BARS = ("on the way", "repairs", "assesses", "wasted trip")


class CrewRecorder(StormRecorder):
    """Keeps what each crew was sent to, and in the end when jobs arrived, were begun, and had power."""

    def __init__(self, core: Core) -> None:
        core = cast(CrewCore, core)
        self._city, self._places_km = core.city, core.places_km
        self._depots_km = core.depots_km
        self._n_crews = core.process.roster.n_crews
        self._is_assessor = core.process.roster.assessor
        self._names = core.crew_names or tuple(map(str, range(self._n_crews)))
        self._at_h: list[list[float]] = [[0.0] for _ in range(self._n_crews)]  # of each crew: when it is somewhere
        self._xy: list[list[Floats]] = [[core.places_km[place]] for place in core.process.loc[0]]
        self._bars: list[Bar] = []
        self._seen(core)

    def _seen(self, core: CrewCore) -> None:
        """What the next step is compared with."""
        self._now, self._begin_h = float(core.process.t[0]), core.process.begin_h[0].copy()

    def step(self, core: Core) -> None:
        """Whoever has a new beginning was sent when the step began; in the last step of a truncated storm, perhaps
        several times, of which the jobs' own hours tell (`end`)."""
        core = cast(CrewCore, core)
        process = core.process
        for crew in np.flatnonzero(process.begin_h[0] != self._begin_h):
            begin, finish = float(process.begin_h[0, crew]), float(process.finish_h[0, crew])
            job = int(process.target[0, crew])
            if job >= 0 and not self._is_assessor[crew]:
                continue  # a repair: the jobs tell of it in the end
            place = int(process.loc[0, crew])
            self._add(int(crew), self._now, begin, finish, LOST if job < 0 else LOOKS, place)
        self._seen(core)

    def _add(self, crew: int, sent_h: float, begin_h: float, finish_h: float, kind: int, place: int) -> None:
        at = place if place < self._city.n_regions else -1
        if begin_h > sent_h:
            self._bars.append(Bar(crew, sent_h, begin_h, ON_THE_WAY, at))
        self._bars.append(Bar(crew, begin_h, finish_h, kind, at))

    def end(self, core: Core) -> None:
        """Keep the hours from which the metrics are made, and the repairs as bars."""
        process = cast(CrewCore, core).process
        jobs = process.jobs
        there = np.isfinite(jobs.arrival_h[0])
        self._site, self._group = jobs.site[0][there].copy(), jobs.group[0][there].copy()
        self._arrival_h, self._power_h = jobs.arrival_h[0][there].copy(), process.power_h[0][there].copy()
        self._begun_h, self._repaired_h = process.begun_h[0][there].copy(), process.repaired_h[0][there].copy()
        for job in np.flatnonzero(there):
            sent, begun, done = (float(x[0, job]) for x in (process.sent_h, process.begun_h, process.repaired_h))
            self._add(int(process.crew_of[0, job]), sent, begun, done, REPAIRS, int(jobs.site[0, job]))
        self._bars.sort(key=lambda bar: (bar.lane, bar.start, bar.end))
        for bar in self._bars:
            if bar.kind != ON_THE_WAY and bar.place >= 0:
                self._at_h[bar.lane] += [bar.start, bar.end]
                self._xy[bar.lane] += [self._places_km[bar.place]] * 2
        self._waits = core.times_h()[0].copy()  # type: ignore[index]  # this core has them
        self._waits[np.setdiff1d(np.arange(self._city.n_regions), self._site)] = np.nan

    @property
    def end_time(self) -> float:
        """Hour at which the last job had power."""
        return float(self._power_h.max())

    def scene(self) -> ReplayScene:
        """The city and its crews."""
        return ReplayScene(
            **places_of_city(self._city),
            states=STATES,
            depots=self._depots_km,
            curve_title="jobs that have arrived and have no power",
            curve_percent=True,
            wait_title="hours without power (longest job)",
            lane_names=tuple(map(self._name, range(self._n_crews))),
            bar_kinds=BARS,
            bar_title="who works when: thin on the way, colour by group",
        )

    def _name(self, crew: int) -> str:
        """The crew's own, or what it is and its number."""
        own = self._names[crew]
        return own if own != str(crew) else f"{'assessor' if self._is_assessor[crew] else 'crew'} {crew}"

    def replay(self, times: Floats) -> Replay:
        """States of regions, shares of jobs and the crews' places at `times` `[T]` (h)."""
        hours = times[:, None]
        there = self._arrival_h <= hours  # [T, N]
        dark = there & (self._power_h > hours)
        at_work = (self._begun_h <= hours) & (self._repaired_h > hours)
        state = np.full((len(times), self._city.n_regions), NO_JOB)
        for jobs, name in ((there, RESTORED), (dark, DARK), (at_work, AT_WORK)):  # the last one holds
            state[self._of_regions(jobs)] = name
        return Replay(
            state=state,
            curves=tuple(self._share(dark, g, name) for g, name in enumerate(self._city.group_names)),
            waits=self._waits,
            vehicles=tuple(self._vehicle(k, times) for k in range(self._n_crews)),
            bars=tuple(self._bars),
        )

    def _share(self, dark: Bools, group: int, name: str) -> Curve:
        """Share of all jobs of a group that are known to have no power."""
        own = self._group == group
        return Curve(name, dark[:, own].sum(axis=1) / max(int(own.sum()), 1), group)

    def _of_regions(self, jobs: Bools) -> Bools:
        """Regions with such a job, `[T, R]` of `[T, N]`."""
        found = np.zeros((len(jobs), self._city.n_regions), dtype=bool)
        at, job = np.nonzero(jobs)
        sites: Ints = self._site[job]
        found[at, sites] = True
        return found

    def _vehicle(self, crew: int, times: Floats) -> Vehicle:
        """It stays where it is until it is sent; the way begins when the bar of the way does."""
        at_h, xy = self._at_h[crew], self._xy[crew]
        ways = {bar.end: bar.start for bar in self._bars if bar.lane == crew and bar.kind == ON_THE_WAY}
        stops_h, stops = at_h[:1], xy[:1]
        for i in range(1, len(at_h), 2):
            stops_h = [*stops_h, ways.get(at_h[i], at_h[i]), *at_h[i : i + 2]]
            stops = [*stops, xy[i - 1], *xy[i : i + 2]]
        return Vehicle(self._name(crew), along(times, stops_h, stops))
