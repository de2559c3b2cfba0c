"""Profiles of CrewDispatch-v0: sets of defaults by name, and the jobs of the one that is fitted to a real utility.

`"utility"` takes its numbers from four storms of PG&E's public outage map, 2019 to 2021; docs/environments/crews.md
says what has no counterpart in the environment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import numpy as np
from scipy.special import gammainc, gammaincinv, ndtr, ndtri

from stormgym.envs.arrays import Floats, Ints, read_only
from stormgym.envs.cities.bounds import MAX_HOURS
from stormgym.envs.cities.noise import ForecastNoise
from stormgym.envs.core import check_choice
from stormgym.envs.crews.jobs import JobSource, Work

N_LEVELS = 20
"""Predictive quantiles of a job, as many as forecasts from a log have."""
MOST_SCORES = 4.0
"""Normal scores of hours and customers are cut off here."""
BASE_H = 48.0
"""Hours over which the mean rate of the pulse is taken."""


@dataclass(frozen=True)
class UtilityStorm:
    """Numbers of the storms of a utility; the class of work 0 ends with a first visit, 1 needs a repair crew."""

    pulse_mean_h: float = 18.0
    """Of the gamma pulse in which jobs arrive (h)."""
    pulse_shape: float = 3.0
    base_share: float = 0.16
    """Steady arrivals beside the pulse, as a share of its mean rate over `BASE_H`."""
    median_h: tuple[float, float] = (0.47, 2.8)
    """Work on site by class, lognormal (h)."""
    log_sd: tuple[float, float] = (1.07, 1.23)
    rank_seen: float = 0.65
    """Rank correlation (Spearman) of what a look tells with the true hours: that of the times which the utility
    stated by hand with those that came true."""
    single_share: float = 0.61
    """Share of jobs with one customer; the others are lognormal, at least two."""
    customers_log_mean: float = 3.4
    customers_log_sd: float = 1.77

    @property
    def seen(self) -> float:
        """Correlation of normal scores that has the rank correlation `rank_seen` (Pearson 1907)."""
        return 2.0 * math.sin(math.pi * self.rank_seen / 6.0)


@dataclass(frozen=True)
class Profile:
    """Arguments of the environment that a name stands for, beside the defaults of its signature."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    storm: UtilityStorm | None = None
    """Numbers that jobs are drawn from; None: the log of the city."""
    idle: tuple[str, ...] = ()
    """Arguments that have no use here."""


PROFILES: dict[str, Profile] = {
    "default": Profile(),
    "utility": Profile(
        defaults={
            "n_jobs": 200,
            "n_crews": 12,
            "n_depots": 3,
            "night_share": 0.4,
            "special_share": 0.22,
            "special_crews": 0.5,
            "known_share": 0.25,
            "arrival_end_h": 48.0,
            "feeder": "none",
            "assessed_share": 0.0,
            "n_assessors": 3,
            "assess_h": 0.47,
            "cost_limit": 2.0,  # a gap of less is noise among 200 jobs with such tails: in turn, 2.2 h comes out
        },
        storm=UtilityStorm(),
        idle=("arrival_tau_h", "predictor", "split", "wide"),
    ),
}


def with_profile(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor whose argument `profile` names defaults: what is given by name wins.

    The constructor finds the names that were given in `self.given`.
    """

    @wraps(init)
    def start(self: Any, batch: int, /, *, profile: str = "default", **given: Any) -> None:
        check_choice("profile", profile, tuple(PROFILES))
        own = PROFILES[profile]
        idle = [name for name in own.idle if name in given]
        if idle:
            raise ValueError(
                f"{idle[0]} has no use with profile {profile!r}, whose jobs are not drawn from the city's log; leave "
                "it out"
            )
        self.given = frozenset(given)
        init(self, batch, profile=profile, **{**own.defaults, **given})

    return start


class UtilityJobs(JobSource):
    """Jobs of a utility's storm: hours, customers and arrivals from `UtilityStorm`, places from the city.

    The log of a job's hours is mu + sd (r x + sqrt(1 - r^2) e) with normal scores x, which a look tells, and e, which
    the work alone tells. So a job that nobody has looked at is forecast by its class, mu and sd, and one that has been
    looked at by mu + sd r x and the residual sd sqrt(1 - r^2): 0.74 of the class's. Both forecasts are exact: intervals
    cover as often as they say.

    Args:
        *args, **kwargs: of `JobSource`.
        storm: the numbers.
        confidence_level: of intervals.
    """

    n_more = 4  # region, residual of the hours, whether one customer, how many

    def __init__(self, *args: Any, storm: UtilityStorm, confidence_level: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.storm = storm
        self._tail = (1.0 - confidence_level) / 2.0
        self._log_median, self._log_sd = np.log(storm.median_h), np.array(storm.log_sd)

    @property
    def quantile_levels(self) -> Floats:
        """`[Q]` the middles of equally likely slices."""
        return read_only((np.arange(N_LEVELS) + 0.5) / N_LEVELS)

    @property
    def n_customers(self) -> float | None:
        """Customers of the city where they are known."""
        return None if self.tables.city.customers is None else super().n_customers

    @property
    def mean_h(self) -> float:
        """Mean hours of a job."""
        mean = np.exp(self._log_median + self._log_sd**2 / 2)
        share = self.arrivals.special_share
        return float((1.0 - share) * mean[0] + share * mean[1])

    @property
    def noise(self) -> ForecastNoise:
        """log(hours / mean forecast) of a job that has been looked at, over both classes."""
        var = self._log_sd**2 * (1.0 - self.storm.seen**2)
        share = np.array([1.0 - self.arrivals.special_share, self.arrivals.special_share])
        bias = float(share @ (-var / 2))
        spread = float(share @ (var + (-var / 2 - bias) ** 2))
        n_groups = self.tables.n_groups
        return ForecastNoise(read_only(np.full(n_groups, bias)), read_only(np.full(n_groups, spread)))

    def arrival_h(self, share: Floats) -> Floats:
        """A gamma pulse over a steady base, both until the end of arrivals; low values of `share` are the pulse."""
        storm, end = self.storm, self.arrivals.end_h
        scale = storm.pulse_mean_h / storm.pulse_shape
        pulse = gammainc(storm.pulse_shape, end / scale)
        base = storm.base_share * gammainc(storm.pulse_shape, BASE_H / scale) / BASE_H * end
        in_pulse = pulse / max(pulse + base, 1e-300)
        inside: Floats = np.minimum(share / in_pulse, 1.0) * pulse
        steady = np.clip((share - in_pulse) / max(1.0 - in_pulse, 1e-300), 0.0, 1.0)
        late: Floats = np.where(share < in_pulse, scale * gammaincinv(storm.pulse_shape, inside), steady * end)
        return np.minimum(late, end)

    def work(self, site: Ints, kind: Ints, record: Floats, more: Floats) -> Work:
        """Hours and forecasts of the class; `record` becomes what a look tells."""
        seen = self.storm.seen
        own, residual = _scores(record), _scores(more[1])
        sd = self._log_sd[kind]
        centre, left = self._log_median[kind] + sd * seen * own, sd * math.sqrt(1.0 - seen**2)
        point, lower, upper = self._forecast(centre, left)
        wide, wide_quantile = self.class_forecast(site, kind)
        return Work(
            duration_h=np.exp(centre + left * residual),
            point_h=point,
            lower_h=lower,
            upper_h=upper,
            quantile_h=slice_means(centre, left),
            wide_h=wide,
            customers=self._customers(more[2], more[3]),
            wide_quantile_h=wide_quantile,
        )

    def class_forecast(self, site: Ints, kind: Ints) -> tuple[Floats, Floats | None]:
        """The lognormal of the class: all that is known before somebody has looked."""
        del site
        centre, sd = self._log_median[kind], self._log_sd[kind]
        return np.stack(self._forecast(centre, sd), axis=-1), slice_means(centre, sd)

    def _forecast(self, centre: Floats, sd: Floats) -> tuple[Floats, Floats, Floats]:
        """Mean and ends of the interval of lognormal hours `[B, N]`."""
        reach = float(-ndtri(self._tail)) * sd
        ends = (np.exp(centre + sd**2 / 2), np.exp(centre - reach), np.exp(centre + reach))
        mean, low, high = (np.clip(hours, 1e-6, MAX_HOURS) for hours in ends)
        return mean, low, high

    def _customers(self, one: Floats, size: Floats) -> Floats:
        storm = self.storm
        several = np.ceil(np.exp(storm.customers_log_mean + storm.customers_log_sd * _scores(size)))
        return np.where(one < storm.single_share, 1.0, np.maximum(several, 2.0))

    def weight(self, customers: Floats) -> Floats:
        """1/N, or the customers' share of the city's; where these are not known, of as many as a storm hits on average.

        (Shares of the storm's own total would tell of jobs to come.)
        """
        if self.weights == "customers" and self.tables.city.customers is None:
            s = self.storm
            mean = s.single_share + (1.0 - s.single_share) * math.exp(s.customers_log_mean + s.customers_log_sd**2 / 2)
            return customers / (mean * self.n_jobs)
        return super().weight(customers)


def slice_means(centre: Floats, sd: Floats) -> Floats:
    """`[..., Q]` means of lognormal hours in each of Q equally likely slices, so that their average is the mean.

    Args:
        centre, sd: `[...]` of the logs.
    """
    edges = ndtri(np.linspace(0.0, 1.0, N_LEVELS + 1))  # -inf and inf at the ends
    below = ndtr(edges - sd[..., None])
    mean: Floats = N_LEVELS * np.exp(centre + sd**2 / 2)[..., None] * np.diff(below, axis=-1)
    return np.clip(mean, 1e-6, MAX_HOURS)


def _scores(uniform: Floats) -> Floats:
    """Normal scores of uniform numbers."""
    result: Floats = np.clip(ndtri(uniform), -MOST_SCORES, MOST_SCORES)
    return result
