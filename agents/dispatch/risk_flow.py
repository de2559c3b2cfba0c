"""Where mobile generators go when the bad storms count: the plan of least CVaR of its cost over samples of the wave.

For the mean over samples the plan is a flow with integer data (`stormgym.agents.dispatch.flow`). The tail couples days
and counties, so the linear program need not be whole any more; it is, or nearly so, in most cases (docs/results). Three
things make it small: segments that every sample uses alike are one column, samples that are nowhere near the tail are
left out until a plan makes them bad, and a mixed program is solved only where the linear one leaves a gap.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from stormgym.agents.dispatch.costs import (
    ReturnBy,
    check_largest,
    checked_outages,
    checked_stock0,
    plan_cost,
)
from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.core import is_number, numbers_of
from stormgym.envs.risk import CVaRPlan, Polytope, check_alpha, check_mean_weight, cvar, cvar_plan

_WIDER, _MORE = 1.5, 10
"""Samples of the first program: so many times the tail, and so many on top."""
_WHOLE = 1e-6
"""How far from a whole number a column of the linear program may be."""


@dataclass(frozen=True)
class RiskPlan:
    """Generators in each county on each day, and what that costs over the samples."""

    stock: Ints
    """`[T, K]` generators that serve county k on day t."""
    value: float
    """mean_weight x mean + (1 - mean_weight) x CVaR_alpha of the plan's cost over the samples."""
    mean: float
    cvar: float
    bound: float
    """Lower bound on the value of any plan."""
    status: str
    """ "optimal": value and bound differ by at most the gap asked for; else the gap that is left."""
    seconds: float

    @property
    def gap(self) -> float:
        """What the plan may be above the best one, as a share of the bound."""
        return (self.value - self.bound) / max(1.0, abs(self.bound))


def plan_dispatch_risk(
    outages: ArrayLike,
    *,
    generators: int,
    customers_per_generator: float,
    transport_cost: ArrayLike,
    interruption_cost: ArrayLike,
    operating_cost: float,
    alpha: float,
    mean_weight: float = 0.0,
    return_by: ReturnBy = "after",
    stock0: ArrayLike | None = None,
    gap: float = 1e-6,
    time_limit: float | None = None,
) -> RiskPlan:
    """The plan that is cheapest in the worst share alpha of the samples of a wave, or for the mean and these together.

    min over plans of mean_weight x mean_s f_s + (1 - mean_weight) x CVaR_alpha of f_s, f_s the cost of the plan in
    sample s (GDF eq. 8); with alpha = 1 or mean_weight = 1 it is the plan of `solve_dispatch` for the mean.

    Args:
        outages: `[S, T, K]` customers out, S equally likely samples of the wave.
        generators: Q in the one warehouse.
        customers_per_generator: N_g, above 0.
        transport_cost: of one generator and trip: a number, or `[K]`.
        interruption_cost: tau of a customer-day: a number, or `[K]`.
        operating_cost: of a generator-day in a county.
        alpha: share of worst samples, in (0, 1].
        mean_weight: of the mean of all samples, in [0, 1].
        return_by: when generators are home again (see `ReturnBy`).
        stock0: `[K]` generators in counties before day 1; they count among `generators`.
        gap: relative gap between value and bound at which the search ends.
        time_limit: seconds that the mixed program may take; None: until the gap is closed. The linear program, which
            gives the bound and nearly always the plan, has no limit: about a second for 67 counties, 30 days and 100
            samples.

    Raises:
        ValueError: a shape or number that does not fit; the message names it.
        RuntimeError: the solver failed.
    """
    began = time.perf_counter()
    waves, tau = checked_outages(outages, interruption_cost, operating_cost, customers_per_generator, return_by)
    if waves.ndim != 3:
        raise ValueError(f"outages must be samples [S, T, K]; got shape {waves.shape}. Add an axis to one wave")
    alpha, n_counties = check_alpha(alpha), waves.shape[2]
    check_mean_weight(mean_weight)
    trip = numbers_of("transport_cost", transport_cost)
    if trip.shape not in ((), (n_counties,)) or not (np.isfinite(trip) & (trip >= 0)).all():
        raise ValueError(f"transport_cost must be at least 0, a number or {(n_counties,)}; got {transport_cost!r}")
    if not is_number(generators) or not 0 <= generators < np.inf or generators != np.round(generators):
        raise ValueError(f"generators must be a whole number of at least 0, of one warehouse; got {generators!r}")
    check_largest("transport_cost", float(trip.max(initial=0.0)))
    held = checked_stock0(stock0, n_counties)
    if held.sum() > generators:
        raise ValueError(f"stock0 holds {held.sum():g} generators, and there are {generators}")
    weight = 1.0 if alpha == 1.0 else float(mean_weight)
    case = _Case(
        waves,
        int(generators),
        float(customers_per_generator),
        trip,
        tau,
        operating_cost,
        return_by,
        held,
        alpha,
        weight,
    )
    stock, bound = _search(case, gap, time_limit)
    cost = case.cost(stock)
    mean, tail = float(cost.mean()), float(cvar(cost, alpha))
    value = weight * mean + (1.0 - weight) * tail
    plan = RiskPlan(stock, value, mean, tail, min(bound, value), "optimal", time.perf_counter() - began)
    return plan if plan.gap <= gap else replace(plan, status=f"gap {plan.gap:.1e}")


@dataclass(frozen=True)
class _Case:
    """What is planned for."""

    waves: Floats  # [S, T, K]
    generators: int
    each: float  # N_g
    trip: Floats  # [] or [K]
    tau: Floats  # [K]
    running: float  # cost of a generator-day
    return_by: ReturnBy
    stock0: Floats  # [K]
    alpha: float
    mean_weight: float

    def cost(self, stock: Ints) -> Floats:
        """Cost of a plan in each sample, `[S]`."""
        return plan_cost(
            stock,
            self.waves,
            customers_per_generator=self.each,
            transport_cost=self.trip,
            interruption_cost=self.tau,
            operating_cost=self.running,
            return_by=self.return_by,
            stock0=self.stock0,
        )

    def value(self, stock: Ints) -> float:
        """What is minimised."""
        cost = self.cost(stock)
        return float(self.mean_weight * cost.mean() + (1.0 - self.mean_weight) * cvar(cost, self.alpha))


@dataclass(frozen=True)
class _Columns:
    """The program's columns: segments in use, then trips out and trips back `[T, K]` each.

    The j-th generator in a county on a day saves clip(Y - j N_g, 0, N_g) customer-days. The first `full` ones save N_g
    in every sample and the last ones nothing in any, so each kind is one column of some width; only what lies between
    has a column of its own.
    """

    place: Ints  # [n] which t K + k a segment belongs to
    width: Floats  # [n] generators in it
    saved: Any  # sparse [S, n + 2 T K] customer-days saved times tau, of one generator
    linear: Floats  # [n + 2 T K] what is the same in every sample
    n_days: int
    n_counties: int

    @property
    def n(self) -> int:
        """Number of segments."""
        return len(self.place)

    def stock(self, x: Floats) -> Floats:
        """Generators in each county on each day `[T, K]`, not yet whole."""
        held: Any = np.bincount(self.place, weights=x[: self.n], minlength=self.n_days * self.n_counties)
        result: Floats = held.reshape(self.n_days, self.n_counties)
        return result


def _columns(case: _Case) -> _Columns:
    waves, each, most = case.waves, case.each, case.generators
    n_samples, t, k = waves.shape
    full = np.minimum(np.floor(waves.min(axis=0) / each), most).astype(np.int64).ravel()
    number = np.maximum(np.minimum(np.ceil(waves.max(axis=0) / each), most).astype(np.int64).ravel() - full, 0)
    cells = np.arange(t * k)
    between = np.repeat(cells, number)
    level = np.arange(len(between)) - np.repeat(np.cumsum(number) - number, number) + full[between]
    part = np.clip(waves.reshape(n_samples, -1)[:, between] - level * each, 0.0, each)
    tau = np.tile(case.tau, t)
    place = np.concatenate([cells, between, cells])
    width = np.concatenate([full, np.ones(len(between)), np.full(t * k, float(most))])
    # what a segment saves in every sample stays out of the tail; there a generator that is full would fill its rows
    price = np.full(len(place), float(case.running))
    price[: t * k] -= tau * each
    trip = np.broadcast_to(case.trip, (t, k)).ravel()
    if case.return_by == "after":  # what is out on the last day goes home after it
        price += np.where(place >= (t - 1) * k, trip[place], 0.0)
    if case.return_by == "within":
        width[place >= (t - 1) * k] = 0.0
    home = np.zeros(t * k) if case.return_by == "none" else trip
    saved = sparse.hstack(
        [
            sparse.csr_matrix((n_samples, t * k)),
            sparse.csr_matrix(part * tau[between]),
            sparse.csr_matrix((n_samples, 3 * t * k)),
        ],
        format="csr",
    )
    return _Columns(place, width, saved, np.concatenate([price, trip, home]), t, k)


def _polytope(case: _Case, columns: _Columns) -> Polytope:
    """Stock - stock of the day before - out + back = 0 in each county on each day, and at most Q in all."""
    t, k, n = columns.n_days, columns.n_counties, columns.n
    cells, segment = np.arange(t * k), np.arange(n)
    goes_on = columns.place < (t - 1) * k
    rows = np.concatenate([columns.place, columns.place[goes_on] + k, cells, cells])
    entries = np.concatenate([segment, segment[goes_on], n + cells, n + t * k + cells])
    signs = np.repeat([1.0, -1.0, -1.0, 1.0], [n, goes_on.sum(), t * k, t * k])
    size = n + 2 * t * k
    start = np.zeros(t * k)
    start[:k] = case.stock0
    return Polytope(
        lower=np.zeros(size),
        upper=np.concatenate([columns.width, np.full(2 * t * k, np.inf)]),
        A_ub=sparse.csr_matrix((np.ones(n), (columns.place // k, segment)), shape=(t, size)),
        b_ub=np.full(t, float(case.generators)),
        A_eq=sparse.csr_matrix((signs, (rows, entries)), shape=(t * k, size)),
        b_eq=start,
    )


def _search(case: _Case, gap: float, time_limit: float | None) -> tuple[Ints, float]:
    """The best plan found, `[T, K]`, and a lower bound: first linear, then whole near it, then whole everywhere."""
    columns = _columns(case)
    polytope = _polytope(case, columns)
    whole = np.arange(len(columns.linear)) < columns.n
    relaxed, active = _relaxed(case, columns, polytope)
    stock, bound = _rounded(columns.stock(relaxed.plan), case.generators), relaxed.bound

    def is_open() -> bool:
        return case.value(stock) - bound > gap * max(1.0, abs(bound))

    def better_of(plan: CVaRPlan) -> Ints:
        found = np.rint(columns.stock(plan.plan)).astype(np.int64)
        return min(stock, found, key=case.value)

    if is_open():
        near = _near(polytope, relaxed.plan, whole)
        stock = better_of(_solve(case, columns, near, active, whole, gap, time_limit))
    if is_open():
        everything = np.arange(len(case.waves))
        try:
            plan = _solve(case, columns, polytope, everything, whole, gap, time_limit)
        except RuntimeError:
            if time_limit is None:
                raise
            return stock, bound  # no plan at all in that time; one near the linear program's is at hand
        stock, bound = better_of(plan), max(bound, plan.bound)
    return stock, bound


def _rounded(stock: Floats, generators: int) -> Ints:
    """Whole numbers nearest to stocks `[T, K]`, of which no day has more than Q: the largest parts go up first."""
    base = np.floor(stock + _WHOLE)
    part = stock - base
    rank = np.argsort(np.argsort(-part, axis=1, kind="stable"), axis=1)
    left = generators - base.sum(axis=1, keepdims=True)
    rounded: Ints = (base + ((part >= 0.5) & (rank < left))).astype(np.int64)
    return rounded


def _near(polytope: Polytope, x: Floats, whole: Any) -> Polytope:
    """The plans that differ from a linear program's only in how its fractions are rounded."""
    lower, upper = polytope.bounds(len(x))
    low, high = np.floor(x + _WHOLE), np.ceil(x - _WHOLE)
    return replace(polytope, lower=np.where(whole, low, lower), upper=np.where(whole, high, upper))


def _relaxed(case: _Case, columns: _Columns, polytope: Polytope) -> tuple[CVaRPlan, Ints]:
    """The linear program's plan, and the samples that it was solved for.

    A sample that costs no more than the threshold of the tail has no part in it: with some samples left out the program
    is a relaxation, and exact when none of them costs more at its plan. They join until that holds.
    """
    n_samples = len(case.waves)
    # customers that all generators together could not serve: near enough to what a plan will cost to begin with
    short = np.maximum(case.waves.sum(axis=2) - case.generators * case.each, 0.0).sum(axis=1)
    tail = case.alpha * n_samples
    first = min(n_samples, int(_WIDER * tail) + _MORE)
    active = np.sort(np.argsort(-short, kind="stable")[:first])
    while True:
        plan = _solve(case, columns, polytope, active, None, 0.0, None)
        if len(active) == n_samples or case.mean_weight == 1.0:
            return plan, active
        cost = _interruption(case, columns, plan.plan)
        ordered = np.sort(cost[active])[::-1]
        threshold = ordered[max(int(np.ceil(tail - 1e-9)), 1) - 1]  # the last atom in the tail, in part or whole
        bad = cost > threshold + 1e-9 * abs(threshold)
        bad[active] = False
        if not bad.any():
            return plan, active
        active = np.sort(np.concatenate([active, np.flatnonzero(bad)]))


def _interruption(case: _Case, columns: _Columns, x: Floats) -> Floats:
    """What differs between samples of a plan's cost, `[S]`."""
    without: Floats = (case.waves * case.tau).sum(axis=(1, 2))
    result: Floats = without - columns.saved @ x
    return result


def _solve(
    case: _Case,
    columns: _Columns,
    polytope: Polytope,
    active: Ints,
    integral: Any,
    gap: float,
    time_limit: float | None,
) -> CVaRPlan:
    """The plan of least mean and CVaR with these samples in the tail's program; the mean is that of all of them."""
    weight, n_samples = case.mean_weight, len(case.waves)
    without: Floats = (case.waves * case.tau).sum(axis=(1, 2))
    mean = np.asarray(columns.saved.mean(axis=0)).ravel()
    # CVaR is homogeneous, so its weight goes into the samples and the mean of all into what does not depend on them
    alone = weight == 1.0
    plan = cvar_plan(
        columns.saved[active] * (0.0 if alone else weight - 1.0),
        polytope,
        alpha=1.0 if alone else min(1.0, case.alpha * n_samples / len(active)),
        linear=columns.linear - weight * mean,
        offsets=(1.0 - weight) * without[active],
        integral=integral,
        gap=gap,
        time_limit=time_limit,
    )
    constant = weight * float(without.mean())
    return CVaRPlan(plan.plan, plan.value + constant, plan.bound + constant, plan.status, plan.seconds)
