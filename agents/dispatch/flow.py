"""Where mobile generators go while an outage wave passes: the exact plan, as a min-cost flow over days and counties.

In whole generators the cost of what goes unserved is convex and piecewise linear: each further generator in a county
saves less. Put on parallel holding arcs of the network over time, this gives a flow with integer data, so the linear
program has an integer optimum (GDF eq. 8-14, corrected: every generator is back at T + 1, and warehouses have stocks).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from stormgym.agents.dispatch.costs import (
    LARGEST,
    ReturnBy,
    check_largest,
    checked_outages,
    checked_stock0,
    plan_cost,
)
from stormgym.agents.dispatch.highs import least_cost
from stormgym.agents.dispatch.risk_flow import RiskPlan, plan_dispatch_risk
from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.core import is_number, is_whole, numbers_of

__all__ = [
    "DispatchPlan",
    "OnlineRule",
    "ReturnBy",
    "RiskPlan",
    "in_order",
    "online_greedy",
    "plan_cost",
    "plan_dispatch_risk",
    "solve_dispatch",
]


MAX_GENERATORS = 1_000_000
"""Of a warehouse."""
_KEPT_ARCS = 20_000
"""Holding arcs up to which the matrix of a plan is kept for the next."""
MAX_ARCS = 20_000_000
"""Holding arcs of a plan for samples."""


@dataclass(frozen=True)
class DispatchPlan:
    """Generators in each county on each day, and what that costs.

    The cost is that of the outages that were planned for: of one wave, or the mean over the samples of several.
    """

    stock: Ints
    """`[T, K]` generators that serve county k on day t."""
    cost: float
    transport_cost: float
    operating_cost: float
    interruption_cost: float
    bound: float
    """Lower bound on the cost of any plan: the linear program's value."""
    status: str
    """ "optimal": stock and bound meet."""
    seconds: float


class _Network(NamedTuple):
    """Arcs between counties 0..K-1 and warehouses K..K+W-1."""

    source: Ints  # [A]
    target: Ints  # [A]
    price: Floats  # [A]
    capacity: Floats  # [A] a day
    n_counties: int
    generators: Ints  # [W]


def solve_dispatch(
    outages: ArrayLike,
    *,
    generators: int | Sequence[int],
    customers_per_generator: float,
    transport_cost: ArrayLike,
    interruption_cost: ArrayLike,
    operating_cost: float,
    return_by: ReturnBy = "after",
    stock0: ArrayLike | None = None,
    arc_capacity: ArrayLike | None = None,
) -> DispatchPlan:
    """The cheapest plan for a known wave, or for the mean cost over samples of it.

    Shipments leave at the start of a day and serve that day. The cost is transport (both ways), operating cost of
    every generator-day in a county, and interruption cost of every customer-day unserved (GDF eq. 8).

    Args:
        outages: `[T, K]` customers out; or `[S, T, K]`, S samples of the wave: the plan is then the one of the least
            mean cost (sample-average approximation).
        generators: Q in the one warehouse, or `[W]` in each of W.
        customers_per_generator: N_g, above 0.
        transport_cost: of one generator and trip: a number, `[K]` for trips between the warehouse and each county, or
            `[K+W, K+W]` for trips between any two places, warehouses last.
        interruption_cost: tau of a customer-day: a number, or `[K]`, one a county.
        operating_cost: of a generator-day in a county.
        return_by: when generators are home again (see `ReturnBy`); each warehouse gets its own number back.
        stock0: `[K]` generators in counties before day 1 (with one warehouse only); they count among `generators`.
        arc_capacity: `[K+W, K+W]` most generators a day on each way, where the transport cost is such a matrix.

    Raises:
        ValueError: a shape or number that does not fit; the message names it.
        RuntimeError: no plan exists (capacities that are too small), or the solver failed.
    """
    began = time.perf_counter()
    waves, tau = checked_outages(outages, interruption_cost, operating_cost, customers_per_generator, return_by)
    samples = waves if waves.ndim == 3 else waves[None]
    network = _network(samples.shape[2], generators, transport_cost, arc_capacity, return_by)
    start = _start(stock0, network)
    total = int(network.generators.sum())
    # A generator in a county saves less than the one before it: parallel holding arcs of falling saving, so that the
    # cheapest flow fills them in order and the piecewise linear cost needs no integer variables.
    saved, width = _segments(samples, total, customers_per_generator)
    price = operating_cost - tau[:, None] * saved  # [T, K, J]
    stock, trips, value = _solve_flow(price, width, network, start, return_by)
    served = customers_per_generator * stock
    parts = (
        float((trips * network.price).sum()),
        float(operating_cost * stock.sum()),
        float((tau * np.maximum(samples - served, 0.0)).sum() / len(samples)),
    )
    # the arcs count what is saved from tau Y, the cost of serving nobody: that constant is no part of the flow
    bound = value + float((tau * samples).sum() / len(samples))
    cost = sum(parts)
    gap = abs(cost - bound) / max(1.0, abs(bound))
    return DispatchPlan(
        stock=stock,
        cost=cost,
        transport_cost=parts[0],
        operating_cost=parts[1],
        interruption_cost=parts[2],
        bound=bound,
        status="optimal" if gap < 1e-6 else f"gap {gap:.1e}",
        seconds=time.perf_counter() - began,
    )


def _network(
    n_counties: int,
    generators: int | Sequence[int],
    transport_cost: ArrayLike,
    arc_capacity: ArrayLike | None,
    return_by: ReturnBy,
) -> _Network:
    number = np.atleast_1d(numbers_of("generators", generators))
    whole = (number >= 0) & (number == np.round(number)) & (number <= MAX_GENERATORS)
    if number.ndim != 1 or np.asarray(generators).dtype == np.bool_ or not whole.all():
        raise ValueError(
            f"generators must be whole numbers of at least 0 and at most {MAX_GENERATORS:,}, one a warehouse; got "
            f"{generators!r}"
        )
    own: Ints = number.astype(np.int64)
    cost = numbers_of("transport_cost", transport_cost)
    if not (np.isfinite(cost) & (cost >= 0)).all():
        raise ValueError(f"transport_cost must be finite and at least 0; got {cost.min()} to {cost.max()}")
    check_largest("transport_cost", float(cost.max(initial=0.0)))
    k, n = n_counties, n_counties + own.size
    if cost.ndim == 2:
        if cost.shape != (n, n):
            raise ValueError(f"a transport_cost between any two places must be {(n, n)}; got {cost.shape}")
        source, target = np.nonzero(~np.eye(n, dtype=bool))
        price = cost[source, target]
    else:
        if own.size != 1:
            raise ValueError(f"{own.size} warehouses need a transport_cost {(n, n)} between all places")
        if cost.ndim and cost.shape != (k,):
            raise ValueError(f"transport_cost must be a number, {(k,)} or {(n, n)}; got {cost.shape}")
        counties, home = np.arange(k), np.full(k, k)
        source, target = np.concatenate([home, counties]), np.concatenate([counties, home])
        price = np.tile(np.broadcast_to(cost, (k,)), 2)
    if return_by == "none":
        price = np.where(target >= k, 0.0, price)
    capacity = np.full(source.size, np.inf)
    if arc_capacity is not None:
        most = numbers_of("arc_capacity", arc_capacity)
        if cost.ndim != 2 or most.shape != (n, n) or not (most >= 0).all():
            raise ValueError(
                f"arc_capacity goes with a transport_cost {(n, n)}, at least 0; got shape {most.shape}"
                + (f", from {most.min()} to {most.max()}" if most.size else "")
            )
        capacity = np.floor(most[source, target])
    return _Network(source, target, price, capacity, k, own)


def _start(stock0: ArrayLike | None, network: _Network) -> Floats:
    """Stock of every place before day 1, `[K + W]`."""
    held = checked_stock0(stock0, network.n_counties)
    home = network.generators.astype(np.float64)
    if held.any():
        if home.size > 1:
            raise ValueError("stock0 needs one warehouse: with several it is not known to which a generator belongs")
        home = home - held.sum()
        if home[0] < 0:
            raise ValueError(f"stock0 holds {held.sum():g} generators, and there are {network.generators[0]}")
    return np.concatenate([held, home])


def _segments(samples: Floats, total: int, customers_per_generator: float) -> tuple[Floats, Floats]:
    """Customer-days that a generator on each holding arc saves, falling along J, and the arcs' widths, `[T, K, J]`.

    One wave needs three: floor(Y / N_g) generators that serve N_g each, one that serves what is left, and idle ones.
    Samples need one arc for each generator up to the largest need, of the mean that it saves.
    """
    if len(samples) == 1:
        y = samples[0]
        whole = np.floor(y / customers_per_generator)
        left = np.maximum(y - whole * customers_per_generator, 0.0)
        saved = np.stack([np.full_like(y, customers_per_generator), left, np.zeros_like(y)], axis=-1)
        width = np.stack([np.minimum(whole, total), np.ones_like(y), np.full_like(y, total)], axis=-1)
        return saved, width
    most = int(min(np.ceil(samples.max() / customers_per_generator), total))
    n_arcs = samples[0].size * (most + 1)
    if n_arcs > MAX_ARCS:
        raise ValueError(
            f"samples need an arc for each day, county and generator that one county can use, {n_arcs:,}; at most "
            f"{MAX_ARCS:,} are tried. Take fewer days or counties, or larger generators (customers_per_generator)"
        )
    saved = np.zeros((*samples.shape[1:], most + 1))
    for j in range(most):
        saved[..., j] = np.clip(samples - j * customers_per_generator, 0.0, customers_per_generator).mean(axis=0)
    width = np.ones_like(saved)
    width[..., -1] = total
    return saved, width


def _solve_flow(
    price: Floats, width: Floats, network: _Network, start: Floats, return_by: ReturnBy
) -> tuple[Ints, Floats, float]:
    """The cheapest flow: stock `[T, K]`, trips on each arc `[L, A]` and its value.

    Rows are the balances of a place on a day, stock - stock of the day before - arrivals + departures = 0. L is T, or
    T + 1 with a last day on which everything goes home.

    A variable enters with +1 in one row and -1 in another, as in a node-arc incidence matrix: totally unimodular, so a
    vertex of the linear program is whole where capacities and supplies are.
    """
    n_days, k, _ = price.shape
    n_places = start.size
    n_layers = n_days + (return_by == "after")
    make = _balance if price.size <= _KEPT_ARCS else _balance.__wrapped__
    balance = make(network.source.tobytes(), network.target.tobytes(), price.shape, n_places, n_layers)
    n_trips = n_layers * network.source.size
    n_kept = n_days * (n_places - k)
    right = np.zeros((n_layers, n_places))
    right[0] = start
    if return_by == "after":
        right[-1, k:] -= network.generators
    width = width.copy()
    if return_by == "within":
        width[-1] = 0.0  # no holding arcs on day T: every generator has left the counties
    upper = np.concatenate([np.tile(network.capacity, n_layers), width.ravel(), np.full(n_kept, np.inf)])
    cost = np.concatenate([np.tile(network.price, n_layers), price.ravel(), np.zeros(n_kept)])
    try:
        x, value = least_cost(cost, balance, right.ravel(), upper)
    except RuntimeError as error:
        why = _why_none(network, start, return_by) if "infeasible" in str(error).lower() else None
        raise RuntimeError(f"no dispatch plan: {why or error}") from error
    whole: Floats = np.round(x)
    if np.abs(x - whole).max() > 1e-6:
        raise RuntimeError(f"the flow is not whole: off by {np.abs(x - whole).max():.1e} generators")
    stock = whole[n_trips : n_trips + price.size].reshape(price.shape).sum(axis=-1).astype(np.int64)
    return stock, whole[:n_trips].reshape(n_layers, -1), value


def _why_none(network: _Network, start: Floats, return_by: ReturnBy) -> str | None:
    """Which input leaves no plan; None where it is not ways that are too narrow."""
    if return_by == "none" or np.isinf(network.capacity).all():
        return None
    total, away = int(network.generators.sum()), int(start[: network.n_counties].sum())
    return (
        f"all {total} generators must come home, {away} of them from counties (stock0), and arc_capacity leaves them "
        "no way in time. Raise arc_capacity, or give fewer generators in stock0"
    )


@lru_cache(maxsize=256)
def _balance(source: bytes, target: bytes, held_shape: tuple[int, int, int], n_places: int, n_layers: int) -> Any:
    """The balances of `_solve_flow` as a matrix, kept: plans of one profile differ in prices and bounds alone.

    Args:
        source, target: places of the arcs, as bytes of int64.
        held_shape: T, K and J.
        n_places, n_layers: K + W and L.
    """
    # columns: trips [L, A], generators held in counties [T, K, J], generators kept in warehouses [T, W]
    sources, targets = np.frombuffer(source, dtype=np.int64), np.frombuffer(target, dtype=np.int64)
    n_days, k, n_parts = held_shape
    n_arcs, n_held = sources.size, n_days * k * n_parts
    day = np.arange(n_layers)[:, None]
    trip = np.arange(n_layers * n_arcs).reshape(n_layers, n_arcs)
    held = n_layers * n_arcs + np.arange(n_held).reshape(held_shape)
    kept = n_layers * n_arcs + n_held + np.arange(n_days * (n_places - k)).reshape(n_days, -1)
    row_of_county = np.arange(n_days)[:, None, None] * n_places + np.arange(k)[None, :, None]
    row_of_county = np.broadcast_to(row_of_county, held_shape)
    row_of_home = np.arange(n_days)[:, None] * n_places + np.arange(k, n_places)
    entries = [
        (day * n_places + targets, trip, -1.0),
        (day * n_places + sources, trip, 1.0),
        (row_of_county, held, 1.0),
        # what is held today is there tomorrow: the same variable in the row of the next day, if there is one
        (row_of_county[: n_layers - 1] + n_places, held[: n_layers - 1], -1.0),
        (row_of_home, kept, 1.0),
        (row_of_home[: n_layers - 1] + n_places, kept[: n_layers - 1], -1.0),
    ]
    rows = np.concatenate([np.ravel(row) for row, _, _ in entries])
    columns = np.concatenate([np.ravel(column) for _, column, _ in entries])
    values = np.concatenate([np.full(column.size, sign) for _, column, sign in entries])
    n_columns = trip.size + held.size + kept.size
    shape = (n_layers * n_places, n_columns)
    return sparse.csc_array(sparse.csr_array((values, (rows, columns)), shape=shape))


OnlineRule = Literal["returns", "keeps", "printed"]
"""How the online rule treats stock: `returns` sends surplus home first; `keeps` sends nothing home before the end;
`printed` (GDF Algorithm 2 to the letter) ships to each county as if it were the only one, and may ship more than Q."""


def in_order(wanted: Ints, home: Ints) -> Ints:
    """Generators shipped to each county `[..., K]` while `home` `[..., 1]` lasts, lower indices first."""
    before = np.cumsum(wanted, axis=-1) - wanted
    return np.clip(home - before, 0, wanted)


def online_greedy(
    outages: ArrayLike,
    first: ArrayLike,
    *,
    generators: int,
    customers_per_generator: float,
    lag: int = 1,
    rule: OnlineRule = "returns",
) -> Ints:
    """Stocks `[..., T, K]` of the rule that follows the outages observed `lag` days ago (GDF Algorithm 2).

    On day t it observes the outages of day t - lag (those of day 0 on day `lag`, none before), needs ceil(Y / N_g) in
    each county, and serves counties in the order of their index while the warehouse has generators.

    Args:
        outages: `[..., T, K]` customers out on days 1..T.
        first: `[..., K]` customers out on day 0.
        generators: Q in the warehouse.
        customers_per_generator: N_g.
        lag: days until outages are known, at least 1.
        rule: see `OnlineRule`; stocks of `printed` may add up to more than Q.

    Raises:
        ValueError: a lag below 1, an unknown rule, or a shape or number that does not fit.
    """
    if not is_whole(lag) or lag < 1:
        raise ValueError(f"lag must be at least 1 day: today's outages are not known yet; got {lag!r}")
    for name, number, least in (
        ("generators", generators, 0),
        ("customers_per_generator", customers_per_generator, 1e-9),
    ):
        if not is_number(number) or not least <= number < np.inf:
            raise ValueError(f"{name} must be a finite number of at least {least:g}; got {number!r}")
    if rule not in ("returns", "keeps", "printed"):
        raise ValueError(f"rule must be returns, keeps or printed; got {rule!r}")
    y, before = numbers_of("outages", outages), numbers_of("first", first)
    if y.ndim < 2 or before.shape[-1:] not in ((), (1,), y.shape[-1:]) or before.ndim >= y.ndim:
        raise ValueError(f"outages must be [..., T, K] and first [..., K]; got shapes {y.shape} and {before.shape}")
    most = LARGEST * min(customers_per_generator, 1.0)  # more generators than an integer holds
    for name, values in (("outages", y), ("first", before)):
        if not ((values >= 0) & (values <= most)).all():
            raise ValueError(f"{name} must be from 0 to {most:g} customers; got {values.min()} to {values.max()}")
    day0 = np.broadcast_to(before, y[..., 0, :].shape)
    late = np.concatenate([np.zeros_like(y[..., : lag - 1, :]), day0[..., None, :], y], axis=-2)[..., : y.shape[-2], :]
    need = np.ceil(late / customers_per_generator - 1e-9).astype(np.int64)
    stock = np.empty(y.shape, dtype=np.int64)
    held = np.zeros(day0.shape, dtype=np.int64)
    for t in range(y.shape[-2]):
        wanted = need[..., t, :]
        if rule == "returns":
            held = np.minimum(held, wanted)
        home = generators - held.sum(axis=-1, keepdims=True)
        short = np.maximum(wanted - held, 0)
        held = held + (np.minimum(short, np.maximum(home, 0)) if rule == "printed" else in_order(short, home))
        stock[..., t, :] = held
    return stock
