"""Storms over counties: weather fields and the outage wave that follows.

Weather over the unit square, from the tri-level paper's Appendix G: at a place (p, q) the temperature is 20 + 5 sin(p)
cos(q) degrees, the wind 10 + 3 cos(p) sin(q) m/s, the humidity 0.5 + 0.1 sin(p) sin(q). As printed these fields never
change. Here each storm shifts them by a random vector and scales their departure from the mean by its severity; in
every county the wave begins in a period of its own (the onset). The weather sets how fast outages spread. How fast they
are restored is left to chance, which no forecast knows.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.assemble import terciles
from stormgym.envs.data.tables import set_frozen
from stormgym.predictors.sir import simulate_sir

COVARIATES = ("temperature_c", "wind_ms", "humidity", "onset")
"""What is known of each county before a storm, the last axis of `Storms.covariates`."""
MEAN_WEATHER = np.array([20.0, 10.0, 0.5])
AMPLITUDE = np.array([5.0, 3.0, 0.1])
WEATHER_EFFECT = np.array([0.01, 0.005, -0.005])
"""Change of the transmission rate with each of temperature, wind and humidity."""
TRANSMISSION, RESTORATION = 0.3, 0.1
"""Rates at mean weather, before `StormModel.rate`."""


class StormChance(NamedTuple):
    """What one storm draws."""

    shift: Floats
    """`[2]` by which the weather's fields move, in [0, 1)."""
    severity: float
    onset: Ints
    """`[K]` period in which each county's wave begins."""
    noise: Floats
    """`[K]` standard normal, of the restoration rates."""


class Storms(NamedTuple):
    """B storms over K counties and T periods."""

    out: Floats
    """`[B, T + 1, K]` customers out at the start (`out[:, 0]`) and in each of the T periods."""
    covariates: Floats
    """`[B, K, F]`, see `COVARIATES`."""
    transmission: Floats
    """`[B, K]` per period; NaN for a recorded storm, of which nobody knows it."""
    restoration: Floats
    """`[B, K]` per period; NaN likewise."""


MAX_SEVERITY = 1e6
"""No storm is more severe; those of the profiles are up to 2.2."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StormModel:
    """Counties, and how storms go over them.

    Attributes:
        name: of the model.
        population: `[K]` customers of each county.
        place: `[K, 2]` in the unit square.
        income: `[K]` median income (any unit); its terciles are the groups.
        n_periods: T.
        rate: factor of both rates of the wave (transmission and restoration), per period.
        transmission: rate at which outages spread at mean weather, before `rate`.
        weather_factor: factor of the weather's effect on the transmission.
        restoration_noise: standard deviation of the logarithm of the restoration rate, by county and storm.
        severity: lowest and highest severity of a storm.
        latest_onset: last period in which a county's wave may begin.
        steps_per_period: Euler steps a period.
        cost_limit: limit on the mean Wasserstein gap of an episode.
    """

    name: str
    population: Floats
    place: Floats
    income: Floats
    n_periods: int
    rate: float
    transmission: float = TRANSMISSION
    weather_factor: float = 1.0
    restoration_noise: float = 0.2
    severity: tuple[float, float] = (0.5, 1.5)
    latest_onset: int = 3
    steps_per_period: int = 20
    cost_limit: float

    def __post_init__(self) -> None:
        k = len(self.population)
        for name, shape in (("population", (k,)), ("place", (k, 2)), ("income", (k,))):
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.shape != shape or not np.isfinite(values).all():
                raise ValueError(f"{name} must be finite and of shape {shape}; got shape {values.shape}")
            values.setflags(write=False)
            set_frozen(self, **{name: values})
        if k < 3 or not (self.population > 0).all():
            raise ValueError(f"a profile needs at least 3 counties, each with customers; got {self.population}")
        low, high = self.severity
        if not 0 <= low <= high <= MAX_SEVERITY:
            shown = f"{self.severity!r}"[:120]
            raise ValueError(f"severity must be a pair 0 <= low <= high <= {MAX_SEVERITY:g}; got {shown}")
        if not 0 <= self.latest_onset <= self.n_periods:
            raise ValueError(f"latest_onset must be from 0 to n_periods ({self.n_periods}); got {self.latest_onset}")
        check_positive(self, "n_periods", "rate", "transmission", "cost_limit", "steps_per_period")
        check_not_negative(self, "weather_factor", "restoration_noise")

    @property
    def n_counties(self) -> int:
        """K."""
        return len(self.population)

    @property
    def label(self) -> tuple[str, ...]:
        """Name of each county in tables and pictures, K of them; here its index."""
        return tuple(map(str, range(self.n_counties)))

    @cached_property
    def group(self) -> Ints:
        """Income tercile of each county `[K]`, 0 = low."""
        found = terciles(self.income)
        found.setflags(write=False)
        return found

    @property
    def storm_key(self) -> tuple[Hashable, ...]:
        """All that simulated storms depend on: models of equal keys simulate the same storms."""
        arrays = (self.population.tobytes(), self.place.tobytes())
        rates = (self.rate, self.transmission, self.weather_factor, self.restoration_noise, *self.severity)
        return (type(self).simulate, *arrays, *rates, self.n_periods, self.latest_onset, self.steps_per_period)

    def draw(self, streams: Sequence[np.random.Generator]) -> Storms:
        """Storms of episodes, one a stream: here simulated ones."""
        return self.simulate(streams)

    def simulate(self, streams: Iterable[np.random.Generator]) -> Storms:
        """Storms to reason with, one a stream; each draws all of its storm from its own stream, whatever the others do.

        Forecasts and planners take these, never those of `draw`: an episode may be a storm of the past.
        """
        return self.storms_of([self.chance(rng) for rng in streams])

    def chance(self, rng: np.random.Generator) -> StormChance:
        """All that a storm draws, from one stream."""
        k = self.n_counties
        return StormChance(
            shift=rng.random(2),
            severity=rng.uniform(*self.severity),
            onset=rng.integers(0, self.latest_onset + 1, k),
            noise=rng.standard_normal(k),
        )

    def storms_of(self, chances: Sequence[StormChance]) -> Storms:
        """The storms that follow from what they have drawn."""
        n, k = len(chances), self.n_counties
        shift = np.array([chance.shift for chance in chances]).reshape(n, 2)
        severity = np.array([chance.severity for chance in chances])
        onset = np.array([chance.onset for chance in chances], dtype=np.int64).reshape(n, k)
        noise = np.array([chance.noise for chance in chances]).reshape(n, k)
        weather = self.weather(shift, severity)
        transmission, restoration = self._rates(weather, noise)
        out = self._waves(transmission, restoration, onset)
        covariates = np.concatenate([weather, onset[..., None]], axis=-1)
        return Storms(out, covariates, transmission, restoration)

    def simulate_given(self, covariates: Floats, n_samples: int, seed: int) -> Floats:
        """Waves that simulated storms of known covariates can have, `[n_samples, B, T + 1, K]`.

        Only the restoration is left to chance: no forecast of the same information is better than these samples.

        Args:
            covariates: `[B, K, F]`, see `COVARIATES`.
            n_samples: S.
            seed: of the draws.
        """
        noise = np.random.default_rng(seed).standard_normal((n_samples, *covariates.shape[:2]))
        onset = COVARIATES.index("onset")
        transmission, restoration = self._rates(covariates[..., :onset], noise)
        return self._waves(transmission, restoration, np.rint(covariates[..., onset]).astype(np.int64))

    def _rates(self, weather: Floats, noise: Floats) -> tuple[Floats, Floats]:
        """Transmission `[B, K]` of weather `[B, K, 3]`, restoration `[..., B, K]` of standard normal noise."""
        change = self.weather_factor * ((weather - MEAN_WEATHER) @ WEATHER_EFFECT)
        transmission = np.maximum(self.rate * (self.transmission + change), 0.0)
        return transmission, self.rate * RESTORATION * np.exp(self.restoration_noise * noise)

    def _waves(self, transmission: Floats, restoration: Floats, onset: Ints) -> Floats:
        """`[..., B, T + 1, K]` customers out."""
        out = simulate_sir(
            transmission,
            restoration,
            self.population,
            n_periods=self.n_periods,
            onset=onset,
            steps_per_period=self.steps_per_period,
        )
        return np.moveaxis(out, 0, -2)

    def weather(self, shift: Floats, severity: Floats) -> Floats:
        """Temperature, wind and humidity in each county, `[B, K, 3]`.

        Args:
            shift: `[B, 2]` by which the fields move, in [0, 1).
            severity: `[B]` factor of their departure from the mean.
        """
        p, q = np.moveaxis(2.0 * np.pi * (self.place + shift[:, None]), -1, 0)  # [B, K]
        fields = np.stack([np.sin(p) * np.cos(q), np.cos(p) * np.sin(q), np.sin(p) * np.sin(q)], axis=-1)
        result: Floats = MEAN_WEATHER + AMPLITUDE * severity[:, None, None] * fields
        return result


class Family:
    """A model as argument of a cached function: models of one family have equal keys and share what is cached.

    A forecaster that is fitted on simulated storms is the same for all profiles that differ in costs alone, say.

    Args:
        profile: counties and storms; the function reads what it needs from the first profile of the family that asks.
        key: all that the cached result depends on; None takes `storm_key`, for what depends on simulated storms alone.
    """

    def __init__(self, profile: StormModel, key: Hashable = None) -> None:
        self.profile: Any = profile
        self._key = profile.storm_key if key is None else key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Family) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


FEATURES = (*COVARIATES, "log_customers", "group")
"""What a learnt forecaster can see of each county: the storm there, the tenth logarithm of its customers, its group."""


def features(names: Sequence[str], covariates: Floats, model: StormModel) -> Floats:
    """Columns of `FEATURES` by name, `[B, K, len(names)]`.

    Args:
        names: of `FEATURES`.
        covariates: `[B, K, F]`, see `COVARIATES`.
        model: the counties.

    Raises:
        ValueError: another name.
    """
    unknown = [name for name in names if name not in FEATURES]
    if unknown:
        raise ValueError(f"the forecaster needs covariate {unknown[0]!r}; there are {', '.join(FEATURES)}")
    fixed = {"log_customers": np.log10(model.population), "group": model.group.astype(np.float64)}
    shape = covariates.shape[:2]
    return np.stack(
        [
            np.broadcast_to(fixed[name], shape) if name in fixed else covariates[..., COVARIATES.index(name)]
            for name in names
        ],
        axis=-1,
    )


def check_positive(model: object, *names: str) -> None:
    """Raise `ValueError` unless each of these numbers is above 0 and finite."""
    for name in names:
        if not 0 < getattr(model, name) < np.inf:
            raise ValueError(f"{name} must be above 0 and finite; got {getattr(model, name)!r}")


def check_not_negative(model: object, *names: str) -> None:
    """Raise `ValueError` unless each of these numbers is at least 0 and finite."""
    for name in names:
        if not 0 <= getattr(model, name) < np.inf:
            raise ValueError(f"{name} must be at least 0 and finite; got {getattr(model, name)!r}")
