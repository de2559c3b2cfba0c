"""One season as a planning problem, read from an observation of Undergrounding-v0; search over plans for it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stormgym.agents.undergrounding.trilevel.problem import list_patterns
from stormgym.envs.arrays import Bools, Floats, Observation
from stormgym.envs.risk import check_alpha, mean_cvar
from stormgym.envs.storms import COVARIATES
from stormgym.envs.undergrounding.core import OF_REGIONS, STATE
from stormgym.envs.undergrounding.regions import UndergroundingProfile, send_crews

ENV_ID = "Undergrounding-v0"
MAX_LISTED = 2_000
"""Most plans that are enumerated; beyond, a local search evaluates some of them."""
MAX_LEFT = 200
"""Most choices of regions to leave to the crews that a search looks at before it begins."""
_FLOAT32 = 3e-7
"""Relative rounding between a budget and costs in float32; the environment tolerates it."""
_AT = {name: i for i, name in enumerate(STATE)}


@dataclass(frozen=True)
class Case:
    """One season, as its players observe it before the storm."""

    protected: Bools
    """`[K]` regions whose lines are buried already."""
    weights: Floats
    """`[K]` customers, 0 where lines are buried."""
    cost: Floats
    """`[K]` cost of burying each region's lines, 0 where that is done."""
    budget: float
    """Budget that is left."""
    n_crews: int
    mean: Floats
    """`[K]` forecast hours without power."""
    lower: Floats
    """`[K]` least and (`upper`) largest hours in the set of storms; `total_lower`, `total_upper` bound their sum."""
    upper: Floats
    total_lower: float
    total_upper: float
    covariates: Floats
    """`[K, F]`, see `stormgym.envs.storms.COVARIATES`."""

    @property
    def bounds(self) -> tuple[Floats, Floats, float, float]:
        """L, T, L_0 and T_0, in the order in which the planners take them."""
        return self.lower, self.upper, self.total_lower, self.total_upper


def check_observation(observation: Observation) -> int:
    """Number of seasons B of a batch of observations.

    Raises:
        ValueError: it is not an observation of undergrounding.
    """
    if not {*OF_REGIONS, "state"} <= set(observation):
        raise ValueError(f"this agent reads the observation of {ENV_ID}; got {sorted(observation)}")
    return len(observation["state"])


def case_of(observation: Observation, row: int) -> Case:
    """One season out of a batch of observations, with float32 rounding mended: no bounds cross, the budget holds."""
    part = {name: np.asarray(observation[name][row], dtype=np.float64) for name in (*OF_REGIONS, "state")}
    state, done = part["state"], part["protected"] > 0.5
    lower, upper = part["lower"], np.maximum(part["upper"], part["lower"])
    total_upper = max(float(state[_AT["total_upper"]]), float(lower.sum()))
    return Case(
        protected=done,
        weights=np.where(done, 0.0, part["population"]),
        cost=np.where(done, 0.0, part["protect_cost"]),
        budget=float(state[_AT["budget_left"]]) * (1.0 + _FLOAT32),
        n_crews=round(float(state[_AT["n_crews"]])),
        mean=part["mean"],
        lower=lower,
        upper=upper,
        total_lower=min(float(state[_AT["total_lower"]]), float(upper.sum()), total_upper),
        total_upper=total_upper,
        covariates=np.stack([part[name] for name in COVARIATES], axis=-1),
    )


def left_h(plans: Bools, storms: Floats, weights: Floats, n_crews: int) -> Floats:
    """Hours without power `[P, S, K]` that plans `[P, K]` and crews leave in storms `[S, K]`; crews know the storm."""
    exposed = storms[None] * ~plans[:, None]
    return exposed * (1.0 - send_crews(exposed * weights, n_crews))


def listed_plans(case: Case, *, full: bool) -> Bools | None:
    """Affordable plans `[P, K]`, or None where there are more than `MAX_LISTED`.

    Args:
        case: of the season.
        full: only maximal plans, to which no region can be added. Enough for the loss, which never grows when one is
            added; not for the gap, which may.
    """
    if full:
        return None if (found := list_patterns(case.cost, case.budget, MAX_LISTED)) is None else np.array(found)
    free = np.flatnonzero(~case.protected & (case.cost <= case.budget))
    if len(free) > np.log2(MAX_LISTED) + 2:
        return None
    chosen = (np.arange(2 ** len(free))[:, None] >> np.arange(len(free))) & 1 > 0
    plans = np.zeros((len(chosen), len(case.cost)), dtype=np.bool_)
    plans[:, free] = chosen
    plans = plans[plans @ case.cost <= case.budget * (1.0 + 1e-9)]
    return plans if len(plans) <= MAX_LISTED else None


def loss_and_gap(plans: Bools, case: Case, storms: Floats, profile: UndergroundingProfile) -> tuple[Floats, Floats]:
    """Mean loss and mean gap in hours `[P]` of plans `[P, K]` in storms `[S, K]`, some plans at a time."""
    parts = []
    for some in np.array_split(plans, max(len(plans) // 200, 1)):
        left = left_h(some | case.protected, storms, profile.population, case.n_crews)
        parts.append((profile.loss_h(left).mean(axis=1), profile.gap_h(left).mean(axis=1)))
    loss, gap = (np.concatenate(part) for part in zip(*parts, strict=True))
    return loss, gap


def storm_losses(plans: Bools, case: Case, storms: Floats, profile: UndergroundingProfile) -> Floats:
    """Loss in hours `[P, S]` of plans `[P, K]` in each of storms `[S, K]`, crews knowing the storm.

    The same as `profile.loss_h(left_h(...))`, without ranking regions: crews take the C largest losses away.
    """
    weights, crews = profile.population / profile.population.sum(), min(case.n_crews, len(case.cost))
    parts = []
    for some in np.array_split(plans, max(len(plans) * len(storms) // 20_000, 1)):
        lost = (storms * weights)[None] * ~(some | case.protected)[:, None]  # [P', S, K]
        helped = np.partition(lost, -crews, axis=-1)[..., -crews:].sum(axis=-1) if crews else 0.0
        parts.append(lost.sum(axis=-1) - helped)
    return np.concatenate(parts)


def best_plan(
    case: Case,
    storms: Floats,
    profile: UndergroundingProfile,
    gap_weight: float = 0.0,
    start: Bools | None = None,
    *,
    alpha: float = 1.0,
    mean_weight: float = 0.0,
) -> Bools:
    """The plan `[K]` of least mean loss in storms `[S, K]`, plus `gap_weight` times the mean gap between groups.

    With alpha below 1 it is the least mean_weight x mean + (1 - mean_weight) x CVaR_alpha of the loss.

    The best of all affordable plans where these are few enough to list. Else a local search: regions are added, dropped
    and exchanged while that helps, from `start` on, or from the greedy plan and the best of `crew_plans`, whichever
    ends lower.

    Args:
        case: of the season.
        storms: `[S, K]` equally likely storms, hours without power.
        profile: for customers and groups.
        gap_weight: hours of loss that an hour of gap is worth.
        start: an affordable plan `[K]` to begin the search from; None or an empty one takes the usual two.
        alpha: share of worst storms whose mean loss counts, in (0, 1]; 1 is the mean of all.
        mean_weight: of the mean beside the CVaR, in [0, 1].
    """
    check_alpha(alpha)

    def score(plans: Bools) -> Floats:
        result: Floats = mean_cvar(storm_losses(plans, case, storms, profile), alpha, mean_weight)
        if gap_weight:
            result = result + gap_weight * loss_and_gap(plans, case, storms, profile)[1]
        return result

    plans = listed_plans(case, full=gap_weight == 0)
    if plans is not None:
        best: Bools = plans[int(score(plans).argmin())]
        return best & ~case.protected
    if start is not None and start.any():
        starts = start[None]
    else:
        others = crew_plans(case, storms.mean(axis=0))
        starts = np.stack([greedy_plan(case, storms.mean(axis=0)), others[int(score(others).argmin())]])
    ends = [_search(one, case, score) for one in np.unique(starts, axis=0)]
    best = min(ends, key=lambda end: end[1])[0]
    return best & ~case.protected


def _search(start: Bools, case: Case, score: Callable[[Bools], Floats]) -> tuple[Bools, float]:
    """The plan at which no neighbour is better, from `start` on, and its score."""
    best, least = start, np.inf
    while True:
        near = _neighbours(best, case)
        values = score(near)
        if not values.min() < least - 1e-12:
            return best, least
        best, least = near[int(values.argmin())], float(values.min())


def greedy_plan(case: Case, hours: Floats) -> Bools:
    """Regions `[K]` in falling order of expected loss per cost, for hours `[K]`, while the budget lasts."""
    plan, left = np.zeros(len(case.cost), dtype=np.bool_), case.budget
    for k in np.argsort(-case.weights * hours / np.maximum(case.cost, 1e-9), kind="stable"):
        if not case.protected[k] and case.cost[k] <= left:
            plan[k], left = True, left - case.cost[k]
    return plan


def crew_plans(case: Case, hours: Floats) -> Bools:
    """Greedy plans `[P, K]` for hours `[K]` that leave some of the largest losses to the crews, who take them anyway.

    The greedy plan buries the largest losses, and crews then have little to do; no exchange of one region for another
    leads from there to a plan that leaves two of them out. One plan for each choice of C of the C + e regions that lose
    most, e as large as `MAX_LEFT` choices allow.
    """
    lost = np.where(case.protected, 0.0, case.weights * hours)
    crews, k = min(case.n_crews, int((lost > 0).sum())), len(lost)
    spare = max(e for e in range(5) if e == 0 or math.comb(crews + e, e) <= MAX_LEFT)
    most = np.argsort(-lost, kind="stable")[: min(crews + spare, k)]
    plans = []
    for left in itertools.combinations(most.tolist(), crews):
        open_ = np.ones(k, dtype=np.bool_)
        open_[list(left)] = False
        plans.append(greedy_plan(case, hours * open_))
    return np.unique(np.array(plans), axis=0)


def _neighbours(plan: Bools, case: Case) -> Bools:
    """Affordable plans with a region more, less or another, `[P, K]`; the plan itself is the first."""
    k = len(plan)
    eye = np.eye(k, dtype=np.bool_)
    flipped = plan ^ eye  # one more or one less
    inside, outside = np.flatnonzero(plan & ~case.protected), np.flatnonzero(~plan & ~case.protected)
    exchanged = (plan ^ eye[inside])[:, None] ^ eye[outside]  # [I, O, K]
    near = np.concatenate([plan[None], flipped[~case.protected], exchanged.reshape(-1, k)])
    return near[near @ case.cost <= case.budget * (1.0 + 1e-9)]


def order_of(observation: Observation) -> Any:
    """Expected loss of each region `[B, K]`: planned regions are buried in its order, the largest first."""
    return np.asarray(observation["population"]) * np.asarray(observation["mean"])
