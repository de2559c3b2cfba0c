"""An epidemic that fills hospitals: SEIR with beds and deaths, and a transmission rate that nobody knows beforehand.

Six compartments, in people per 100,000. The susceptible S fall ill by contact, are exposed E and then infectious I; of
those a share needs a hospital bed H, where some die D; the others recover R and can fall ill again:

    new = beta S I / N        S' = w R - new              E' = new - s E              I' = s E - g I
    H' = h g I - H / L        R' = (1 - h) g I + (1 - d) H / L - w R                  D' = d H / L

Euler steps of half a day. The rate beta of a day is random (`transmission_rate`): people keep apart when hospitals
fill, so waves follow each other, and a hidden level wanders, in turbulent times faster than in calm ones.

`half_day` and what is made of it take arrays or tensors, so forecasters run the very dynamics and differentiate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.decisions.problem import namespace

POPULATION = 1e5
"""N, to which all numbers of people refer."""
STATES = ("susceptible", "exposed", "infectious", "recovered", "in_hospital", "dead")
SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED, IN_HOSPITAL, DEAD = range(len(STATES))
ONSET, RECOVERY, WANING = 1 / 2, 1 / 3, 1 / 120
"""s, g, w, per day: exposed become infectious, infectious recover, recovered lose their immunity."""
SEVERE, LETHAL, STAY = 0.04, 0.15, 6.0
"""h, d, L: share of the infectious who need a bed, share of those in beds who die, days in a bed."""
STEP = 0.5
"""Days of an Euler step."""

BASE_RATE, RATES = 0.5, (0.05, 1.5)
"""beta per day where nobody keeps apart and the level is 0, and the bounds of beta."""
CAUTION, BEDS_OF_CAUTION, NEWS = 0.4, 40.0, 2
"""Power with which people keep apart, beds that halve 1 / (1 + H / beds), and days until they hear of them."""
SEASON, YEAR = 0.1, 365.0
PERSISTENCE, SHOCKS, SWITCH = 0.95, (0.04, 0.10), 1 / 40
"""Of the hidden level: share kept a day, sd of the daily shock in calm and turbulent times, chance a day to switch."""

Compartments = tuple[Any, Any, Any, Any, Any, Any]
"""S, E, I, R, H, D, arrays or tensors that broadcast against each other."""


def half_day(people: Compartments, rate: Any) -> Compartments:
    """One Euler step; nobody is lost.

    Args:
        people: compartments.
        rate: beta per day, broadcast against them.
    """
    s, e, i, r, h, d = people
    infected = (STEP / POPULATION) * rate * s * i
    onset = (STEP * ONSET) * e
    over = (STEP * RECOVERY) * i
    admitted = SEVERE * over
    left = (STEP / STAY) * h
    died = LETHAL * left
    waned = (STEP * WANING) * r
    return (
        s + waned - infected,
        e + infected - onset,
        i + onset - over,
        r + (over - admitted) + (left - died) - waned,
        h + admitted - left,
        d + died,
    )


def day(people: Compartments, rate: Any) -> Compartments:
    """A day with one rate."""
    return half_day(half_day(people, rate), rate)


def compartments(state: Any) -> Compartments:
    """The parts `[...]` of states `[..., 6]`."""
    s, e, i, r, h, d = (state[..., k] for k in range(len(STATES)))
    return s, e, i, r, h, d


def beds_of_days(state: Any, rates: Any) -> Any:
    """Beds occupied at the end of each of the coming T days, when their transmission rates are known.

    Args:
        state: `[..., 6]` people now; arrays or tensors.
        rates: `[..., T - 1]` beta of each day but the last, broadcast against the state: `[S, B, T - 1]` with `[B, 6]`
            are S samples a case.

    Returns:
        `[..., T]`, differentiable. A rate moves E half a day, I one day and H one and a half days after its day begins:
        the first day's beds depend on no rate, and the last day's rate would move none of them.
    """
    people, beds = compartments(state), []
    n_rates = rates.shape[-1]
    for t in range(n_rates + 1):
        people = day(people, rates[..., t] if t < n_rates else 0.0)
        beds.append(people[IN_HOSPITAL] + 0.0 * rates[..., 0])  # for the shape of the first day's
    return namespace(rates).stack(beds, -1)


def rates_of_beds(state: Floats, beds: Floats) -> Floats:
    """The transmission rates of days whose beds are known: the inverse of `beds_of_days`.

    The beds two days on are a quadratic of a day's rate, so three runs give it, day after day.

    Args:
        state: `[..., 6]` people before.
        beds: `[..., T]` beds occupied at the end of each day.

    Returns:
        `[..., T - 1]` beta of each day but the last, of which these beds say nothing; within `RATES`.
    """
    people, rates = compartments(state), []
    probes = np.array([0.0, 1.0, 2.0])
    for t in range(1, beds.shape[-1]):
        copies: Any = tuple(part[..., None] for part in people)
        h = day(day(copies, probes), probes)[IN_HOSPITAL]  # [..., 3], exact though the second day's rate is not known
        bend = 0.5 * (h[..., 2] - 2.0 * h[..., 1] + h[..., 0])
        slope = h[..., 1] - h[..., 0] - bend
        rise = beds[..., t] - h[..., 0]
        root = np.sqrt(np.maximum(slope**2 + 4.0 * bend * rise, 0.0))
        rate = np.clip(2.0 * rise / np.maximum(slope + root, 1e-300), *RATES)
        rates.append(rate)
        people = day(people, rate)
    return np.stack(rates, axis=-1)


def transmission_rate(level: Floats, beds: Floats, season: Floats) -> Floats:
    """beta per day: 1/2 exp(level + season) (1 + beds / 40)^-0.4 within bounds.

    Args:
        level: z, hidden.
        beds: occupied when people last heard of them, `NEWS` days ago.
        season: from `season_of`.
    """
    raw = BASE_RATE * np.exp(level + season - CAUTION * np.log1p(beds / BEDS_OF_CAUTION))
    return np.minimum(np.maximum(raw, RATES[0]), RATES[1])


def season_of(t: Any, phase: Any) -> Floats:
    """What the time of the year adds to log beta on day t."""
    return np.asarray(SEASON * np.sin(2.0 * np.pi / YEAR * t + phase))


def next_level(level: Floats, turbulent: Bools, shock: Floats, chance: Floats) -> tuple[Floats, Bools]:
    """The hidden level and regime of the next day, from a standard normal and a uniform number each."""
    turbulent = turbulent ^ (chance < SWITCH)
    return PERSISTENCE * level + np.where(turbulent, SHOCKS[1], SHOCKS[0]) * shock, turbulent


@dataclass(frozen=True, eq=False)
class RegionNoise:
    """All that is random in B regions over T days."""

    start: Floats
    """`[B, 5]` uniform: S, E, I, H at the start, and the phase of the year."""
    shock: Floats
    """`[B, T]` standard normal."""
    chance: Floats
    """`[B, T]` uniform."""

    @classmethod
    def draw(cls, rngs: Sequence[np.random.Generator], n_days: int) -> RegionNoise:
        """One region a generator."""
        parts = [(rng.random(5), rng.standard_normal(n_days), rng.random(n_days)) for rng in rngs]
        start, shock, chance = (np.stack(part) for part in zip(*parts, strict=True))
        return cls(start, shock, chance)


@dataclass(frozen=True, eq=False)
class Regions:
    """B regions over T days; day t runs from state t to state t + 1."""

    state: Floats
    """`[T, 6, B]` people at the start of each day."""
    rate: Floats
    """`[T, B]` beta of each day."""
    level: Floats
    """`[T, B]` hidden level z."""
    turbulent: Bools
    """`[T, B]` regime."""
    phase: Floats
    """`[B]` of the year."""


def simulate(noise: RegionNoise, n_days: int) -> Regions:
    """Epidemics of B regions, all advanced together.

    They begin in calm times with the level at 0. A region's days do not depend on how many are simulated, nor on the
    other regions.

    Args:
        noise: of at least `n_days`.
        n_days: T.
    """
    b = len(noise.start)
    low = np.array([6e4, 50.0, 50.0, 5.0, 0.0])
    high = np.array([9e4, 400.0, 400.0, 40.0, 2.0 * np.pi])
    s, e, i, h, phase = (low + (high - low) * noise.start).T
    people: Compartments = (s, e, i, POPULATION - s - e - i - h, h, np.zeros(b))
    state, rate = np.empty((n_days, len(STATES), b)), np.empty((n_days, b))
    levels, regimes = np.empty((n_days, b)), np.empty((n_days, b), dtype=bool)
    season = season_of(np.arange(n_days)[:, None], phase)  # [T, B]
    level, turbulent = np.zeros(b), np.zeros(b, dtype=bool)
    shock, chance = noise.shock.T, noise.chance.T
    for t in range(n_days):
        state[t] = people
        level, turbulent = next_level(level, turbulent, shock[t], chance[t])
        levels[t], regimes[t] = level, turbulent
        rate[t] = transmission_rate(level, state[max(t - NEWS, 0), IN_HOSPITAL], season[t])
        people = day(people, rate[t])
    return Regions(state, rate, levels, regimes, phase)
