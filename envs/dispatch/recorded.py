"""Recorded storms: an episode replays one of them, while forecasts and planners still know simulated ones alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.tables import DataError, set_frozen
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.storms import COVARIATES, MEAN_WEATHER, Storms
from stormgym.predictors.sir import FIRST_OUT


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedProfile(StormProfile):
    """Counties with S storms of the past, one of which each episode replays.

    `draw` picks a storm with equal chances; `simulate` is the SIR family of `StormProfile` on these counties, and no
    recorded count goes into it. The rates of a recorded storm are unknown (NaN).

    Attributes:
        county: K names or FIPS codes.
        window: S names of storms.
        recorded: `[S, T + 1, K]` customers out: `[:, 0]` at the moment when a storm's first period begins (see
            `stormgym.envs.dispatch.folder`), then means over periods.
        covariates: `[S, K, F]` what is known before each storm, see `COVARIATES`.
        n_counts: counts behind `recorded`.
        n_unknown: how many of them were missing or faulty, and were read off the line between known ones.
    """

    county: tuple[str, ...]
    window: tuple[str, ...]
    recorded: Floats
    covariates: Floats = field(repr=False)
    n_counts: int = 0
    n_unknown: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        s, k = len(self.window), self.n_counties
        shapes = {"recorded": (s, self.n_periods + 1, k), "covariates": (s, k, len(COVARIATES))}
        for name, shape in shapes.items():
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.shape != shape or s == 0 or not np.isfinite(values).all():
                raise DataError(f"{name} must be finite and of shape {shape}, S >= 1; got shape {values.shape}.")
            values.setflags(write=False)
            set_frozen(self, **{name: values})
        if len(self.county) != k:
            raise DataError(f"county must name each of the {k} counties; got {len(self.county)} names.")
        out = self.recorded
        if (out < 0).any() or (out > self.population).any():
            at = np.argwhere((out < 0) | (out > self.population))[0]
            raise DataError(
                f"recorded customers out must be from 0 to the county's customers; got {out[tuple(at)]:g} of "
                f"{self.population[at[2]]:g} in county {self.county[at[2]]}. Correct the count or the customers."
            )

    @property
    def label(self) -> tuple[str, ...]:
        """The name or code of each county."""
        return self.county

    def storms(self) -> Storms:
        """All S of them, in order."""
        return self._picked(np.arange(len(self.window)))

    def draw(self, streams: Sequence[np.random.Generator]) -> Storms:
        """Recorded storms, one a stream, each picked by its own stream."""
        pick = np.array([rng.integers(len(self.window)) for rng in streams], dtype=np.int64)
        return self._picked(pick)

    def _picked(self, pick: Ints) -> Storms:
        nobody_knows = np.full((len(pick), self.n_counties), np.nan)
        return Storms(self.recorded[pick], self.covariates[pick], nobody_knows, nobody_knows.copy())


def first_periods(recorded: Floats, population: Floats) -> Floats:
    """First period in which 1 % of a county's customers are out, `[S, K]`; T if that never happens.

    It is the onset of a recorded storm, as the one of a simulated wave is the period that it begins in with 1 % out.

    Args:
        recorded: `[S, T + 1, K]` customers out, period 0 first.
        population: `[K]` customers.
    """
    begun = recorded >= FIRST_OUT * population
    return np.where(begun.any(axis=1), begun.argmax(axis=1), recorded.shape[1] - 1).astype(np.float64)


def mean_weather(n_storms: int, n_counties: int) -> Floats:
    """The weather of which nothing is known, `[S, K, 3]`."""
    return np.broadcast_to(MEAN_WEATHER, (n_storms, n_counties, 3)).copy()
