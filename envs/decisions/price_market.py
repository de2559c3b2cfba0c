"""A made-up electricity market of known law: a daily shape, wind that may fail, load and heavy-tailed spikes.

Given the eve's forecasts of load L and wind W (MW) and of the price p, and yesterday's mean price y,

    price_h = (18 + 12 exp((L_h - F W_h - 2800) / 1000)) (p_h / s_h)^.5 (y / 40)^.15 exp(.1 z + .1 e_h - .01) + spike_h
    s_h = 18 + 12 exp((L_h - W_h - 2800) / 1000), what the dearest plant asks if all comes as forecast

F is uniform on (.3, 1.7), the same all day: hours that are cheap by their wind are dear together when it fails, which
is what a plan under risk may spread. z is standard normal, e a normal chain from hour to hour of correlation .7. With
probability .02 + .35 / (1 + exp((4500 - max(L - W)) / 200)) a unit fails: at an hour H, drawn in proportion to
exp((L_H - W_H) / 400), the price rises by S, and by S / 2 in the hour after it; S / 60 is of Lomax's law of index 2.5,
P(S > 60 s) = (1 + s)^-2.5. Its mean is 40 and its third moment is infinite. All numbers are ours; they say nothing of a
real market.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.price_data import HOURS, PriceDays, calendar_of, day_before

SD, CORRELATION = 0.1, 0.7
WIND = 0.7
"""F is uniform on 1 - WIND to 1 + WIND."""
BASE = 18.0
"""Least that any plant asks."""
SPIKE, TAIL = 60.0, 2.5
"""Scale and index of Lomax's law of a spike."""
_STREAM = 8_004


class MarketLaw(NamedTuple):
    """Prices of E days but for what is drawn."""

    level: Floats  # [E, 24] by which what plants ask is multiplied
    load: Floats  # [E, 24] MW
    wind: Floats  # [E, 24] MW
    q_spike: Floats  # [E] probability of a spike
    when: Floats  # [E, 24] of its first hour, sum 1

    @property
    def mean(self) -> Floats:
        """Mean prices `[E, 24]`."""
        reach = np.maximum(WIND * self.wind / 1_000.0, 1e-9)
        asked = BASE + (merit_order(self.load, self.wind) - BASE) * np.sinh(reach) / reach  # mean over F
        after = np.pad(self.when[:, :-1], ((0, 0), (1, 0)))
        return self.level * asked + self.q_spike[:, None] * SPIKE / (TAIL - 1.0) * (self.when + 0.5 * after)


def merit_order(load: Floats, wind: Floats) -> Floats:
    """What the dearest plant that must run asks, by hour, of load and wind in MW."""
    return np.asarray(BASE + 12.0 * np.exp((load - wind - 2_800.0) / 1_000.0))


def market_law(load: Floats, wind: Floats, price_forecast: Floats, price_yesterday: Floats) -> MarketLaw:
    """The law of prices of days whose forecasts `[E, 24]` and yesterdays `[E, 2]` are known."""
    level = np.sqrt(price_forecast / merit_order(load, wind)) * (price_yesterday[:, :1] / 40.0) ** 0.15
    peak = (load - wind).max(axis=1)
    weight = np.exp((load - wind - peak[:, None]) / 400.0)
    q_spike = 0.02 + 0.35 / (1.0 + np.exp((4_500.0 - peak) / 200.0))
    return MarketLaw(level, load, wind, q_spike, weight / weight.sum(axis=1, keepdims=True))


def market_noise(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """What is random in a day `[*shape, 29]`: z, the chain e, and uniform numbers that make F and the spike."""
    noise = np.concatenate([rng.standard_normal((*shape, 1 + HOURS)), rng.random((*shape, 4))], axis=-1)
    for h in range(2, 1 + HOURS):
        noise[..., h] = CORRELATION * noise[..., h - 1] + np.sqrt(1.0 - CORRELATION**2) * noise[..., h]
    return noise


def market_prices(law: MarketLaw, noise: Floats) -> Floats:
    """Prices `[S, E, 24]` of E days and noise `[S, E, 29]`, or `[S, 1, 29]` where all days have the same."""
    z, chain, (blows, fails, when, size) = (
        noise[..., :1],
        noise[..., 1 : 1 + HOURS],
        np.moveaxis(noise[..., -4:], -1, 0),
    )
    factor = 1.0 + WIND * (2.0 * blows[..., None] - 1.0)
    price = law.level * merit_order(law.load, factor * law.wind) * np.exp(SD * (z + chain) - SD**2)
    spike = np.where(fails < law.q_spike, SPIKE * ((1.0 - size) ** (-1.0 / TAIL) - 1.0), 0.0)[..., None]
    reached = when[..., None] < np.cumsum(law.when, axis=1)  # from the first hour on
    first = reached & ~np.pad(reached[..., :-1], [(0, 0)] * (reached.ndim - 1) + [(1, 0)])
    after = np.pad(first[..., :-1], [(0, 0)] * (first.ndim - 1) + [(1, 0)])
    prices: Floats = price + spike * (first + 0.5 * after)
    return prices


def synthetic_prices(n_days: int = 800, instance: int = 0) -> PriceDays:
    """A record of the market from 2020-01-01 on.

    Args:
        n_days: of the record.
        instance: seed.
    """
    rng = np.random.default_rng([instance, _STREAM])
    dates = np.datetime64("2020-01-01") + np.arange(n_days)
    weekday = (dates.astype(np.int64) + 3) % 7  # the first of 1970 was a Thursday
    month = dates.astype("datetime64[M]").astype(np.int64) % 12 + 1
    hour = np.arange(HOURS)
    season = np.cos(2.0 * np.pi * (np.arange(n_days) - 10) / 365.25)
    shape = 1.0 - 0.13 * np.cos(2.0 * np.pi * (hour - 4) / HOURS) + 0.12 * np.exp(-(((hour - 18) / 2.0) ** 2))
    rest = np.where(weekday >= 5, 0.92, 1.0)
    load = 4_000.0 * np.outer((1.0 + 0.10 * season) * rest, shape)
    load *= np.exp(0.03 * rng.standard_normal((n_days, 1)) + 0.01 * rng.standard_normal((n_days, HOURS)))
    weather = np.zeros(n_days)
    for day in range(1, n_days):
        weather[day] = 0.6 * weather[day - 1] + 0.8 * rng.standard_normal()
    gusts = np.cumsum(0.2 * rng.standard_normal((n_days, HOURS)), axis=1)
    wind = np.minimum(800.0 * np.exp(0.6 * weather[:, None] + 0.15 * season[:, None] + gusts), 2_500.0)
    error = 0.12 * rng.standard_normal((n_days, 1)) + 0.12 * rng.standard_normal((n_days, HOURS))
    forecast = merit_order(load, wind) * np.exp(error)
    noise = market_noise((1, n_days), rng)
    price, before = np.empty((n_days, HOURS)), np.empty((n_days, 2))
    now = np.array([[40.0, 10.0]])  # of the day before the first
    for day in range(n_days):
        row = slice(day, day + 1)
        before[day] = now[0]
        price[day] = market_prices(market_law(load[row], wind[row], forecast[row], now), noise[:, row])[0, 0]
        now = day_before(price[row])
    calendar, key = calendar_of(weekday, month), ("synthetic market", n_days, instance)
    return PriceDays(price, load, wind, forecast, calendar, before, key, dates)
