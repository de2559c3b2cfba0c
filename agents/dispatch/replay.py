"""A storm of GeneratorDispatch-v0 for pages: the wave over the counties day by day, and the generators that meet it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from stormgym.agents.storm_replay import Curve, Replay, ReplayScene, StormRecorder, places_of_profile
from stormgym.envs.arrays import Floats
from stormgym.envs.core import Core
from stormgym.envs.dispatch.core import DispatchCore
from stormgym.envs.dispatch.render import GROUPS


class DispatchRecorder(StormRecorder):
    """Keeps each day's generators by county, and who was left without power or generator."""

    def __init__(self, core: Core) -> None:
        process = cast(DispatchCore, core).process
        self._profile = process.profile
        self._day = 0
        self._served_by = [np.zeros(self._profile.n_counties, dtype=np.int64)]  # of each day, `[K]`; day 0 is before
        self._unserved = np.zeros(self._profile.n_counties)
        self._dark = [process.out[0, 0].copy()]

    def step(self, core: Core) -> None:
        """A day is over, or where it is planned in blocks, perhaps not yet."""
        process = cast(DispatchCore, core).process
        if process.day[0] == self._day:
            return
        self._day = int(process.day[0])
        self._served_by.append(process.served_by[0].copy())
        self._dark.append(process.unserved[0] - self._unserved)
        self._unserved = process.unserved[0].copy()

    def end(self, core: Core) -> None:
        """Keep the wave."""
        self._out = cast(DispatchCore, core).process.out[0].copy()  # [T + 1, K]

    @property
    def end_time(self) -> float:
        """The last day."""
        return float(self._day)

    @classmethod
    def times_of(cls, recorders: Sequence[StormRecorder]) -> Floats:
        """Days, from the one before the first."""
        return np.arange(max(recorder.end_time for recorder in recorders) + 1.0)

    @classmethod
    def labels_of(cls, recorders: Sequence[StormRecorder], times: Floats) -> list[str]:
        """Days by number."""
        return [f"day {day:.0f}" for day in times]

    def scene(self) -> ReplayScene:
        """The profile's counties."""
        return ReplayScene(
            time_title="day",
            place_word="county",
            **places_of_profile(self._profile, GROUPS),
            curve_title="customers out (all, dotted); those without power or generator by group",
            wait_title="days without power or generator a customer",
            level_title="without power or generator",
            level_of_one="all customers",
            count_title="generators",
        )

    def replay(self, times: Floats) -> Replay:
        """Who is left and what serves, on the days `times` `[T + 1]`."""
        p, dark = self._profile, np.array(self._dark)  # [T + 1, K]
        groups = range(int(p.group.max()) + 1)
        return Replay(
            curves=(
                Curve("out, all", self._out.sum(axis=1)),
                *(Curve(GROUPS[g], dark[:, p.group == g].sum(axis=1), g) for g in groups),
            ),
            waits=self._unserved / p.population,
            level=np.clip(dark / p.population, 0.0, 1.0),
            count=np.array(self._served_by),
        )
