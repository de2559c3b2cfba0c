"""Scores over seeds, tasks and episodes: interquartile mean, probability of improvement, tail, bootstrap intervals.

After Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice"
(doi:10.48550/arXiv.2108.13264): few seeds and several tasks call for aggregates that no single outlier moves, and
for intervals that resample the seeds within each task (the strata). Percentile intervals of a handful of seeds are
narrow: with five normal scores they cover about 90 % where 95 % is nominal, with ten about 94 %.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stormgym.agents.statistics import Estimate, check_level, finite_sample
from stormgym.envs.risk import cvar

__all__ = [
    "interquartile_mean",
    "iqm_estimate",
    "probability_of_improvement",
    "relative_difference",
    "tail_difference",
    "tail_estimate",
]

Floats = NDArray[np.float64]
Counts = NDArray[np.uint16]
Statistic = Callable[..., Floats]
"""From samples, each a list of strata `[R, n_k]`, to one number a resample `[R]`."""

_BLOCK = 2_000_000
"""Numbers in memory at once while resampling, about."""


def interquartile_mean(x: ArrayLike) -> Floats:
    """Mean of the middle half along the last axis: floor(n / 4) numbers are cut at each end.

    The same as `scipy.stats.trim_mean(x, 0.25)`; `[..., n]` gives `[...]`. With fewer than four numbers nothing
    is cut. Raises `ValueError` for an empty axis.
    """
    a = np.asarray(x, dtype=np.float64)
    if a.ndim == 0 or a.shape[-1] == 0:
        raise ValueError(f"x must hold at least one number along its last axis; got shape {a.shape}")
    cut = a.shape[-1] // 4
    return np.asarray(np.sort(a, axis=-1)[..., cut : a.shape[-1] - cut].mean(axis=-1))


def iqm_estimate(
    strata: Sequence[ArrayLike], *, confidence_level: float = 0.95, n_resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """Interquartile mean over all scores of all tasks, with its stratified-bootstrap interval.

    Args:
        strata: one array of scores `[n_k]` a task, a number a seed. Scores of several tasks must be in one unit
            (say, relative to a reference), since they are pooled.
        confidence_level: of the percentile interval, in (0, 1).
        n_resamples: number of resamples, R.
        seed: of the resampling; equal seeds give equal ends.

    Returns:
        The estimate; `n` is the number of scores. With one score in every task there is no interval: NaN ends.

    Raises:
        ValueError: no task, a task without scores, a number that is not finite, or a level outside (0, 1).
    """

    def statistic(drawn: list[Floats]) -> Floats:
        return interquartile_mean(np.concatenate(drawn, axis=1))

    return _bootstrap(statistic, [_strata(strata, "strata")], confidence_level, n_resamples, seed)


def probability_of_improvement(
    x: Sequence[ArrayLike],
    y: Sequence[ArrayLike],
    *,
    confidence_level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Probability that a score of X exceeds one of Y, averaged over tasks, with its stratified-bootstrap interval.

    On a task it is the Mann-Whitney statistic over n m: the share of pairs with x > y, ties counting a half
    (Agarwal et al. 2021, section 4.3). Negate scores of which small ones are good.

    Args:
        x: scores of X, one array `[n_k]` a task.
        y: scores of Y, one array `[m_k]` a task, tasks in the same order.
        confidence_level: of the percentile interval, in (0, 1).
        n_resamples: number of resamples; seeds of X and of Y are resampled independently within each task.
        seed: of the resampling.

    Returns:
        The estimate in [0, 1]; `n` is the number of scores of both.

    Raises:
        ValueError: as `iqm_estimate`, or X and Y with different numbers of tasks.
    """
    ours, theirs = _strata(x, "x"), _strata(y, "y")
    if len(ours) != len(theirs):
        raise ValueError(f"x and y must have the same tasks; got {len(ours)} and {len(theirs)}")
    return _bootstrap(_improvement, [ours, theirs], confidence_level, n_resamples, seed)


def relative_difference(
    a: ArrayLike, b: ArrayLike, *, confidence_level: float = 0.95, n_resamples: int = 4_000, seed: int = 0
) -> Estimate:
    """Mean of `a` over that of `b`, less one, for agents on the same scenarios, with a crossed-bootstrap interval.

    Scenarios are resampled for both at once (what they share cancels) and, independently, the seeds of each: the
    interval holds for new storms and new seeds. Source: Owen (2007), "The pigeonhole bootstrap",
    doi:10.1214/07-AOAS122; it errs on the wide side.

    Args:
        a: `[S, E]`, a row a seed and a column a scenario; `[E]` for an agent without seeds.
        b: `[S', E]` or `[E]`, the same scenarios in the same order.
        confidence_level: of the percentile interval, in (0, 1).
        n_resamples: number of resamples.
        seed: of the resampling.

    Returns:
        The share (0.05: 5 % more than `b`); `n` is the number of scenarios. With one scenario: NaN ends.

    Raises:
        ValueError: scenarios that differ in number, an empty array, numbers that are not finite, or mean zero of
            `b`.
    """
    check_level(confidence_level)
    _check_resamples(n_resamples)
    x, y = _table(a, "a"), _table(b, "b")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"a and b must have the same scenarios; got {x.shape[1]} and {y.shape[1]}")
    if y.mean() == 0.0:
        raise ValueError("b has mean 0, so nothing is relative to it; compare plain differences")
    value, n = float(x.mean() / y.mean() - 1.0), x.shape[1]
    if n == 1:
        return Estimate(value, float("nan"), float("nan"), 1)
    rng = np.random.default_rng(seed)
    found = []
    for block in _blocks(n_resamples, n):
        # weights in place of indices: how often each scenario is drawn, the same for both tables, so that what storms
        # have in common cancels in the ratio
        storms = _times_drawn(rng, n, block)  # [R, E]
        means = []
        for table in (x, y):
            s = len(table)
            # seeds are drawn for each table on its own, crossed with the scenarios (pigeonhole bootstrap)
            seeds = rng.multinomial(s, np.full(s, 1.0 / s), size=block)  # [R, S]
            means.append(((seeds @ table) * storms).sum(axis=1) / (s * n))
        found.append(means[0] / means[1] - 1.0)
    low, high = _percentiles(np.concatenate(found), confidence_level)
    return Estimate(value, low, high, n)


def tail_estimate(
    costs: ArrayLike, alpha: float, *, confidence_level: float = 0.95, n_resamples: int = 2_000, seed: int = 0
) -> Estimate:
    """CVaR_alpha of costs over episodes, the mean of the largest share alpha, with its bootstrap interval.

    The interval is a percentile one, too narrow where the tail is few episodes: at alpha = 0.1 and 95 % it covers the
    CVaR of gamma-distributed costs in 95 % of samples of 1,000, 94 % of 500, 86 % of 100 and 69 % of 30.

    Args:
        costs: `[E]`, a number an episode. Negate what is better when larger, here and in the result.
        alpha: share of worst episodes, in (0, 1]; the last of them counts in part (`stormgym.envs.risk.cvar`).
        confidence_level: of the interval, in (0, 1).
        n_resamples: number of resamples of episodes.
        seed: of the resampling.

    Returns:
        The estimate; `n` is the number of episodes. With one episode: NaN ends.

    Raises:
        ValueError: no costs, a number that is not finite, or a share or level out of its range.
    """
    x = finite_sample(costs, "costs")
    return _tail([x], alpha, confidence_level, n_resamples, seed)


def tail_difference(
    a: ArrayLike,
    b: ArrayLike,
    alpha: float,
    *,
    confidence_level: float = 0.95,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> Estimate:
    """CVaR_alpha of `a` less that of `b`, for agents on the same scenarios, with a paired bootstrap interval.

    Each resample draws the same scenarios for both. It is the difference of two CVaRs, each over its own worst
    episodes, and not the CVaR of differences, which is larger: that one charges `a` for losing in mild storms.

    Args:
        a: `[E]` costs, and `b` those of the other agent on the same scenarios in the same order.
        alpha, confidence_level, n_resamples, seed: as of `tail_estimate`.

    Raises:
        ValueError: as `tail_estimate`, or samples of different length.
    """
    x, y = finite_sample(a, "a"), finite_sample(b, "b")
    if x.size != y.size:
        raise ValueError(f"paired samples must have one length; got {x.size} and {y.size}")
    return _tail([x, y], alpha, confidence_level, n_resamples, seed)


def _tail(costs: list[Floats], alpha: float, confidence_level: float, n_resamples: int, seed: int) -> Estimate:
    """CVaR of the first costs `[E]`, less that of the second where there are two."""
    check_level(confidence_level)
    _check_resamples(n_resamples)

    def statistic(rows: Any) -> Floats:
        tails = [np.asarray(cvar(own[rows], alpha)) for own in costs]
        return tails[0] if len(tails) == 1 else tails[0] - tails[1]

    n = costs[0].size
    value = float(statistic(slice(None)))
    if n == 1:
        return Estimate(value, float("nan"), float("nan"), 1)
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(n, size=(block, n))) for block in _blocks(n_resamples, n)]
    low, high = _percentiles(np.concatenate(found), confidence_level)
    return Estimate(value, low, high, n)


def _improvement(x: list[Floats], y: list[Floats]) -> Floats:
    """Mean over tasks of P(X > Y) + P(X = Y) / 2, for strata `[R, n_k]` and `[R, m_k]`."""
    tasks = []
    for ours, theirs in zip(x, y, strict=True):
        pairs = np.zeros(len(ours))
        for j in range(theirs.shape[1]):  # a loop over seeds, which are few
            other = theirs[:, j, None]
            pairs += (ours > other).sum(axis=1) + 0.5 * (ours == other).sum(axis=1)
        tasks.append(pairs / (ours.shape[1] * theirs.shape[1]))
    return np.asarray(np.mean(tasks, axis=0))


def _bootstrap(
    statistic: Statistic, samples: list[list[Floats]], confidence_level: float, n_resamples: int, seed: int
) -> Estimate:
    """A statistic of samples with its percentile interval; scores are resampled within each stratum."""
    check_level(confidence_level)
    _check_resamples(n_resamples)
    value = float(statistic(*([stratum[None] for stratum in sample] for sample in samples))[0])
    # the estimate itself is the statistic of one "resample", the data as they are
    sizes = [stratum.size for sample in samples for stratum in sample]
    if max(sizes) == 1:
        return Estimate(value, float("nan"), float("nan"), sum(sizes))
    rng = np.random.default_rng(seed)
    found = []
    for block in _blocks(n_resamples, sum(sizes)):
        drawn = [
            # with replacement within each task: every resample keeps each task's number of scores
            [stratum[rng.integers(stratum.size, size=(block, stratum.size))] for stratum in sample]
            for sample in samples
        ]
        found.append(statistic(*drawn))
    low, high = _percentiles(np.concatenate(found), confidence_level)
    return Estimate(value, low, high, sum(sizes))


def _times_drawn(rng: np.random.Generator, n: int, block: int) -> Counts:
    """How often each of n is drawn in n draws `[block, n]`, drawn once for all agents that meet the same generator.

    Drawing takes most of the time of `relative_difference`, and a table compares many agents on the same scenarios with
    equal seeds. The generator is left as drawing leaves it.
    """
    counts, after = _drawn_from(json.dumps(rng.bit_generator.state), n, block)
    rng.bit_generator.state = after
    return counts


@lru_cache(maxsize=8)
def _drawn_from(start: str, n: int, block: int) -> tuple[Counts, dict[str, Any]]:
    """Counts `[block, n]` from a state of PCG64 on (as JSON), and its state after them."""
    source = np.random.PCG64()
    source.state = json.loads(start)
    drawn = np.random.Generator(source).multinomial(n, np.full(n, 1.0 / n), size=block).astype(np.uint16)
    drawn.flags.writeable = False
    return drawn, dict(source.state)


def _percentiles(found: Floats, confidence_level: float) -> tuple[float, float]:
    low, high = np.quantile(found, [0.5 - confidence_level / 2.0, 0.5 + confidence_level / 2.0])
    return float(low), float(high)


def _blocks(n_resamples: int, width: int) -> list[int]:
    """Sizes of the blocks in which resamples are drawn, so that memory is bounded."""
    size = max(1, _BLOCK // width)
    full, rest = divmod(n_resamples, size)
    return [size] * full + ([rest] if rest else [])


def _check_resamples(n_resamples: int) -> None:
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1; got {n_resamples}")


def _strata(strata: Sequence[ArrayLike], name: str) -> list[Floats]:
    if len(strata) == 0:
        raise ValueError(f"{name} is empty; give one array of scores a task")
    if np.ndim(strata[0]) == 0:
        raise ValueError(f"{name} must be a list with one array of scores a task; for one task give [scores]")
    return [finite_sample(stratum, f"{name}[{k}]") for k, stratum in enumerate(strata)]


def _table(x: ArrayLike, name: str) -> Floats:
    a = np.atleast_2d(np.asarray(x, dtype=np.float64))
    if a.ndim != 2 or a.size == 0:
        raise ValueError(f"{name} must be [seeds, scenarios] or [scenarios], and not empty; got shape {np.shape(x)}")
    if not np.isfinite(a).all():
        raise ValueError(f"{name} must be finite; got {a[~np.isfinite(a)][0]}")
    return a
