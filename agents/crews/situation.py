"""From observations of crew dispatch to planning problems: open jobs, crews at work, what is under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from stormgym.agents.crews.search.problem import UNABLE_H, CrewProblem
from stormgym.agents.shocks import shock_posterior
from stormgym.envs.arrays import Bools, Floats, Ints, Observation
from stormgym.envs.crews.knowledge import CrewAnnounced
from stormgym.envs.crews.layout import storm_columns
from stormgym.envs.crews.process import WASTED_H, chains_of
from stormgym.envs.crews.roster import Roster

ENV_ID = "CrewDispatch-v0"


@dataclass(frozen=True, eq=False)
class Situation:
    """What a planner reads of R storms: the observation's columns, and what is announced beside them."""

    roster: Roster
    """Of all K' crews."""
    distance_km: Floats
    now_h: Floats
    """`[R]`"""
    limit_h: Floats
    """`[R]`"""
    site: Ints
    """`[R, N]`"""
    known: Bools
    open: Bools
    """`[R, N]` known and without a repair crew."""
    power_h: Floats
    """`[R, N]` when power came back; inf where it has not."""
    repaired_h: Floats
    """`[R, N]` when the repair ended; inf where it has not."""
    arrival_h: Floats
    """`[R, N]`; 0 where it is not known."""
    weight: Floats
    point_h: Floats
    need: Ints
    parent: Ints
    group: Ints
    loc: Ints
    """`[R, K']`"""
    begin_h: Floats
    busy: Bools
    job: Ints
    """`[R, K']` in hand; -1 for none."""
    asked: Ints
    """`[R]`"""
    left_h: Floats
    """`[R, K']` hours that work in hand still takes, as far as can be told; the way is not in it."""
    quantile_h: Floats
    """`[R, N, Q]` predictive quantiles of repair hours, multiplied like `point_h`."""
    factor_log_sd: Floats
    """`[R, N]` how well the factor of the shock is known, on the log scale; 0 without a shock."""
    quantile_levels: Floats
    """`[Q]`"""
    n_groups: int
    overtime_price: float

    def rows(self, at: Ints) -> Situation:
        """Those of some storms."""
        shared = ("roster", "distance_km", "quantile_levels", "n_groups", "overtime_price")
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return Situation(**{name: v if name in shared else v[at] for name, v in parts.items()})

    @property
    def free_h(self) -> Floats:
        """`[R, K']` when each crew is free and on duty, as far as can be told."""
        free = np.where(self.busy, np.maximum(self.begin_h, self.now_h[:, None]) + self.left_h, self.now_h[:, None])
        result: Floats = self.roster.next_on(free)
        return result


def read(observation: Observation, announced: Sequence[CrewAnnounced], *, correct: bool = True) -> Situation:
    """The situation of all storms of a batched observation.

    Args:
        observation: of CrewDispatch-v0, with batch axis.
        announced: of the environments that it comes from, in its order.
        correct: whether forecasts are multiplied by the posterior mean of the shock, where there is one.

    Raises:
        ValueError: another environment's observation, or one of other storms than those announced.
    """
    if "crew_asked" not in observation:
        raise ValueError(f"this agent reads the observation of {ENV_ID}; got {sorted(observation)}")
    first = announced[0]
    held = sum(len(record.now_h) for record in announced)
    obs = {name: np.asarray(values, dtype=np.float64) for name, values in observation.items()}
    storm = dict(zip(storm_columns(first.city.n_groups), np.moveaxis(obs["storm"], -1, 0), strict=True))
    now, power, repaired, site, loc, begin, busy, quantile = (
        np.concatenate([getattr(record, name) for record in announced])
        for name in ("now_h", "power_h", "repaired_h", "site", "loc", "begin_h", "busy", "quantile_h")
    )
    if held != len(obs["storm"]) or not np.allclose(now, storm["elapsed_h"], rtol=1e-5, atol=1e-4):
        raise ValueError(
            f"the policy is bound to {held} storms whose time is not that of the {len(obs['storm'])} observed; bind it "
            "to the environment that it plays, with for_env(env), and ask it at each decision"
        )
    known = obs["known"] > 0.5
    group = np.rint(obs["group"]).astype(np.int64)
    factor, factor_log_sd = np.ones(known.shape), np.zeros(known.shape)
    if correct and first.shock != "none":
        factor, factor_log_sd = _corrections(first, storm, obs, group)
    job = np.rint(obs["crew_job"]).astype(np.int64)
    on_site = np.maximum(now[:, None] - begin, 0.0)
    on_site = np.where(np.isfinite(on_site), on_site, 0.0)
    quantile = quantile * factor[..., None]
    left = _work_left(first, quantile, obs["point_h"] * factor, job, on_site)
    return Situation(
        roster=first.roster,
        distance_km=first.distance_km,
        now_h=now,
        limit_h=storm["cost_limit_h"],
        site=np.maximum(site, 0),
        known=known,
        open=obs["open"] > 0.5,
        power_h=power,
        repaired_h=repaired,
        arrival_h=np.where(known, np.concatenate([r.arrival_h for r in announced]), 0.0),
        weight=obs["weight"],
        point_h=np.maximum(obs["point_h"] * factor, 1e-6),
        need=np.rint(obs["need"]).astype(np.int64),
        parent=np.rint(obs["parent"]).astype(np.int64),
        group=group,
        loc=loc,
        begin_h=begin,
        busy=busy,
        job=job,
        asked=obs["crew_asked"].argmax(axis=1),
        left_h=left,
        quantile_h=quantile,
        factor_log_sd=factor_log_sd,
        quantile_levels=first.quantile_levels,
        n_groups=first.city.n_groups,
        overtime_price=first.overtime_price,
    )


def _corrections(
    record: CrewAnnounced, storm: dict[str, Floats], obs: dict[str, Floats], group: Ints
) -> tuple[Floats, Floats]:
    """Posterior mean of the shock of each job's group, given the repairs that have ended, and the sd of its log.

    Both are `[B, N]`.
    """
    groups = range(record.city.n_groups)
    mended = obs["repaired"] > 0.5
    n_seen = np.stack([(mended & (group == g)).sum(axis=1) for g in groups], axis=1).astype(np.float64)
    mean_log = np.stack([storm[f"log_ratio_{g}"] for g in groups], axis=1)
    mean, sd = shock_posterior(
        mean_log, n_seen, record.noise.bias, record.noise.variance, record.shock_log_sd, record.shock == "common"
    )
    own = np.maximum(group, 0)
    expected = np.take_along_axis(np.exp(mean + 0.5 * sd**2), own, axis=1)
    return expected, np.take_along_axis(np.broadcast_to(sd, mean.shape), own, axis=1)


def _work_left(record: CrewAnnounced, quantile_h: Floats, point_h: Floats, job: Ints, on_site_h: Floats) -> Floats:
    """Hours `[B, K']` that work in hand still takes: E[D | D > hours on site] - hours on site.

    The expectation is over the predictive quantiles. Beyond the last of them a tenth of the hours on site.
    """
    at = np.maximum(job, 0)
    quantile = np.take_along_axis(quantile_h, at[..., None], axis=1)  # [B, K', Q]
    point = np.take_along_axis(point_h, at, axis=1)
    # each quantile stands for the share of probability around its level
    levels = record.quantile_levels
    edges = np.concatenate([[0.0], 0.5 * (levels[1:] + levels[:-1]), [1.0]])
    share = np.diff(edges)
    scale = point / np.maximum((quantile * share).sum(axis=-1), 1e-9)  # their mean is the forecast
    quantile = quantile * scale[..., None]
    above = np.where(quantile > on_site_h[..., None], share, 0.0)
    total = above.sum(axis=-1)
    mean = (above * quantile).sum(axis=-1) / np.maximum(total, 1e-12)
    left = np.where(total > 0, mean - on_site_h, 0.1 * on_site_h)
    left = np.where(on_site_h > 0, left, point)
    repairs = ~record.roster.assessor
    idle = np.where(repairs, WASTED_H, record.assess_h)  # a wasted trip, or a look
    return np.where((job >= 0) & repairs, left, np.maximum(idle - on_site_h, 0.0))


def problem_of(situation: Situation, *, gap: bool = False) -> CrewProblem:
    """The planning problem of R storms: open jobs for the crews that repair, hours as forecast.

    Args:
        situation: the storms.
        gap: whether the gap between groups is asked for.
    """
    s = situation
    repairs = np.flatnonzero(~s.roster.assessor)
    dark = s.known & ~(s.power_h <= s.now_h[:, None])
    slots = _columns_of(s.open)
    under_way = _columns_of(dark & ~s.open)
    settled = _columns_of(s.known & ~dark)
    r, n = slots.shape
    ends = _expected_ends(s)
    column = np.full((r, s.known.shape[1] + 1), n)  # of each slot; that of none at the end
    _put(column, slots, np.arange(n))
    _put(column, under_way, n + 1 + np.arange(under_way.shape[1]))
    members = np.concatenate([slots, np.full((r, 1), -1), under_way], axis=1)  # [R, W]
    more = {}
    if gap:
        everyone = np.concatenate([members, settled], axis=1)
        outage = np.where(s.power_h <= s.now_h[:, None], s.power_h, 0.0) - s.arrival_h
        more = {
            "group": np.maximum(_taken(s.group, everyone), 0),
            "there": everyone >= 0,
            "settled_h": _taken(outage, settled),
        }
    return CrewProblem(
        roster=_part_of(s.roster, repairs),
        slots=slots,
        leg_h=_legs(s, slots, repairs),
        ready_h=s.free_h[:, repairs],
        under_way_h=_taken(ends, under_way),
        chain=_chains(s, members, column),
        weight=_taken(s.weight, members),
        arrival_h=_taken(s.arrival_h, members),
        overtime_price=s.overtime_price,
        n_groups=s.n_groups,
        **more,
    )


def _columns_of(chosen: Bools) -> Ints:
    """Slots of each row that are chosen, in sequence, padded with -1."""
    most = int(chosen.sum(axis=1).max(initial=0))
    order = np.argsort(~chosen, axis=1, kind="stable")[:, :most]
    return np.where(np.take_along_axis(chosen, order, axis=1), order, -1)


def _put(column: Ints, slots: Ints, values: Ints) -> None:
    """Write values at slots; padding goes into the last column, which keeps what it has."""
    last = column[:, -1].copy()
    np.put_along_axis(column, np.where(slots >= 0, slots, column.shape[1] - 1), values[None], axis=1)
    column[:, -1] = last


def _taken(values: Floats | Ints, slots: Ints) -> np.ndarray:
    """Values `[R, N]` at slots, 0 for padding."""
    return np.where(slots >= 0, np.take_along_axis(values, np.maximum(slots, 0), axis=1), 0)


def _expected_ends(s: Situation) -> Floats:
    """When each job under way is mended `[R, N]`, as far as can be told: by the crew that has it, or it has been."""
    ends = np.where(np.isfinite(s.repaired_h), s.repaired_h, s.now_h[:, None])
    done = np.maximum(s.begin_h, s.now_h[:, None]) + s.left_h
    row, crew = np.nonzero((s.job >= 0) & ~s.roster.assessor)
    ends[row, s.job[row, crew]] = done[row, crew]
    return ends


def _legs(s: Situation, slots: Ints, repairs: Ints) -> Floats:
    """`[R, K, n + 1, n + 1]` hours of way and work."""
    r, n = slots.shape
    sites = _taken(s.site, slots)
    between = s.distance_km[sites[:, :, None], sites[:, None, :]]
    km = np.empty((r, repairs.size, n + 1, n))
    km[:, :, :n] = between[:, None]
    km[:, :, n] = s.distance_km[s.loc[:, repairs][:, :, None], sites[:, None, :]]
    legs = np.zeros((r, repairs.size, n + 1, n + 1))
    legs[..., :n] = km / s.roster.speed_kmh[repairs][:, None, None]
    need = _taken(s.need, slots)
    able = s.roster.skills[repairs][:, need].swapaxes(0, 1)  # [R, K, n]
    work = _taken(s.point_h, slots)[:, None] + np.where(able, 0.0, UNABLE_H)
    legs[..., :n] += work[:, :, None]
    return legs


def _chains(s: Situation, members: Ints, column: Ints) -> Ints:
    """`[R, W, D]` columns of each member and of all above it that lack power."""
    chain = chains_of(s.parent)  # [R, N, D] slots
    taken = np.take_along_axis(chain, np.maximum(members, 0)[..., None], axis=1)
    row = np.arange(len(members))[:, None, None]
    result = column[row, taken]
    own = np.arange(members.shape[1])[None, :, None]
    return np.where((members >= 0)[..., None], result, own)


def _part_of(roster: Roster, at: Ints) -> Roster:
    """Some crews of a roster."""
    return Roster(**{f.name: getattr(roster, f.name)[at] for f in fields(roster)})
