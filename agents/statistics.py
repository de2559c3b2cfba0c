"""Estimates with confidence intervals: means, shares, and paired differences of two agents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from stormgym.envs.equity import gini

__all__ = ["Estimate", "gini", "mean_estimate", "paired_difference", "wilson_interval"]


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its confidence interval; NaN ends mean that `n` is too small to give one."""

    value: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2.0

    def excludes(self, value: float = 0.0) -> bool:
        """True when `value` lies outside the interval (False where there is no interval)."""
        return bool(value < self.low or value > self.high)


def finite_sample(x: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return `x` as floats `[n]`; raise `ValueError`, calling it `name`, when it is empty, not 1-D or not finite."""
    a = np.asarray(x, dtype=np.float64)
    if a.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, one number an episode; got shape {a.shape}")
    if a.size == 0:
        raise ValueError(f"{name} is empty; at least one episode is needed")
    bad = np.flatnonzero(~np.isfinite(a))
    if bad.size:
        raise ValueError(f"{name} must be finite; got {a[bad[0]]} at index {bad[0]}")
    return a


def check_level(confidence_level: float) -> None:
    """Raise `ValueError` unless the level is in (0, 1)."""
    if not 0.0 < confidence_level < 1.0:
        cure = f" Did you mean {confidence_level / 100}?" if 1.0 < confidence_level < 100.0 else ""
        raise ValueError(f"confidence_level must be in (0, 1); got {confidence_level}.{cure}")


def mean_estimate(x: ArrayLike, confidence_level: float = 0.95) -> Estimate:
    """Mean of `x` `[n]` with Student's t interval, x̄ ± t · s / √n.

    With one number there is no interval: its ends are NaN. Raises `ValueError` for an empty or non-finite
    sample.
    """
    check_level(confidence_level)
    a = finite_sample(x, "x")
    n, mean = a.size, float(a.mean())
    if n == 1:
        return Estimate(mean, float("nan"), float("nan"), 1)
    half = float(stats.t.ppf(0.5 + confidence_level / 2.0, n - 1) * a.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def wilson_interval(successes: int, n: int, confidence_level: float = 0.95) -> Estimate:
    """Share `successes / n` with Wilson's score interval, which stays in [0, 1] and keeps its coverage near the ends.

    Source: Wilson (1927), doi:10.1080/01621459.1927.10502953. Raises `ValueError` unless 0 <= successes <= n
        and n > 0.
    """
    check_level(confidence_level)
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes must be in 0..n with n >= 1; got {successes} of {n}")
    z = float(stats.norm.ppf(0.5 + confidence_level / 2.0))
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low = 0.0 if successes == 0 else float(max(0.0, centre - half))  # exact at the ends, which rounding would miss
    high = 1.0 if successes == n else float(min(1.0, centre + half))
    return Estimate(p, low, high, n)


def paired_difference(a: ArrayLike, b: ArrayLike, confidence_level: float = 0.95) -> Estimate:
    """Mean of `a - b` with its t interval, for two agents on the same scenarios `[n]` in the same order.

    What the scenarios share cancels, so that the interval is narrower than that of two separate means.
    Raises `ValueError` for samples of different length.
    """
    x, y = finite_sample(a, "a"), finite_sample(b, "b")
    if x.size != y.size:
        raise ValueError(f"paired samples must have one length; got {x.size} and {y.size}")
    return mean_estimate(x - y, confidence_level)
