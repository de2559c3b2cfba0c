"""The price of a crew that is best for nature, for many plans at a time: where a concave value stops rising.

`stormgym.envs.undergrounding.worst` says what the value is. Its slope is known at every price, so halving a range 55
times finds the best one; but that asks for the slope 55 times, one after the other. Here it is asked for at the prices
where regions change their part, all at once; between two of them the value is a polygon, whose corner is a formula. The
prices beside it, in steps of the last bit, say which is the first that does not rise, and so where halving would end,
to the bit. Where that cannot be told (slopes that rounding makes ambiguous) the range is halved in earnest.
"""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Bools, Floats

_HALVINGS = 55
"""Halvings of the range of prices: what is left of it is below the resolution of float64."""
_AT_ONCE = 30_000
"""Slopes times regions that are reckoned together, at most; beyond, corners are searched for one by one."""
_BESIDE = np.array([-64, -16, -4, -3, -2, -1, 0, 1, 2, 3, 4, 16, 64])
"""Prices beside the formula's that are looked at, in steps of the last bit."""


class CrewPrice:
    """B plans, their storms, and how what they lose grows with the price of a crew.

    Args:
        bare: `[B, K]` regions whose lines are not buried, those of the largest weights first.
        weights: `[K]` h, falling.
        lower, upper: `[B, K]` bounds of each region's outage.
        spare: `[B, 1]` what nature can add to the lower bounds in all.
        n_crews: C.
    """

    def __init__(
        self, bare: Bools, weights: Floats, lower: Floats, upper: Floats, spare: Floats, n_crews: float
    ) -> None:
        self.bare, self.h, self.spare, self.n_crews = bare, weights, spare, n_crews
        self.lower = np.ascontiguousarray(lower)  # sums over regions must not depend on the layout
        self.upper = np.where(bare, upper, self.lower)  # a buried region has no room
        self.forced = np.where(bare, weights * lower, -1.0)  # [B, K] up to this price a region is lost anyway
        self.full = np.where(bare, weights * upper, -1.0)  # [B, K] from this price on it can lose no more
        self.highest = np.maximum(self.full.max(axis=1), 0.0)  # [B] beyond it no loss is cut

    def rises(self, lam: Floats) -> Bools:
        """Whether more is lost at prices a little above these `[B, M]`."""
        price = lam[:, :, None]  # [B, M, 1], and all below [B, M, K]
        lower = self.lower[:, None]
        room = np.clip(price / self.h, lower, self.upper[:, None]) - lower
        before = np.cumsum(room, axis=2) - room  # what regions of larger weight have taken
        short = self.spare[:, :, None] - before < room  # the region at which the total ends, and those behind it
        marginal = np.max(short * self.h, axis=2, keepdims=True)  # h of the first of them, 0 if there is none
        forced = self.forced[:, None] >= price  # lost up to the price whatever nature does
        growing = ~(short | forced) & (price < self.full[:, None])
        # How V changes with lam. A region that is lost up to the price brings 1 a unit of price, whatever its outage.
        # So does a growing one, but for that it needs 1 / h more outage, which the marginal region, where the total
        # ends, gives up: it loses marginal / h. Against all this stands C, what crews are paid.
        gained = np.where(growing, 1.0 - marginal / self.h, 0.0).sum(axis=2)
        result: Bools = np.count_nonzero(forced, axis=2) + gained > self.n_crews
        return result

    def best(self) -> Floats:
        """The best price `[B, 1]`, as halving 0 to `highest` ends."""
        rising, flat, told = self._first_flat(self._corner())
        ends = zip(self.highest.tolist(), flat.tolist(), strict=True)
        lam = np.array([_halved(high, first) for high, first in ends])
        if not told.all():
            lam[~told] = self._of(~told).by_halving(rising[~told], flat[~told])
        return lam[:, None]

    def by_halving(self, rising: Floats | float = -np.inf, flat: Floats | float = np.inf) -> Floats:
        """The best price `[B]` by asking for the slope at each halving, but where it is known.

        Args:
            rising: `[B]` up to this price the value rises.
            flat: `[B]` from this one on it does not.
        """
        low, high = np.zeros_like(self.highest), self.highest
        for _ in range(_HALVINGS):
            lam = 0.5 * (low + high)
            up = lam <= rising
            asked = ~up & (lam < flat)
            if asked.any():
                up[asked] = self._of(asked).rises(lam[asked, None])[:, 0]
            low, high = np.where(up, lam, low), np.where(up, high, lam)
        return 0.5 * (low + high)

    def _of(self, rows: Bools) -> CrewPrice:
        """Some of the plans."""
        own = (self.bare[rows], self.h, self.lower[rows], self.upper[rows], self.spare[rows])
        return CrewPrice(*own, self.n_crews)

    def _corner(self) -> Floats:
        """Where the value stops rising `[B]`, but for rounding."""
        low, high = self._between()
        middle = (0.5 * (low + high))[:, None]
        forced, full = self.forced >= middle, self.full <= middle
        growing = self.bare & ~(forced | full)
        # In between, the first i regions want a_i + lam b_i above their lower ends: the total ends at region i once lam
        # is beyond (spare - a_i) / b_i, the later the region the sooner.
        share = growing / self.h
        a = np.cumsum(np.where(full, self.upper - self.lower, -self.lower * growing), axis=1)
        b = np.cumsum(share, axis=1)
        left = self.spare - a
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.where(b > 0, left / b, np.where(left >= 0, np.inf, -np.inf))
        # the slope where the total ends at region i (the last column: nowhere), as in `rises`
        n = np.cumsum(growing, axis=1)
        before = np.column_stack([n - growing - self.h * (b - share), n[:, -1]])
        slope = np.count_nonzero(forced, axis=1)[:, None] + before  # [B, K + 1]
        start = np.column_stack([ends, np.full(len(ends), -np.inf)])
        stop = np.column_stack([np.full(len(ends), np.inf), ends])
        rising = (slope > self.n_crews + 1e-9) & (stop > start) & (start < high[:, None])
        result: Floats = np.maximum(np.where(rising, np.minimum(stop, high[:, None]), 0.0).max(axis=1), low)
        return result

    def _between(self) -> tuple[Floats, Floats]:
        """The last price `[B]` at which a region changes its part and the value still rises, and the one after it."""
        corners = np.sort(np.maximum(np.concatenate([self.forced, self.full], axis=1), 0.0), axis=1)
        rows, n = np.arange(len(corners)), corners.shape[1]
        if corners.size * len(self.h) <= _AT_ONCE:
            at = np.count_nonzero(self.rises(corners), axis=1)
        else:
            at, end = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), n)
            while (at < end).any():
                middle = np.minimum((at + end) // 2, n - 1)
                up = self.rises(corners[rows, middle][:, None])[:, 0]
                at, end = np.where(up & (at < end), middle + 1, at), np.where(up, end, np.minimum(end, middle))
        edged = np.column_stack([np.zeros(len(rows)), corners, corners[:, -1]])
        return edged[rows, at], edged[rows, at + 1]

    def _first_flat(self, near: Floats) -> tuple[Floats, Floats, Bools]:
        """The last price `[B]` at which the value rises, sought beside `near`, and the first at which it does not.

        Where the third is False these are not neighbours; if nothing is known they are -inf and inf. Positive floats
        are ordered as their bits are, read as integers: a step of 1 is the next float.
        """
        least = np.ldexp(self.highest, -_HALVINGS - 1).view(np.int64)  # below all prices that halving meets
        bits = np.maximum(near.view(np.int64)[:, None] + _BESIDE, least[:, None])  # [B, M]
        price, up = bits.view(np.float64), self.rises(bits.view(np.float64))
        n = np.count_nonzero(up, axis=1)
        falling = (up[:, 1:] <= up[:, :-1]).all(axis=1)
        rows, last = np.arange(len(bits)), len(_BESIDE) - 1
        after, before = np.minimum(n, last), np.maximum(n, 1) - 1
        rising = np.where(up[:, 0], np.where(falling, price[rows, before], price[:, 0]), -np.inf)
        flat = np.where(up[:, -1], np.inf, np.where(falling, price[rows, after], price[:, -1]))
        never = (n == 0) & (bits[:, 0] == least)
        told = never | (falling & (rising > 0) & (flat < np.inf) & (bits[rows, after] - bits[rows, before] <= 1))
        return rising, np.where(never, 0.0, flat), told


def _halved(high: float, flat: float) -> float:
    """Where halving 0 to `high` ends if the value rises below `flat`, and there alone."""
    low = 0.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if middle < flat:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
