"""How good ERTs were: coverage by group, width, interval score, on which side they miss, how often they change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stormgym.agents.crews.ert.published import AGES_H, Published, aged
from stormgym.agents.statistics import Estimate
from stormgym.envs.arrays import Bools, Floats, Ints

LOW_COVERAGE = 0.8
"""A storm of whose jobs a smaller share is covered counts as one that went wrong."""
N_RESAMPLES = 4000


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What was published of E storms, and what came."""

    published: Published
    power_h: Floats
    """`[E, N]` when power was back; inf for slots without a job."""
    arrival_h: Floats
    """`[E, N]`"""
    group: Ints
    """`[E, N]`"""
    n_groups: int
    level: float = 0.9
    """Coverage aimed at."""

    @property
    def first_h(self) -> Floats:
        """`[E, N, 3]` first ERTs."""
        return self.published.first_h

    @property
    def sent_h(self) -> Floats:
        """`[E, N, 3]` those when a crew was sent."""
        return self.published.sent_h

    def after(self, age_h: float) -> Floats:
        """`[E, N, 3]` those in force some hours after the report, of jobs that were dark then; NaN for others.

        Args:
            age_h: one of `AGES_H`.
        """
        told = aged(self.published, self.arrival_h, np.full(len(self.power_h), np.inf))[:, :, AGES_H.index(age_h)]
        then = self.arrival_h + age_h
        dark = (self.power_h > then) & (self.published.first_at_h <= then)
        return np.where(dark[..., None], told, np.nan)


@dataclass(frozen=True)
class Scores:
    """Scores of one kind of ERT; intervals are of resampled storms (95 %)."""

    n_jobs: int
    ahead_h: float
    """Hours from publication to power, on average; NaN where it is not known."""
    coverage: Estimate
    coverage_by_group: tuple[Estimate, ...]
    width_h: Estimate
    interval_score_h: Estimate
    """Width, and 2 / (1 - level) times the hours by which an interval misses (Gneiting and Raftery 2007)."""
    late: float
    """Share of jobs whose power was back later than the upper end."""
    early: float
    """Share whose power was back earlier than the lower end."""
    error_h: Estimate
    """Mean of power minus ERT: above 0 where power is later than told."""
    error_by_group_h: tuple[Estimate, ...]
    absolute_error_h: Estimate
    low_storms: float
    """Share of storms of whose jobs less than 80 % were covered."""


@dataclass(frozen=True)
class ErtReport:
    """Scores of what a policy published."""

    first: Scores
    sent: Scores
    after: dict[float, Scores]
    """Of the ERT in force some hours after the report, by hours."""
    revisions: Estimate
    """ERTs of a job after its first, that of the crew sent among them."""
    level: float


def ert_report(outcomes: Outcomes, seed: int = 0) -> ErtReport:
    """Score first ERTs, those when a crew is sent, and those in force at fixed times after the report.

    Args:
        outcomes: storms.
        seed: of the resampling.
    """
    p = outcomes.published
    there = np.isfinite(p.first_h[..., 0])
    return ErtReport(
        first=scores(outcomes, outcomes.first_h, p.first_at_h, seed),
        sent=scores(outcomes, outcomes.sent_h, p.sent_at_h, seed),
        after={age: scores(outcomes, outcomes.after(age), outcomes.arrival_h + age, seed) for age in AGES_H},
        revisions=_Resampled(len(there), seed).mean(p.revisions.astype(np.float64), there),
        level=outcomes.level,
    )


def scores(outcomes: Outcomes, told_h: Floats, at_h: Floats, seed: int = 0) -> Scores:
    """Scores of ERTs `[E, N, 3]`, NaN where there is none, published at `[E, N]`."""
    o = outcomes
    there = np.isfinite(told_h[..., 0]) & np.isfinite(o.power_h)
    marks = _marks(told_h, o.power_h, o.level)
    resampled = _Resampled(len(there), seed)
    groups = [there & (o.group == g) for g in range(o.n_groups)]
    ahead = (o.power_h - at_h)[there]
    return Scores(
        n_jobs=int(there.sum()),
        ahead_h=float(ahead.mean()) if ahead.size else float("nan"),
        coverage=resampled.mean(marks["covered"], there),
        coverage_by_group=tuple(resampled.mean(marks["covered"], own) for own in groups),
        width_h=resampled.mean(marks["width_h"], there),
        interval_score_h=resampled.mean(marks["score_h"], there),
        late=float(marks["late"][there].mean()) if there.any() else float("nan"),
        early=float(marks["early"][there].mean()) if there.any() else float("nan"),
        error_h=resampled.mean(marks["error_h"], there),
        error_by_group_h=tuple(resampled.mean(marks["error_h"], own) for own in groups),
        absolute_error_h=resampled.mean(np.abs(marks["error_h"]), there),
        low_storms=float((_by_storm(marks["covered"], there) < LOW_COVERAGE).mean()),
    )


def episode_metrics(outcomes: Outcomes) -> dict[str, Floats]:
    """Figures of each storm `[E]`: of first ERTs `ert_NAME`, of those when a crew is sent `ert_sent_NAME`.

    `coverage`, `coverage_0`.. by group (of all jobs where a storm has none of the group), `width_h`, `score_h`
    (interval score), `late`, `early`, `error_h` (power minus ERT); and `ert_low_storm` (1 where less than 80 % of first
    ERTs were covered) and `ert_revisions` (a job).
    """
    o, result = outcomes, {}
    for prefix, told in (("ert", o.first_h), ("ert_sent", o.sent_h)):
        there = np.isfinite(told[..., 0]) & np.isfinite(o.power_h)
        marks = _marks(told, o.power_h, o.level)
        covered = _by_storm(marks["covered"], there)
        result[f"{prefix}_coverage"] = covered
        for g in range(o.n_groups):
            own = there & (o.group == g)
            result[f"{prefix}_coverage_{g}"] = np.where(own.any(axis=1), _by_storm(marks["covered"], own), covered)
        for name in ("width_h", "score_h", "late", "early", "error_h"):
            result[f"{prefix}_{name}"] = _by_storm(marks[name], there)
    result["ert_low_storm"] = (result["ert_coverage"] < LOW_COVERAGE).astype(np.float64)
    result["ert_revisions"] = _by_storm(o.published.revisions.astype(np.float64), np.isfinite(o.first_h[..., 0]))
    return result


def _marks(told_h: Floats, power_h: Floats, level: float) -> dict[str, Floats]:
    """Marks of each ERT `[E, N]`."""
    low, ert, high = np.moveaxis(told_h, -1, 0)
    power = np.where(np.isfinite(power_h), power_h, np.nan)
    late, early = np.maximum(power - high, 0.0), np.maximum(low - power, 0.0)
    return {
        "covered": ((power >= low) & (power <= high)).astype(np.float64),
        "late": (late > 0).astype(np.float64),
        "early": (early > 0).astype(np.float64),
        "width_h": high - low,
        "score_h": high - low + 2.0 / (1.0 - level) * (late + early),
        "error_h": power - ert,
    }


def _by_storm(values: Floats, there: Bools) -> Floats:
    """Mean over the jobs that count, of each storm; 0 where none does."""
    total: Floats = np.where(there, values, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return total


class _Resampled:
    """Means over the jobs of storms, with percentile intervals of storms drawn with replacement."""

    def __init__(self, n_storms: int, seed: int) -> None:
        rng = np.random.default_rng([seed, 4])
        share = np.full(n_storms, 1.0 / max(n_storms, 1))
        self.weight = rng.multinomial(n_storms, share, size=N_RESAMPLES) if n_storms else np.zeros((N_RESAMPLES, 0))

    def mean(self, values: Floats, there: Bools) -> Estimate:
        """Mean of values `[E, N]` over those that count; NaN where none does."""
        total, count = np.where(there, values, 0.0).sum(axis=1), there.sum(axis=1)
        if not count.any():
            return Estimate(float("nan"), float("nan"), float("nan"), 0)
        n = int(count.sum())
        if len(there) == 1:
            return Estimate(float(total.sum() / n), float("nan"), float("nan"), n)
        drawn = (self.weight @ total) / np.maximum(self.weight @ count, 1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        return Estimate(float(total.sum() / n), float(low), float(high), n)
