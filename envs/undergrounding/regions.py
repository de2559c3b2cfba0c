"""Regions whose lines can be buried, what that costs, and the seasons of storms that come over them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.data.tables import set_frozen
from stormgym.envs.equity import gap
from stormgym.envs.storms import COVARIATES, StormModel, check_not_negative, check_positive, features

MAX_REGIONS = 400
LARGEST = 1e9
"""Most customers, money, hours or crews that an observation can hold."""
N_FIT, N_CALIBRATION = 160, 200
FEATURE_NAMES = (*(name for name in COVARIATES if name != "onset"), "log_customers")
LIMIT_SHARE = 0.6
_LIMIT_SEASONS = 500
_LEARNING_STREAM = 7_005


class Seasons(NamedTuple):
    """B seasons of K regions: the storm of each, and what is known before it."""

    outage_h: Floats
    """`[B, K]` hours without power of a mean customer, if nothing is buried and no crew comes (SAIDI of the region)."""
    covariates: Floats
    """`[B, K, F]`, see `stormgym.envs.storms.COVARIATES`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class UndergroundingProfile(StormModel):
    """Regions, the storms that go over them, what burying their lines costs, and the crews that come afterwards.

    `cost_limit` is on the hours without power of a mean customer.

    Attributes:
        protect_cost: `[K]` b, of burying the lines of a region.
        budget: B.
        n_crews: C; each restores one region at once, and a region needs one at most (c = 1, so that whole crews and
            crews that can be shared cost the same).
        noise: sigma of the outage's noise in customer-hours: a region of N customers has a standard deviation of
            sigma / N hours (tri-level Appendix G).
        period_h: hours of a period of the storm.
    """

    protect_cost: Floats
    budget: float
    n_crews: int = 1
    noise: float = 0.0
    period_h: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        cost = np.array(self.protect_cost, dtype=np.float64)
        if cost.shape != (self.n_counties,) or not ((cost > 0) & (cost < np.inf)).all():
            raise ValueError(f"protect_cost must be [{self.n_counties}], above 0; got {self.protect_cost!r}")
        cost.setflags(write=False)
        set_frozen(self, protect_cost=cost)
        check_positive(self, "period_h")
        check_not_negative(self, "budget", "noise", "n_crews")
        if self.n_crews != int(self.n_crews):
            raise ValueError(f"n_crews must be a whole number; got {self.n_crews!r}")
        for name in ("population", "protect_cost", "budget", "n_crews", "noise", "cost_limit"):
            if (most := float(np.max(getattr(self, name)))) > LARGEST:
                raise ValueError(f"{name} must be at most {LARGEST:g}; got {most:g}. Count in a larger unit")

    @property
    def storm_key(self) -> tuple[Hashable, ...]:
        """All that simulated seasons depend on."""
        return (*super().storm_key, self.noise, self.period_h)

    def seasons(self, streams: Iterable[np.random.Generator]) -> Seasons:
        """Simulated seasons, one a stream; each draws all of its season from its own stream, whatever the others do.

        A stream that comes again draws its next season.

        The SAIDI of a region is the integral of its customers out over its customers (GDF eq. 15; tri-level App. G).
        """
        chances = [(self.chance(rng), rng.standard_normal(self.n_counties)) for rng in streams]
        storms = self.storms_of([chance for chance, _ in chances])
        outage_h = self.period_h * storms.out[:, 1:].sum(axis=1) / self.population
        noise = np.stack([own for _, own in chances])
        return Seasons(np.maximum(outage_h + self.noise / self.population * noise, 0.0), storms.covariates)

    def draw_seasons(self, streams: Iterable[np.random.Generator]) -> Seasons:
        """Seasons of episodes, one a stream: here simulated ones."""
        return self.seasons(streams)

    def learning_seasons(self) -> tuple[Seasons, Seasons]:
        """160 simulated seasons to fit a forecaster on, and 200 others to calibrate it by; no episode has one of them.

        A level of 99 % a region needs 99 to calibrate.
        """
        n = N_FIT + N_CALIBRATION
        known = self.seasons([np.random.default_rng([_LEARNING_STREAM, i]) for i in range(n)])
        return Seasons(*(part[:N_FIT] for part in known)), Seasons(*(part[N_FIT:] for part in known))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What a forecaster sees of each region: names of the columns of `known_before`."""
        return FEATURE_NAMES

    def known_before(self, covariates: Floats) -> Floats:
        """The columns of `feature_names` `[B, K, F']`.

        Args:
            covariates: `[B, K, F]`, see `stormgym.envs.storms.COVARIATES`.
        """
        return features(FEATURE_NAMES, covariates, self)

    def seasons_given(self, covariates: Floats, n_samples: int, seed: int) -> Floats:
        """Storms in hours that simulated seasons of known covariates can have, `[n_samples, B, K]`.

        Args:
            covariates: `[B, K, F]`, see `stormgym.envs.storms.COVARIATES`.
            n_samples: S.
            seed: of the draws.
        """
        waves = self.simulate_given(covariates, n_samples, seed)
        outage_h = self.period_h * waves[:, :, 1:].sum(axis=2) / self.population
        noise = np.random.default_rng([seed, 1]).standard_normal(outage_h.shape)
        return np.maximum(outage_h + self.noise / self.population * noise, 0.0)

    @property
    def plan_key(self) -> tuple[Hashable, ...]:
        """All that plans, losses and gaps depend on: profiles of equal keys have the same best plans."""
        arrays = (self.protect_cost.tobytes(), self.income.tobytes())
        return (*self.storm_key, *arrays, self.budget, self.n_crews, self.cost_limit)

    def loss_h(self, unserved_h: Floats) -> Floats:
        """Hours without power of a mean customer of all regions `[...]`, from those of each region `[..., K]`."""
        result: Floats = (unserved_h * (self.population / self.population.sum())).sum(axis=-1)  # the same in any batch
        return result

    def gap_h(self, unserved_h: Floats) -> Floats:
        """Largest W1 distance between income groups of regions' hours `[...]`, from `[..., K]`."""
        result: Floats = gap(unserved_h, self.group, int(self.group.max()) + 1)
        return result


def send_crews(loss: Floats, n_crews: int) -> Floats:
    """Where crews best go once the storm is known: to the regions that lose most, at most one crew each.

    Of equal losses the region of lower index comes first; nobody goes where nothing is lost. Tri-level eq. 8 with c =
    1.

    Args:
        loss: `[..., K]` what each region loses if no crew comes.
        n_crews: C.

    Returns:
        `[..., K]` 1.0 where a crew goes, else 0.0.
    """
    rank = np.argsort(np.argsort(-loss, axis=-1, kind="stable"), axis=-1, kind="stable")
    return ((rank < n_crews) & (loss > 0)).astype(np.float64)


def _nothing_buried(profile: UndergroundingProfile) -> Floats:
    """Hours without power of each region if nothing is buried and crews come, 500 seasons of seed 0, `[500, K]`."""
    seasons = profile.seasons([np.random.default_rng([0, i]) for i in range(_LIMIT_SEASONS)])
    result: Floats = seasons.outage_h * (1.0 - send_crews(profile.population * seasons.outage_h, profile.n_crews))
    return result


def usual_limit_h(profile: UndergroundingProfile) -> float:
    """Usual limit on the gap (h): three fifths of the mean gap if nothing is buried, over 500 seasons, to three digits.

    In the profiles that were tried, plans that minimise the loss alone leave 0.4 to 1.1 of that gap, and plans that
    minimise the gap alone leave 0.4 to 0.57 of it. So three fifths can be kept but binds; a half often cannot be kept.
    """
    return float(f"{LIMIT_SHARE * float(profile.gap_h(_nothing_buried(profile)).mean()):.3g}")


def usual_loss_h(profile: UndergroundingProfile) -> float:
    """Mean hours without power of a customer if nothing is buried, over 500 seasons."""
    return float(profile.loss_h(_nothing_buried(profile)).mean())
