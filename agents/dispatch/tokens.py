"""Unit-free network inputs made from the observation of generator dispatch alone, for one county asked at a time.

An allocation is chosen county by county: the choices are how many generators the asked county shall have today, the
actors are the counties. Customers are told in shares and in generators that would serve them, money in what a generator
that is used fully saves in a day, days in shares of the episode; so one network takes any number of counties and days.

What a level is worth is told as if generators were plenty (`unit_gains`), for several waves: the forecast, both ends of
its interval, the forecast corrected by how far it was off yesterday (`recall`), and yesterday's outages again. How the
counties share what there is, is told by the allocation that the gains of each wave make (`allocation`).
Shapes: B states, K counties, N levels, H days, V waves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from stormgym.agents.attention.reading import Tokens, TokenSizes
from stormgym.agents.dispatch.holding import allocation, unit_gains
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.dispatch.core import STATE
from stormgym.envs.storms import AMPLITUDE, COVARIATES, MEAN_WEATHER

N_GROUPS = 3
"""Income terciles."""
WAVES = ("forecast", "lower", "upper", "shifted", "tilted", "yesterday", "fair")
"""Waves that levels are valued for; the last is `shifted` again, with more weight on groups that fell behind."""
DAYS_SHOWN = 5
"""Days of the forecast among the features of a county, today first."""
N_LEVEL = 9 + 6 * len(WAVES)
N_COUNTY = 18 + N_GROUPS + DAYS_SHOWN + 2 + len(WAVES)
N_COMMON = 12 + 2 * len(WAVES)
MOST = 8.0
"""No feature is larger."""
UNIT = 300.0
"""The unit of return is what it costs if one customer-day in so many is without power."""
MOST_LEAD = 5.0
"""An interruption weighs at most e to this in a county whose group fell behind."""
LEAST_SHARE = 0.003
"""No ratio is taken of fewer customers out than this share of a county's."""
GAINS = "unit_gains"
"""Name of what `prepare` adds to an observation."""
_READ = (
    "stock",
    "out",
    "population",
    "unserved",
    "group",
    "forecast",
    "lower",
    "upper",
    "total_lower",
    "total_upper",
    "state",
    *COVARIATES,
)
LARGEST_RATIO = 10.0
"""Of yesterday's outages to the forecast, either way."""


class Known(NamedTuple):
    """What a batch of observations says, as numbers of its own names."""

    stock: Ints
    """`[B, K]` generators there yesterday."""
    out: Floats
    """`[B, K]` customers out yesterday."""
    people: Floats
    """`[B, K]`"""
    unserved: Floats
    """`[B, K]` periods."""
    group: Ints
    """`[B, K]`"""
    weather: Floats
    """`[B, K, 3]` as deviations from the mean."""
    onset: Floats
    """`[B, K]` days from now; negative once it has begun."""
    waves: Floats
    """`[3, B, H, K]` forecast, lower and upper end, today first."""
    total: Floats
    """`[2, B]` lower and upper end of today's outages in all counties."""
    state: dict[str, Floats]
    """`[B]` each, by name."""
    most: Ints
    """`[B, K]` generators that each county could use."""
    order: Ints
    """`[B, K]` counties in the order in which they are asked: most customers out first.

    Then by the forecast of today, by customers, and by index: relabelled counties are asked in the same order."""
    expected: Floats
    """`[B, K]` customers out that the forecast of yesterday had for yesterday; 0 on the first day."""
    before: Floats
    """`[B, K]` customers out on the day before yesterday; 0 on the first two."""
    chosen: Ints
    """`[B, k]` generators of the first k of them, which are chosen already."""


def fits(space: spaces.Space[Any]) -> bool:
    """Whether an observation space is that of generator dispatch, with whole allocations as actions."""
    return isinstance(space, spaces.Dict) and set(_READ) <= set(space.spaces) and "planned" not in space.spaces


def n_counties_of(space: spaces.Dict) -> int:
    """K of an observation space."""
    shape = space["stock"].shape
    assert shape is not None
    return shape[0]


def n_days_of(space: spaces.Dict) -> int:
    """T of an observation space."""
    shape = space["forecast"].shape
    assert shape is not None
    return shape[0] // n_counties_of(space)


def sizes_of(space: spaces.Dict, n_levels: int = 1) -> TokenSizes:
    """Sizes of the tokens of an observation space; the number of levels is that of the actions."""
    return TokenSizes(n_levels, n_counties_of(space), N_LEVEL, N_COUNTY, N_COMMON)


def read(observation: Observation) -> Known:
    """The numbers of a batched observation."""
    obs = {name: np.asarray(observation[name], dtype=np.float64) for name in _READ}
    state = dict(zip(STATE, obs["state"].T, strict=True))
    people = obs["population"]
    b, k = people.shape
    waves = np.stack([obs[name].reshape(b, -1, k) for name in ("forecast", "lower", "upper")])
    # as StormProfile.most_useful; the observation is float32, so that whole quotients may be a little above
    needed = np.ceil(people / state["customers_per_generator"][:, None] * (1.0 - 1e-6))
    forecast = waves[0][:, 0]
    return Known(
        stock=np.rint(obs["stock"]).astype(np.int64),
        out=obs["out"],
        people=people,
        unserved=obs["unserved"],
        group=np.rint(obs["group"]).astype(np.int64),
        weather=(np.stack([obs[name] for name in COVARIATES[:3]], axis=-1) - MEAN_WEATHER) / AMPLITUDE,
        onset=obs["onset"] - state["day"][:, None],
        waves=waves,
        total=np.stack([obs["total_lower"][:, 0], obs["total_upper"][:, 0]]),
        state=state,
        most=np.minimum(needed, state["generators"][:, None]).astype(np.int64),
        order=np.lexsort((-people, -forecast, -obs["out"]), axis=-1),
        expected=np.asarray(observation.get("expected", np.zeros((b, k))), dtype=np.float64),
        before=np.asarray(observation.get("out_before", np.zeros((b, k))), dtype=np.float64),
        chosen=np.asarray(observation.get("chosen", np.zeros((b, 0), dtype=np.int64))),
    )


def recall(observation: Observation, memory: Any, start: Bools) -> tuple[Observation, Any]:
    """Yesterday's forecast of yesterday (`expected`) and the outages of the day before (`out_before`), from memory.

    What is ahead in an observation begins today, so that how far the forecast was off is not told by one alone.
    """
    k = observation["out"].shape[1]
    fresh = {name: np.zeros_like(observation["out"]) for name in ("expected", "out_before")}
    if memory is not None:
        keep = ~np.asarray(start, dtype=bool)[:, None]
        fresh = {name: np.where(keep, memory[name], 0.0).astype(np.float32) for name in fresh}
    # the forecast of today, for tomorrow; and what was out yesterday, which is then the day before
    kept = {"expected": np.array(observation["forecast"][:, :k]), "out_before": np.array(observation["out"])}
    return {**observation, **fresh}, kept


def prepare(observation: Observation) -> Observation:
    """The observation with the gains that all counties' choices are shown, under a name of their own."""
    if GAINS in observation:
        return observation
    return {**observation, GAINS: _gains(read(observation))}


def asked_of(known: Known) -> tuple[Ints, Ints, Ints]:
    """The county that is asked, the generators that are left, and the most that it may have, `[B]` each."""
    part = min(known.chosen.shape[1], known.order.shape[1] - 1)
    asked = known.order[:, part]
    left = known.state["generators"].astype(np.int64) - known.chosen.sum(axis=1)
    return asked, left, np.minimum(known.most[np.arange(len(asked)), asked], left)


def tokens_of(observation: Observation) -> Tokens:
    """The tokens of a batched observation.

    Args:
        observation: of the environment, in which the first county is asked; or one that asks for another:
            `chosen` `[B, k]` are the generators of the counties asked before it, in their order.
    """
    observation = prepare(observation)
    known, gain = read(observation), np.moveaxis(observation[GAINS], 1, 0)
    asked, left, most = asked_of(known)
    given = np.full(known.out.shape, -1, dtype=np.int64)  # -1: not chosen yet
    np.put_along_axis(given, known.order[:, : known.chosen.shape[1]], known.chosen, axis=1)
    levels = np.arange(gain.shape[-1])
    is_open = levels <= most[:, None]
    shared = _allocations(known, gain, given, left)
    level = _level_features(known, levels, asked, most, gain, shared) * is_open[..., None]
    unit = known.state["interruption_cost"] * known.people.sum(axis=1) * _days(known) / UNIT
    return Tokens(
        choices=level.astype(np.float32),
        is_open=is_open,
        actors=_county_features(known, asked, given, shared).astype(np.float32),
        common=_common_features(known, given, left, gain, shared).astype(np.float32),
        limit=np.maximum(known.state["cost_limit"], 1e-9),
        unit=np.maximum(unit, 1e-9),
    )


def _days(known: Known) -> Floats:
    """Days of the episode `[B]`."""
    return known.state["day"] + known.state["days_left"]


def _ratio(known: Known) -> Floats:
    """Log of yesterday's outages over what was forecast for them `[B, K]`; 0 where either is next to nothing."""
    return _log_ratio(known.out, known.expected, known.people)


def _log_ratio(new: Floats, old: Floats, people: Floats) -> Floats:
    least = LEAST_SHARE * people
    most = np.log(LARGEST_RATIO)
    log_ratio = np.log(np.maximum(new, least)) - np.log(np.maximum(old, least))
    result: Floats = np.where((old > least) & (new > least), np.clip(log_ratio, -most, most), 0.0)
    return result


def _waves(known: Known) -> Floats:
    """The waves `[V, B, H, K]` that levels are valued for."""
    mean = known.waves[0]
    days = np.arange(mean.shape[1])
    log_ratio = _ratio(known)[:, None]
    begun = np.maximum(-known.onset, 1.0)[:, None]
    # what is off by a factor today will be off by more: rates of a wave differ from their forecast, not its size
    growing = 1.0 + (days + 1.0)[None, :, None] / begun
    most = np.log(LARGEST_RATIO)
    tilted = mean * np.exp(np.clip(log_ratio * growing, -most, most))
    goes_on = (days[None, :] < known.state["days_left"][:, None])[..., None]
    people = known.people[:, None]
    shifted = mean * np.exp(log_ratio)
    waves = [*known.waves, shifted, tilted, known.out[:, None] * goes_on, shifted]
    result: Floats = np.minimum(np.stack(waves), people)
    return result


def _gains(known: Known) -> Floats:
    """Gains of units `[B, V, K, N]`, in days of a generator that is used fully."""
    s = known.state
    waves = _waves(known)
    v, b = waves.shape[:2]

    def often(values: Any) -> Any:
        return np.concatenate([values] * v)

    weight = np.ones((v, b, known.out.shape[1]))
    weight[WAVES.index("fair")] = np.exp(np.clip(_lead(known)[0], -MOST_LEAD, MOST_LEAD))
    gain = unit_gains(
        waves.reshape(v * b, *waves.shape[2:]),
        often(known.stock),
        int(known.most.max()) + 1,
        customers_per_generator=often(s["customers_per_generator"]),
        transport_cost=often(s["transport_cost"]),
        operating_cost=often(s["operating_cost"]),
        interruption_cost=(s["interruption_cost"][:, None] * weight).reshape(v * b, -1),
    )
    worth = np.maximum(s["interruption_cost"] * s["customers_per_generator"], 1e-9)
    scaled: Floats = gain.reshape(v, b, *gain.shape[1:]) / worth[None, :, None, None]
    return np.moveaxis(scaled, 0, 1)


def _allocations(known: Known, gain: Floats, given: Ints, left: Ints) -> Ints:
    """Generators of each county `[V, B, K]`: what is chosen is kept, and what is left is shared among the others."""
    v, b, k, n = gain.shape
    free = np.where(given < 0, known.most, 0)
    shared = allocation(gain.reshape(v * b, k, n), np.concatenate([free] * v), np.concatenate([left] * v))
    return np.where(given < 0, shared.reshape(v, b, k), given)


def _level_features(known: Known, levels: Ints, asked: Ints, most: Ints, gain: Floats, shared: Ints) -> Floats:
    """`[B, N, F]`"""
    rows = np.arange(len(asked))
    total = np.maximum(known.state["generators"], 1.0)[:, None]
    each = known.state["customers_per_generator"][:, None]
    people, stock = known.people[rows, asked][:, None], known.stock[rows, asked][:, None]
    wanted = known.out[rows, asked][:, None] / each
    n = levels[None].astype(np.float64)
    columns = [
        n / total,
        np.minimum(n * each / people, 1.5),
        (n - stock) / total,
        np.abs(n - stock) / total,
        np.broadcast_to(n == 0, (len(asked), levels.size)),
        n == stock,
        n == most[:, None],
        np.tanh((n - wanted) / 2.0),
        (n - wanted) / total,
    ]
    for wave, share in zip(gain[:, rows, asked], shared[:, rows, asked], strict=True):  # [B, N], [B]
        before = np.concatenate([np.zeros((len(asked), 1)), wave[:, :-1]], axis=1)  # of the level's last unit
        worth = before.cumsum(axis=1)
        away = n - share[:, None]
        columns += [
            np.arcsinh(before),
            np.arcsinh(wave),
            np.arcsinh(worth.max(axis=1, keepdims=True) - worth),
            np.tanh(away / 2.0),
            away / total,
            away == 0,
        ]
    result: Floats = np.clip(np.stack(columns, axis=-1).astype(np.float64), -MOST, MOST)
    return result


def _lead(known: Known) -> tuple[Floats, Floats]:
    """Periods without power, in limits: of each county's group over the mean of all, and of all `[B, K]`, `[B]`."""
    member = known.group[..., None] == np.arange(N_GROUPS)  # [B, K, G]
    limit = np.maximum(known.state["cost_limit"], 1e-9)
    count = np.maximum(member.sum(axis=1), 1)
    mean = (member * known.unserved[..., None]).sum(axis=1) / count  # [B, G]
    of_all = mean.mean(axis=1)
    lead = (member * (mean - of_all[:, None])[:, None]).sum(axis=-1)
    return lead / limit[:, None], of_all / limit


def _county_features(known: Known, asked: Ints, given: Ints, shared: Ints) -> Floats:
    """`[B, K, F']`"""
    b, k = known.out.shape
    s, people = known.state, known.people
    total, each = np.maximum(s["generators"], 1.0)[:, None], s["customers_per_generator"][:, None]
    limit = np.maximum(s["cost_limit"], 1e-9)[:, None]
    is_asked: Bools = np.arange(k) == asked[:, None]
    lead, _ = _lead(known)
    share = known.out / people
    ahead = np.zeros((b, DAYS_SHOWN, k))
    shown = min(DAYS_SHOWN, known.waves.shape[2])
    ahead[:, :shown] = known.waves[0][:, :shown] / people[:, None]
    columns = [
        is_asked,
        given >= 0,
        np.maximum(given, 0) / total,
        np.maximum(given, 0) * each / people,
        known.stock / total,
        known.stock * each / people,
        share,
        np.log(np.maximum(share, 1e-4)) / 4.0,
        known.out / each / total,
        lead,
        known.unserved / limit / 4.0,
        *np.moveaxis(known.weather, -1, 0),
        known.onset / 5.0,
        known.onset >= 0,
        _ratio(known),
        _log_ratio(known.out, known.before, known.people),
        *(known.group[..., None] == np.arange(N_GROUPS)).transpose(2, 0, 1),
        *ahead.transpose(1, 0, 2),
        *(known.waves[1:, :, 0] / people),
        *(shared / total),
    ]
    result: Floats = np.clip(np.stack(columns, axis=-1).astype(np.float64), -MOST, MOST)
    return result


def _common_features(known: Known, given: Ints, left: Ints, gain: Floats, shared: Ints) -> Floats:
    """`[B, C]`"""
    s = known.state
    total = np.maximum(s["generators"], 1.0)
    serves = total * s["customers_per_generator"]
    worth = np.maximum(s["interruption_cost"] * s["customers_per_generator"], 1e-9)
    people = known.people.sum(axis=1)
    limit = np.maximum(s["cost_limit"], 1e-9)
    columns = [
        s["day"] / _days(known),
        np.log(np.maximum(s["days_left"], 1.0)) / 3.0,
        s["home"] / total,
        left / total,
        (given < 0).mean(axis=1),
        np.arcsinh(s["transport_cost"] / worth),
        np.arcsinh(s["operating_cost"] / worth),
        s["gap"] / limit,
        _lead(known)[1] / 4.0,
        serves / people,
        known.out.sum(axis=1) / serves,
        known.total.sum(axis=0) / 2.0 / serves,
        *(shared.sum(axis=-1) / total),
        *((gain > 0).sum(axis=(-2, -1)) / total),
    ]
    result: Floats = np.clip(np.stack(columns, axis=-1).astype(np.float64), -MOST, MOST)
    return result
