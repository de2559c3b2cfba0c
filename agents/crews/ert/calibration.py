"""ERT calibrated on past storms: how far simulations are off, by what is known of a job, and by group.

Plans change: arrivals push jobs back, so that a simulation of today's plan is too early and too sure. Errors of past
storms tell by how much. For each kind of ERT two quantiles and the mean of the error are linear in what is simulated
(its spread, the hours ahead, with kinks), apart for jobs known at the start and late ones; then the interval of each
group is widened by a Q of its own, the conformal step of ECQR (EPOPR eq. 8-12), with scores of storms that the lines
were not fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.crews.ert.looks import HIGH, LOW, LOWER_QUARTER, MEDIAN, UPPER_QUARTER, Told
from stormgym.agents.crews.ert.quantile_lines import least_squares, quantile_line
from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.cache import check_numbers
from stormgym.predictors.block_conformal import pooled_quantile
from stormgym.predictors.checks import check_confidence_level
from stormgym.predictors.conformal import conformal_rank, records_needed

N_KINKS = 6
N_PLAIN = 5
"""Features of the error without a kink."""
N_FOLDS = 4
FEWEST_STORMS = 40
"""Past storms without which there is no calibration."""
FEWEST_RECORDS = 200
"""Records of a kind without which it takes the lines of the kind that it stands for."""


class Kind(IntEnum):
    """Why and when an ERT is published."""

    FIRST = 0
    """The job is new, and no crew is sent."""
    SENT = 1
    """A crew is sent."""
    REVISED = 2
    """The median has left the published interval, and no crew has been sent."""
    REVISED_SENT = 3
    """The same, after a crew was sent."""


@dataclass(frozen=True, eq=False)
class Past:
    """M ERTs of one kind in past storms, and what came."""

    told: Told
    storm: Ints
    """`[M]`"""
    power_h: Floats
    """`[M]` when power was back."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Turns simulated quantiles into ERTs with intervals."""

    level: float
    """Coverage aimed at."""
    kinks_h: Floats
    """`[4, J]` hours ahead at which the lines of each kind bend."""
    weights: Floats
    """`[4, 3, F]` of the features, for the lower end, the mean and the upper end of the error."""
    shift_h: Floats
    """`[4, G]` added to the ERT."""
    widen_h: Floats
    """`[4, G]` Q, added to both ends."""

    def tell(self, kind: Ints, told: Told) -> Floats:
        """Lower end, ERT and upper end `[M, 3]` of M jobs, hours since the storm began; none is in the past.

        Args:
            kind: `[M]` of each.
            told: what is simulated.
        """
        result = np.empty((len(kind), 3))
        for k in np.unique(kind):
            at = np.flatnonzero(kind == k)
            part = told.rows(at)
            error = features_of(part, self.kinks_h[k]) @ self.weights[k].T  # [m, 3]
            widen = self.widen_h[k][part.group]
            error += np.stack([-widen, self.shift_h[k][part.group], widen], axis=1)
            result[at] = part.quantile_h[:, MEDIAN, None] + error
        crossed = result[:, 0] > result[:, 2]
        result[crossed] = result[crossed][:, [0, 2]].mean(axis=1, keepdims=True)
        result[:, 1] = np.clip(result[:, 1], result[:, 0], result[:, 2])
        return np.maximum(result, told.now_h[:, None])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As plain arrays, by the fields' names."""
        return {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Any) -> Calibration:
        """From what `arrays` gave."""
        return cls(float(arrays["level"]), *(np.asarray(arrays[f.name]) for f in fields(cls)[1:]))


def check_arrays(arrays: Mapping[str, NDArray[Any]], n_groups: int) -> None:
    """Raise `ValueError` unless arrays of a file can be a `Calibration` of G groups."""
    n_kinks = arrays["kinks_h"].shape[-1]
    kinds = len(Kind)
    shapes: dict[str, tuple[int | None, ...]] = {
        "level": (),
        "kinks_h": (kinds, n_kinks),
        "weights": (kinds, 3, 2 * (N_PLAIN + n_kinks)),
        "shift_h": (kinds, n_groups),
        "widen_h": (kinds, n_groups),
    }
    check_numbers(arrays, shapes, infinite=("widen_h",))


def features_of(told: Told, kinks_h: Floats) -> Floats:
    """What the error is linear in, `[M, F]`: 1, the simulated spread above and below, the middle half, hours ahead and
    those beyond each kink; and all of them again for late jobs."""
    q = told.quantile_h
    ahead = q[:, MEDIAN] - told.now_h
    columns = [np.ones(len(q)), q[:, HIGH] - q[:, MEDIAN], q[:, MEDIAN] - q[:, LOW]]
    columns += [q[:, UPPER_QUARTER] - q[:, LOWER_QUARTER], ahead]
    columns += [np.maximum(ahead - kink, 0.0) for kink in kinks_h]
    known = np.stack(columns, axis=1)
    return np.concatenate([known, known * told.late[:, None]], axis=1)


def as_simulated(n_groups: int, level: float = 0.9) -> Calibration:
    """The simulated interval and median as they are."""
    weights = np.zeros((len(Kind), 3, 2 * N_PLAIN))
    weights[:, 0, 2], weights[:, 2, 1] = -1.0, 1.0  # of the spread below and above
    nothing = np.zeros((len(Kind), n_groups))
    return Calibration(level, np.zeros((len(Kind), 0)), weights, nothing, nothing)


def widened(past: dict[Kind, Past], n_groups: int, level: float = 0.9, *, by_group: bool = True) -> Calibration:
    """The simulated interval widened by Q at both ends, one for each group or one for all; the median as it is.

    Kinds without past ERTs are left as simulated.
    """
    plain = as_simulated(n_groups, level)
    widen = plain.widen_h.copy()
    for kind, part in past.items():
        low, _, high = plain.tell(np.full(len(part.storm), kind), part.told).T
        scores = np.maximum(low - part.power_h, part.power_h - high)
        widen[kind] = _widths(scores, part, n_groups, level, by_group)
    return Calibration(level, plain.kinks_h, plain.weights, plain.shift_h, widen)


def calibrated(
    past: dict[Kind, Past], n_groups: int, level: float = 0.9, before: Calibration | None = None
) -> Calibration:
    """Lines of the errors, and Q by group.

    Args:
        past: ERTs of past storms, by kind.
        n_groups: G.
        level: coverage aimed at.
        before: whose kinds stay where `past` has none, or too few. None: those after a crew was sent are like `SENT`,
            the others like `FIRST`, of which one at least is needed.

    Raises:
        ValueError: too few storms.
    """
    check_confidence_level(level)
    need = max(FEWEST_STORMS, records_needed(level))
    parts: dict[Kind, tuple[Floats, ...]] = {}
    for kind, part in past.items():
        if np.unique(part.storm).size >= need and len(part.storm) >= FEWEST_RECORDS:
            parts[kind] = _fitted(part, n_groups, level)
    if before is not None:
        arrays = (before.kinks_h, before.weights, before.shift_h, before.widen_h)
        parts = {kind: parts.get(kind, tuple(array[kind] for array in arrays)) for kind in Kind}
    elif not parts:
        most = max((np.unique(part.storm).size for part in past.values()), default=0)
        raise ValueError(
            f"ERTs are calibrated on {need} storms and {FEWEST_RECORDS} jobs at least; got {most} storms and "
            f"{max((len(part.storm) for part in past.values()), default=0)} jobs"
        )
    for kind in Kind:
        like = (Kind.SENT, Kind.FIRST) if kind in (Kind.SENT, Kind.REVISED_SENT) else (Kind.FIRST, Kind.SENT)
        parts.setdefault(kind, parts[like[0] if like[0] in parts else like[1]])
    return Calibration(level, *(np.stack([parts[kind][i] for kind in Kind]) for i in range(4)))


def _fitted(past: Past, n_groups: int, level: float) -> tuple[Floats, ...]:
    """Kinks, weights, shift and Q of one kind."""
    told, error = past.told, past.power_h - past.told.quantile_h[:, MEDIAN]
    kinks = np.quantile(told.quantile_h[:, MEDIAN] - told.now_h, (np.arange(N_KINKS) + 0.5) / N_KINKS)
    x = features_of(told, kinks)
    _, number = np.unique(past.storm, return_inverse=True)
    fold = number % N_FOLDS
    held = np.empty((len(error), 3))  # of each record, by lines of the other storms
    for f in range(N_FOLDS):
        own = fold == f
        held[own] = x[own] @ _lines(x[~own], error[~own], level).T
    scores = np.maximum(held[:, 0] - error, error - held[:, 2])
    missed = error - held[:, 1]
    shift = [missed[told.group == g].mean() if (told.group == g).any() else 0.0 for g in range(n_groups)]
    return kinks, _lines(x, error, level), np.array(shift), _widths(scores, past, n_groups, level, True)


def _lines(x: Floats, error: Floats, level: float) -> Floats:
    """Weights `[3, F]` of the lower end, the mean and the upper end."""
    low, high = (quantile_line(x, error, q) for q in ((1.0 - level) / 2.0, (1.0 + level) / 2.0))
    return np.stack([low, least_squares(x, error), high])


def _widths(scores: Floats, past: Past, n_groups: int, level: float, by_group: bool) -> Floats:
    """Q of each group `[G]`; that of all where a group has too few storms, or where one is asked for."""
    whole = _pooled(scores, past.storm, level)
    result = np.full(n_groups, whole)
    for g in range(n_groups) if by_group else ():
        own = past.told.group == g
        if np.unique(past.storm[own]).size >= records_needed(level):
            result[g] = _pooled(scores[own], past.storm[own], level)
    return result


def _pooled(scores: Floats, storm: Ints, level: float) -> float:
    """Q of scores in blocks: n is the number of storms, for jobs of one are alike."""
    labels, number = np.unique(storm, return_inverse=True)
    order = np.argsort(number, kind="stable")
    blocks = np.split(scores[order], np.flatnonzero(np.diff(number[order])) + 1)
    n = labels.size
    return pooled_quantile(blocks, min(conformal_rank(n, level) / n, 1.0))
