"""Nearest points of simple sets, for many rows at once."""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Floats

HALVINGS = 100
"""Of the interval of the multiplier; beyond about 60 nothing moves."""
FULL = 1e-12
"""How far, as a share of it, a total may be missed and still count as kept: rounding."""


def nearest_with_total(
    plans: Floats, low: Floats, high: Floats, weights: Floats, total: float, at_most: bool = False
) -> Floats:
    """The points of {low <= w <= high, weights.w = total} nearest to `plans` `[B, n]`; those of the set stay.

    The nearest point is clip(plan - tau weights, low, high), whose total falls with tau: halved until the parts within
    their bounds are known, from which tau follows.

    Args:
        plans: what is wanted.
        low, high: `[n]`.
        weights: `[n]`, above 0.
        total: between that of `low` and that of `high`.
        at_most: weights.w <= total instead.
    """
    nearest: Floats = np.clip(plans, low, high)
    off = (nearest * weights).sum(axis=-1) - total
    wrong = (off if at_most else np.abs(off)) > FULL * max(abs(total), 1.0)
    if not wrong.any():
        return nearest
    wanted = plans[wrong]  # [R, n]
    left = ((wanted - high) / weights).min(axis=1, keepdims=True)  # all at their upper bounds
    right = ((wanted - low) / weights).max(axis=1, keepdims=True)
    for _ in range(HALVINGS):
        tau = 0.5 * (left + right)
        over = (np.clip(wanted - tau * weights, low, high) * weights).sum(axis=1, keepdims=True) > total
        left, right = np.where(over, tau, left), np.where(over, right, tau)
    reached = wanted - right * weights
    free = (reached > low) & (reached < high)
    held = np.where(free, 0.0, np.clip(reached, low, high) * weights).sum(axis=1)
    square = np.where(free, weights**2, 0.0).sum(axis=1)
    exact = (np.where(free, wanted * weights, 0.0).sum(axis=1) + held - total) / np.where(square > 0, square, 1.0)
    tau = np.where(square > 0, exact, right[:, 0])[:, None]
    nearest[wrong] = np.clip(wanted - tau * weights, low, high)
    return nearest
