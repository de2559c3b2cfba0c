"""A storm of Restoration-v0 for pages: the regions on the map, the crew's way, outages by group."""

from __future__ import annotations

from typing import cast

import numpy as np

from stormgym.agents.storm_replay import (
    PlaceState,
    Replay,
    ReplayScene,
    StormRecorder,
    Vehicle,
    along,
    places_of_city,
    share_by_group,
)
from stormgym.envs.arrays import Floats
from stormgym.envs.core import Core
from stormgym.envs.restoration.core import RestorationCore
from stormgym.envs.restoration.layout import CREW_SCALARS
from stormgym.envs.restoration.process import WASTED_H

DARK, AT_WORK, RESTORED = range(3)
STATES = (PlaceState("without power", "dark"), PlaceState("crew at work", "work"), PlaceState("power again", "lit"))
_X, _ELAPSED = CREW_SCALARS.index("x_km"), CREW_SCALARS.index("elapsed_h")


class RestorationRecorder(StormRecorder):
    """Keeps where the crew was when, and in the end each region's hours without power."""

    def __init__(self, core: Core) -> None:
        process = cast(RestorationCore, core).process
        self._city = process.tables.city
        self._outage_h = np.zeros(self._city.n_regions)
        self._duration_h = process.duration_h[0].copy()
        self._at_h = [0.0]  # times at which the crew is somewhere, and where
        self._xy = [self._city.depot_km]

    def step(self, core: Core) -> None:
        """The crew went to a place and worked there; in the last step of a truncated episode, to all that is left."""
        process = cast(RestorationCore, core).process
        now = process.outage_h[0]
        new = np.flatnonzero((now > 0) & (self._outage_h == 0))
        for region in new[np.argsort(now[new], kind="stable")]:
            self._visit(float(now[region]), float(self._duration_h[region]), self._city.xy_km[region])
        if new.size == 0:
            self._visit(float(process.crew[_ELAPSED, 0]), WASTED_H, process.crew[_X : _X + 2, 0].copy())
        self._outage_h = now.copy()

    def _visit(self, done_h: float, work_h: float, xy_km: Floats) -> None:
        """A visit: when the crew comes and goes. It sets out when the visit before ends."""
        self._at_h += [done_h - work_h, done_h]
        self._xy += [xy_km, xy_km]

    def end(self, core: Core) -> None:
        """Keep the hours from which the metrics are made."""
        self._outage_h = core.times_h()[0].copy()  # type: ignore[index]  # this core has them

    @property
    def end_time(self) -> float:
        """Hour of the last restoration."""
        return float(self._outage_h.max())

    def scene(self) -> ReplayScene:
        """The city."""
        city = self._city
        return ReplayScene(
            **places_of_city(city),
            states=STATES,
            depots=city.depot_km[None],
            curve_title="regions without power",
            curve_percent=True,
            wait_title="hours without power",
        )

    def replay(self, times: Floats) -> Replay:
        """States, shares and the crew's place at `times` `[T]` (h)."""
        hours = times[:, None]
        dark = self._outage_h > hours  # [T, N] as the metrics share_out_24h and share_out_48h have it
        at_work = dark & (self._outage_h - self._duration_h <= hours)
        state = np.where(at_work, AT_WORK, np.where(dark, DARK, RESTORED))
        return Replay(
            state=state,
            curves=share_by_group(dark, self._city.group, self._city.group_names),
            waits=self._outage_h,
            vehicles=(Vehicle("crew", along(times, self._at_h, self._xy)),),
        )
