"""A season of Undergrounding-v0 for pages: what is buried choice by choice, its storm, and the worst one of its set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from stormgym.agents.storm_replay import Curve, PlaceState, Replay, ReplayScene, StormRecorder, places_of_profile
from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.core import Core
from stormgym.envs.undergrounding.core import UndergroundingCore
from stormgym.envs.undergrounding.render import GROUPS

OVERHEAD, BURIED, CREW = range(3)
STATES = (PlaceState("overhead lines", "lit"), PlaceState("lines buried", "square"), PlaceState("crew sent", "star"))
AFTER = ("the season's storm", "crews answer it", "the worst storm of the set", "crews answer that")
"""Instants behind the choices."""


class UndergroundingRecorder(StormRecorder):
    """Keeps what was buried after each choice, and in the end the two storms with the crews that answer them."""

    def __init__(self, core: Core) -> None:
        process = cast(UndergroundingCore, core).process
        self._profile = process.profile
        self._mean_h, self._upper_h = process.forecast.mean[0].copy(), process.forecast.upper[0].copy()
        self._plans = [process.protected[0].copy()]  # [K] after each choice that buried lines

    def step(self, core: Core) -> None:
        """A choice: lines were buried, or planning ended."""
        protected = cast(UndergroundingCore, core).process.protected[0]
        if (protected != self._plans[-1]).any():
            self._plans.append(protected.copy())

    def end(self, core: Core) -> None:
        """Keep the season's storm and the worst one of its set, and where crews go after each."""
        process = cast(UndergroundingCore, core).process
        row = np.zeros(1, dtype=np.int64)
        worst_h = process.worst_h(row)
        self._storms = [  # hours without crews [K], and crews [K], of each storm
            (process.exposed_h(process.storm_h[row], row)[0], process.crews[0] > 0),
            (process.exposed_h(worst_h, row)[0], process.best_crews(worst_h, row)[0] > 0),
        ]

    @property
    def end_time(self) -> float:
        """Number of choices that buried lines."""
        return float(len(self._plans) - 1)

    @classmethod
    def times_of(cls, recorders: Sequence[StormRecorder]) -> Floats:
        """Choices by number, then what comes after them; who buries less waits for the others."""
        return np.arange(max(recorder.end_time for recorder in recorders) + 1.0 + len(AFTER))

    @classmethod
    def labels_of(cls, recorders: Sequence[StormRecorder], times: Floats) -> list[str]:
        """Choices by number, then what comes."""
        return ["nothing buried", *(f"choice {i}" for i in range(1, len(times) - len(AFTER))), *AFTER]

    def scene(self) -> ReplayScene:
        """The profile's regions."""
        return ReplayScene(
            time_title="choices, then storm and crews",
            place_word="region",
            **places_of_profile(self._profile, GROUPS),
            states=STATES,
            curve_title="hours a customer is without power: forecast, storm, worst storm",
            wait_title="hours without power in the season's storm",
            level_title="hours without power, of the most that the forecast fears",
            level_of_one="as many",
        )

    def replay(self, times: Floats) -> Replay:
        """Plans and hours at the instants of `times_of`."""
        p, n_choices = self._profile, len(times) - len(AFTER)
        plans = [self._plans[min(i, len(self._plans) - 1)] for i in range(n_choices)]
        hours = [self._mean_h * ~plan for plan in plans]
        crews: list[Bools] = [np.zeros(p.n_counties, dtype=bool)] * n_choices
        for exposed_h, sent in self._storms:
            hours += [exposed_h, exposed_h * ~sent]
            crews += [np.zeros_like(sent), sent]
        lost_h, sent_to = np.array(hours), np.array(crews)  # [T, K]
        buried = np.array(plans + [self._plans[-1]] * len(AFTER))
        most = max(float(self._upper_h.max()), *(float(h.max()) for h, _ in self._storms), 1e-9)
        return Replay(
            state=np.where(sent_to, CREW, np.where(buried, BURIED, OVERHEAD)),
            curves=(
                Curve("all", self._a_customer(lost_h, np.ones(p.n_counties, dtype=bool))),
                *(Curve(GROUPS[g], self._a_customer(lost_h, p.group == g), g) for g in range(int(p.group.max()) + 1)),
            ),
            waits=hours[n_choices + 1],
            level=lost_h / most,
        )

    def _a_customer(self, lost_h: Floats, own: Bools) -> Floats:
        """Mean over the customers of some regions, `[T]`."""
        weight = self._profile.population * own
        mean: Floats = lost_h @ weight / max(float(weight.sum()), 1e-9)
        return mean
