"""A set of storms: bounds of each region's outage and of their sum (tri-level eq. 7).

    U = { L_i <= u_i <= T_i,  L_0 <= sum u_i <= T_0 }

One set, or one for each of several storms: every array may have leading axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stormgym.predictors.arrays import Bools, Floats


@dataclass(frozen=True)
class UncertaintySet:
    """Box and total of the outages of K regions."""

    lower: Floats
    """`[..., K]` L."""
    upper: Floats
    """`[..., K]` T; infinite where nothing bounds a region."""
    total_lower: Floats
    """`[...]` L_0."""
    total_upper: Floats
    """`[...]` T_0; may be infinite."""

    def __post_init__(self) -> None:
        low, high, t_low, t_high = (np.asarray(part, dtype=np.float64) for part in self.bounds)
        if low.ndim < 1 or high.shape != low.shape or t_low.shape != low.shape[:-1] or t_high.shape != t_low.shape:
            raise ValueError(
                "lower and upper must be [..., K], the totals [...]; got shapes "
                f"{low.shape}, {high.shape}, {t_low.shape}, {t_high.shape}"
            )
        if np.isnan(low).any() or np.isnan(high).any() or np.isnan(t_low).any() or np.isnan(t_high).any():
            raise ValueError("bounds must not hold NaN")
        if not np.isfinite(low).all():
            raise ValueError("lower must be finite; give lower_bound=0.0 to the predictor")
        slack = 1e-9 * np.maximum(1.0, np.abs(low).sum(axis=-1))
        empty = (low > high).any(axis=-1) | (t_low > t_high) | (low.sum(axis=-1) > t_high + slack)
        empty |= t_low > high.sum(axis=-1) + slack
        if empty.any():
            at = tuple(int(i) for i in np.argwhere(empty)[0])
            raise ValueError(
                f"no storm fits{f' in set {at}' if at else ''}: lower <= upper, sum of lower {low[at].sum():g} <= "
                f"total_upper {t_high[at]:g} and total_lower {t_low[at]:g} <= sum of upper {high[at].sum():g} must hold"
            )
        for name, part in zip(
            ("lower", "upper", "total_lower", "total_upper"), (low, high, t_low, t_high), strict=True
        ):
            object.__setattr__(self, name, part)

    @property
    def bounds(self) -> tuple[Floats, Floats, Any, Any]:
        """L, T, L_0 and T_0, in the order in which the planners take them."""
        return self.lower, self.upper, self.total_lower, self.total_upper

    def __len__(self) -> int:
        """Number of sets; a single one has no length."""
        if self.lower.ndim == 1:
            raise TypeError("this is one set, of one storm")
        return len(self.lower)

    def __getitem__(self, index: int) -> UncertaintySet:
        """The set of one storm."""
        if self.lower.ndim == 1:
            raise TypeError("this is one set, of one storm")
        return UncertaintySet(
            self.lower[index],
            self.upper[index],
            np.asarray(self.total_lower[index]),
            np.asarray(self.total_upper[index]),
        )

    def in_box(self, storm: ArrayLike) -> Bools:
        """Whether each region `[..., K]` of a storm `[..., K]` keeps its bounds, ends included."""
        u = np.asarray(storm, dtype=np.float64)
        return np.asarray((u >= self.lower) & (u <= self.upper))

    def in_total(self, storm: ArrayLike) -> Bools:
        """Whether the sum of a storm `[..., K]` keeps its bounds `[...]`."""
        total = np.asarray(storm, dtype=np.float64).sum(axis=-1)
        return np.asarray((total >= self.total_lower) & (total <= self.total_upper))

    def contains(self, storm: ArrayLike) -> Bools:
        """Whether storms `[..., K]` are in the set `[...]`."""
        return np.asarray(self.in_box(storm).all(axis=-1) & self.in_total(storm))

    def maximise(self, weights: ArrayLike) -> tuple[Floats, Floats]:
        """The largest weighted outage `[...]` and a storm `[..., K]` that has it, exact and without a solver.

        Regions are filled from L to T in the order of their weights, until the total that is best: all of T where the
        weight is positive, as far as L_0 and T_0 allow.

        Args:
            weights: `[..., K]` of any sign.

        Raises:
            ValueError: a region and the total without an upper end.
        """
        w = np.broadcast_to(np.asarray(weights, dtype=np.float64), self.lower.shape)
        high = self.finite_upper()
        best = np.where(w > 0, high, self.lower).sum(axis=-1)
        total = np.clip(best, self.total_lower, self.total_upper)
        order = np.argsort(-w, axis=-1, kind="stable")
        room = np.take_along_axis(high - self.lower, order, axis=-1)
        before = np.cumsum(room, axis=-1) - room
        filled = np.clip((total - self.lower.sum(axis=-1))[..., None] - before, 0.0, room)
        storm = self.lower.copy()
        np.put_along_axis(storm, order, np.take_along_axis(self.lower, order, axis=-1) + filled, axis=-1)
        return np.asarray((w * storm).sum(axis=-1)), storm

    def sample(self, n_samples: int, *, random_state: int | None = None, n_steps: int | None = None) -> Floats:
        """Storms spread evenly over one set, `[n_samples, K]`, by hit-and-run.

        Each sample is the end of its own chain, which starts inside. A step takes one region, or moves outage from one
        region to another, by an even draw from what the bounds allow; the pairs keep a narrow total from stopping it.

        Args:
            n_samples: chains, run side by side.
            random_state: seed.
            n_steps: steps of each chain; None takes 30 for each region.

        Raises:
            ValueError: several sets, or a region and the total without an upper end.
        """
        if self.lower.ndim != 1:
            raise ValueError(f"sample takes one set; choose one of these {len(self)} by its index")
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1; got {n_samples!r}")
        rng = np.random.default_rng(random_state)
        low, high, k = self.lower, self.finite_upper(), len(self.lower)
        first, last = max(float(self.total_lower), low.sum()), min(float(self.total_upper), high.sum())
        width = float((high - low).sum())
        share = (0.5 * (first + last) - low.sum()) / width if width > 0 else 0.0
        u = np.tile(low + np.clip(share, 0.0, 1.0) * (high - low), (n_samples, 1))
        row = np.arange(n_samples)
        for _ in range(30 * k if n_steps is None else n_steps):
            i, j = rng.integers(k, size=(2, n_samples))
            single = (i == j) | (rng.random(n_samples) < 0.5)
            total = u.sum(axis=1)
            down, up = u[row, i] - low[i], high[i] - u[row, i]
            down = np.minimum(down, np.where(single, total - first, high[j] - u[row, j]))
            up = np.minimum(up, np.where(single, last - total, u[row, j] - low[j]))
            down, up = np.maximum(down, 0.0), np.maximum(up, 0.0)
            step = rng.random(n_samples) * (down + up) - down
            u[row, i] += step
            u[row, j] -= np.where(single, 0.0, step)
        clipped: Floats = np.clip(u, low, high)
        return clipped

    def finite_upper(self) -> Floats:
        """T, lowered to what the total leaves."""
        left = self.total_upper[..., None] - (self.lower.sum(axis=-1, keepdims=True) - self.lower)
        high = np.maximum(np.minimum(self.upper, left), self.lower)
        if not np.isfinite(high).all():
            at = np.argwhere(~np.isfinite(high))[0].tolist()
            raise ValueError(
                f"the set is unbounded: region {at} and the total have no upper end. Calibrate with more storms or "
                "lower the confidence levels"
            )
        return np.asarray(high)
