"""Recorded storms: planners know the earlier ones of a record, and episodes replay the later ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.data.tables import DataError, set_frozen
from stormgym.envs.storms import COVARIATES, MEAN_WEATHER
from stormgym.envs.undergrounding.regions import Seasons, UndergroundingProfile


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedUnderground(UndergroundingProfile):
    """Regions with E storms of the past, in their order; the first `n_known` of them are known before.

    `draw_seasons` picks one of the later storms with equal chances; `seasons` and `seasons_given` pick among the known
    ones. No weather is known of either, so that every season has the same forecast.

    Attributes:
        region: K names.
        storm: E names, in the order of time.
        recorded_h: `[E, K]` hours without power of a mean customer of each region.
        n_known: how many storms forecasters and planners may look at.
    """

    region: tuple[str, ...]
    storm: tuple[str, ...]
    recorded_h: Floats = field(repr=False)
    n_known: int

    def __post_init__(self) -> None:
        super().__post_init__()
        hours = np.array(self.recorded_h, dtype=np.float64)
        shape = (len(self.storm), self.n_counties)
        if hours.shape != shape or not ((hours >= 0) & (hours < np.inf)).all():
            raise DataError(f"recorded_h must be {shape} hours of at least 0; got shape {hours.shape}.")
        hours.setflags(write=False)
        set_frozen(self, recorded_h=hours)
        if len(self.region) != self.n_counties:
            raise DataError(f"region must name each of the {self.n_counties} regions; got {len(self.region)} names.")
        if not 4 <= self.n_known < len(self.storm):
            raise DataError(
                f"n_known must leave a storm to play and know at least 4 (two to fit on, two to calibrate by); got "
                f"{self.n_known} of {len(self.storm)} storms. Add storms or change n_known."
            )

    @property
    def label(self) -> tuple[str, ...]:
        """What texts call each region: its name."""
        return self.region

    @property
    def storm_key(self) -> tuple[Hashable, ...]:
        """All that known storms depend on."""
        return (type(self).__name__, self.population.tobytes(), self.income.tobytes(), self._known.tobytes())

    @property
    def _known(self) -> Floats:
        return self.recorded_h[: self.n_known]

    def draw_seasons(self, streams: Iterable[np.random.Generator]) -> Seasons:
        """Later storms, one a stream."""
        later = self.recorded_h[self.n_known :]
        return self._seasons(later[[int(rng.integers(len(later))) for rng in streams]])

    def seasons(self, streams: Iterable[np.random.Generator]) -> Seasons:
        """Known storms, one a stream."""
        return self._seasons(self._known[[int(rng.integers(self.n_known)) for rng in streams]])

    def seasons_given(self, covariates: Floats, n_samples: int, seed: int) -> Floats:
        """Known storms `[n_samples, B, K]`, whatever the covariates: all of them in turn."""
        del seed
        pick = np.arange(n_samples) % self.n_known
        result: Floats = np.repeat(self._known[pick][:, None], len(covariates), axis=1)
        return result

    def learning_seasons(self) -> tuple[Seasons, Seasons]:
        """The earlier half of the known storms to fit a forecaster on, the later half to calibrate it by."""
        half = self.n_known // 2
        return self._seasons(self._known[:half]), self._seasons(self._known[half:])

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What a forecaster sees of each region: mean hours in the storms of the fit, customers, group."""
        return ("past_mean_h", "log_customers", "group")

    def known_before(self, covariates: Floats) -> Floats:
        """The columns of `feature_names` `[B, K, 3]`; no weather is among them."""
        half = self.n_known // 2
        fixed = np.stack(
            [self._known[:half].mean(axis=0), np.log10(self.population), self.group.astype(np.float64)], axis=-1
        )
        result: Floats = np.broadcast_to(fixed, (len(covariates), *fixed.shape))
        return result

    def _seasons(self, hours: Floats) -> Seasons:
        nothing = np.append(MEAN_WEATHER, 0.0)
        return Seasons(hours, np.broadcast_to(nothing, (*hours.shape, len(COVARIATES))))
