"""When power will be back, simulated: S draws of all repair hours, and the plan in force carried out with each.

Draws are inverse predictive quantiles at uniform numbers that belong to a slot, the same at every decision and in every
storm (common random numbers), so that an ERT moves when the plan or what is known does, not by chance. Of work in hand
they are conditional on the hours on site: u' = F(on site) + (1 - F(on site)) u. The plan is open loop: crews take their
sequences as they stand, on their duty hours, and nothing new arrives.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from stormgym.agents.crews.planners import Plans
from stormgym.agents.crews.search.problem import finish_times
from stormgym.agents.crews.situation import Situation
from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.crews.process import chains_of
from stormgym.envs.crews.roster import Roster

N_DRAWS = 96
BEYOND = 1.02
"""Work in hand takes at least so many times the hours on site."""
AT_ONCE = 2**22
"""Numbers of the largest array, which bounds memory."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Uniform numbers of S simulations."""

    uniform: Floats
    """`[S, N]` of each job's repair hours, each column stratified."""
    shock: Floats
    """`[S, N]` normal scores of the shock of a job's group, the same in all columns."""

    @classmethod
    def of(cls, n_jobs: int, n_draws: int = N_DRAWS, seed: int = 0) -> Draws:
        """Latin hypercube: in each column the middles of S strata, in an order of its own.

        Raises:
            ValueError: fewer than one draw.
        """
        if n_draws < 1:
            raise ValueError(f"n_draws must be at least 1; got {n_draws}")
        rng = np.random.default_rng([seed, 3])
        middle = (np.arange(n_draws) + 0.5) / n_draws
        uniform = rng.permuted(np.tile(middle, (n_jobs + 1, 1)), axis=1).T
        return cls(uniform[:, :-1], np.broadcast_to(ndtri(uniform[:, -1:]), (n_draws, n_jobs)))


def power_back_times(situation: Situation, plans: Plans, draws: Draws | None = None) -> Floats:
    """When power is back at each job, in S simulations of each storm.

    Args:
        situation: R storms as they stand.
        plans: theirs.
        draws: numbers of the simulations; None takes `N_DRAWS` of seed 0.

    Returns:
        `[R, S, N]` hours since the storm began. Inf where no plan holds a job, or one above it; what has power already
        has its own time; jobs that are not known are 0.
    """
    n_storms, n = situation.known.shape
    draws = Draws.of(n) if draws is None else draws
    step = max(1, AT_ONCE // (draws.uniform.size * situation.loc.shape[1]))
    parts = []
    for first in range(0, n_storms, step):
        rows = np.arange(first, min(first + step, n_storms))
        own = Plans(plans.crew[rows], plans.place[rows], plans.made_h[rows])
        s = situation.rows(rows)
        parts.append(_power(s, _carried_out(s, own, draws)))
    return np.concatenate(parts) if parts else np.zeros((0, *draws.uniform.shape))


def begin_and_power_times(situation: Situation, plans: Plans, draws: Draws) -> tuple[Floats, Floats]:
    """When work at each job begins, and when power is back there: both of the same simulations.

    Args:
        situation: R storms as they stand.
        plans: theirs.
        draws: numbers of the simulations.

    Returns:
        Twice `[R, S, N]` hours since the storm began: a crew on site, NaN for jobs that are in no plan; and as
        `power_back_times`.
    """
    carried = _carried_out(situation, plans, draws)
    (r, n), row = situation.known.shape, np.arange(len(situation.known))[:, None]
    begin = np.full((r, n + 1, len(draws.uniform)), np.nan)
    begin[row, carried.sequence] = carried.finish_h - carried.work_h
    return begin[:, :n].swapaxes(1, 2), _power(situation, carried)


class _CarriedOut(NamedTuple):
    """Sequences of R storms with K' crews that repair, in S simulations; places are padded with job N."""

    sequence: Ints  # [L, R, K']
    work_h: Floats  # [L, R, K', S]
    finish_h: Floats  # [L, R, K', S]
    done_h: Floats  # [R, S, K'] when work in hand ends
    repairs: Ints  # [K'] crews that repair


def _carried_out(s: Situation, plans: Plans, draws: Draws) -> _CarriedOut:
    r, n = s.known.shape
    n_draws = len(draws.uniform)
    repairs = np.flatnonzero(~s.roster.assessor)
    roster = Roster(**{f.name: getattr(s.roster, f.name)[repairs] for f in fields(Roster)})
    hours = repair_draws(s, draws)  # [R, S, N]
    done = work_in_hand(s, hours, draws)[:, :, repairs]  # [R, S, K]
    sequence = sequences_of(plans, s.open, repairs.size)  # [L, R, K]
    before = np.concatenate([np.full((1, r, repairs.size), n), sequence[:-1]])
    every, row = np.arange(repairs.size), np.arange(r)[:, None]
    place = np.concatenate([s.site, np.zeros((r, 1), dtype=np.int64)], axis=1)
    here = np.where(before == n, s.loc[:, repairs], place[row, before])  # of padding too, whose legs are 0
    way = s.distance_km[here, place[row, sequence]] / roster.speed_kmh[every]
    padded = np.concatenate([hours, np.zeros((r, n_draws, 1))], axis=2)
    work = padded.transpose(0, 2, 1)[row, sequence]  # [L, R, K, S]
    leg = np.where(sequence < n, way, 0.0)[..., None] + work
    leg = leg.swapaxes(2, 3).reshape(len(sequence), r * n_draws, repairs.size)
    ready = roster.next_on(done).reshape(r * n_draws, repairs.size)
    finish = finish_times(roster, ready, leg)[0].reshape(len(sequence), r, n_draws, repairs.size)
    return _CarriedOut(sequence, work, finish.swapaxes(2, 3), done, repairs)


def _power(s: Situation, carried: _CarriedOut) -> Floats:
    """When power is back at each job `[R, S, N]`."""
    (r, n), row = s.known.shape, np.arange(len(s.known))[:, None]
    mended = np.empty((r, n + 1, carried.done_h.shape[1]))
    mended[:, :n] = _under_way(s, carried.done_h, carried.repairs)
    mended[row, carried.sequence] = carried.finish_h
    chain = chains_of(s.parent)  # [R, N, D]
    power = mended[row, chain[:, :, 0]]
    for depth in range(1, chain.shape[2]):
        np.maximum(power, mended[row, chain[:, :, depth]], out=power)
    back = s.known & (s.power_h <= s.now_h[:, None])
    power = np.where(back[..., None], s.power_h[..., None], np.where(s.known[..., None], power, 0.0))
    return power.swapaxes(1, 2)


def sequences_of(plans: Plans, open_: Bools, n_crews: int) -> Ints:
    """Open jobs of each crew's sequence `[L, R, K]`, padded with N, L at least 1; jobs in no plan are left out."""
    r, n = open_.shape
    held = open_ & (plans.crew >= 0)
    span = int(plans.place.max(initial=0)) + 1
    key = np.where(held, plans.crew * span + plans.place, n_crews * span)
    order = np.argsort(key, axis=1, kind="stable")
    crew = np.take_along_axis(np.where(held, plans.crew, n_crews), order, axis=1)
    count = (crew[:, :, None] == np.arange(n_crews)).sum(axis=1)  # [R, K]
    first = np.concatenate([np.cumsum(count, axis=1) - count, np.zeros((r, 1), dtype=np.int64)], axis=1)
    place = np.arange(n) - np.take_along_axis(first, crew, axis=1)
    result = np.full((int(count.max(initial=1)), r, n_crews), n)
    row, column = np.nonzero(crew < n_crews)
    result[place[row, column], row, crew[row, column]] = order[row, column]
    return result


def repair_draws(s: Situation, draws: Draws) -> Floats:
    """Hours of each repair `[R, S, N]` from its start."""
    return _inverse(s.quantile_h, s.quantile_levels, draws.uniform[None]) * _shock(s, draws)


def _shock(s: Situation, draws: Draws) -> Floats:
    """Factors `[R, S, N]` of mean one, as far as the shock is not known."""
    if not s.factor_log_sd.any():
        return np.ones((1, 1, 1))
    sd = s.factor_log_sd[:, None]
    result: Floats = np.exp(sd * draws.shock - 0.5 * sd**2)
    return result


def work_in_hand(s: Situation, hours: Floats, draws: Draws) -> Floats:
    """When each crew's work ends `[R, S, K']`: drawn for repairs, as far as can be told for the rest.

    Args:
        s: R storms.
        hours: `[R, S, N]` draws of repair hours, which hold on the way.
        draws: their numbers.
    """
    now = s.now_h[:, None]
    other = np.where(s.busy, np.maximum(s.begin_h, now) + s.left_h, now)
    repairs = s.busy & (s.job >= 0) & ~s.roster.assessor
    job = np.maximum(s.job, 0)
    on_site = np.where(repairs, np.maximum(now - s.begin_h, 0.0), 0.0)
    quantile = np.take_along_axis(s.quantile_h, job[..., None], axis=1)  # [R, K', Q]
    gone = _distribution(quantile, s.quantile_levels, on_site)[:, None]  # [R, 1, K']
    uniform = draws.uniform[:, job].swapaxes(0, 1)  # [R, S, K']
    rest = _inverse(quantile, s.quantile_levels, gone + (1.0 - gone) * uniform)
    shock = np.broadcast_to(_shock(s, draws), hours.shape)
    rest = rest * np.take_along_axis(shock, job[:, None], axis=2)
    whole = np.maximum(rest, BEYOND * on_site[:, None])
    return np.where(repairs[:, None], s.begin_h[:, None] + whole, other[:, None])


def _under_way(s: Situation, done: Floats, repairs: Ints) -> Floats:
    """When jobs that have a crew are mended `[R, N, S]`: when that crew is done, or they are; inf for open ones."""
    mended = np.where(s.open, np.inf, np.where(np.isfinite(s.repaired_h), s.repaired_h, s.now_h[:, None]))
    result = np.repeat(mended[..., None], done.shape[1], axis=2)
    job = s.job[:, repairs]
    row, crew = np.nonzero(s.busy[:, repairs] & (job >= 0))
    result[row, job[row, crew]] = done[row, :, crew]
    return result


def _inverse(quantile: Floats, levels: Floats, uniform: Floats) -> Floats:
    """Quantiles `[R, S, J]` at levels `uniform` `[R or 1, S, J]`, linear between those `[R, J, Q]` that are known."""
    place = np.interp(uniform, levels, np.arange(levels.size))
    below = np.minimum(place.astype(np.int64), max(levels.size - 2, 0))
    part = place - below
    r, j, q = quantile.shape
    flat = (np.arange(r)[:, None, None] * j + np.arange(j)) * q + below  # [R, S, J]
    low = quantile.ravel().take(flat)
    high = quantile.ravel().take(flat + (1 if q > 1 else 0))
    result: Floats = low + part * (high - low)
    return result


def _distribution(quantile: Floats, levels: Floats, x: Floats) -> Floats:
    """Share `[R, J]` of a distribution with quantiles `[R, J, Q]` that is below x `[R, J]`."""
    ends = np.concatenate([np.zeros((*quantile.shape[:2], 1)), quantile], axis=2)
    level = np.concatenate([[0.0], levels])
    below = (ends <= x[..., None]).sum(axis=2) - 1  # the last end that is not above x
    below = np.clip(below, 0, levels.size - 1)[..., None]
    low, high = (np.take_along_axis(ends, below + i, axis=2)[..., 0] for i in (0, 1))
    share = np.where(high > low, (x - low) / np.where(high > low, high - low, 1.0), x >= high)
    at = below[..., 0]
    result: Floats = level[at] + np.clip(share, 0.0, 1.0) * (level[at + 1] - level[at])
    return result


def as_sent(situation: Situation, plans: Plans, action: Ints) -> Plans:
    """Plans in which the asked crews take the jobs of `action` `[R]` first, whoever had them; N (wait) changes nothing.

    What an assessor goes to look at stays where it is.
    """
    s = situation
    repairs = ~s.roster.assessor
    number = np.where(repairs, np.cumsum(repairs) - 1, -1)[s.asked]
    n = s.open.shape[1]
    row = np.flatnonzero((action < n) & (number >= 0))
    row = row[s.open[row, action[row]]]
    crew, place = plans.crew.copy(), plans.place.copy()
    crew[row, action[row]] = number[row]
    place += 1  # none is below 0, and the first place is free
    place[row, action[row]] = 0
    return replace(plans, crew=crew, place=place)
