"""A day's allocation as a row of choices: one block of generators at a time, for learners of `Discrete` actions."""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Bools, Ints
from stormgym.envs.dispatch.generators import StormProfile


class BlockPlan:
    """What B episodes have chosen of today's allocation.

    A choice k below K puts a block of generators into county k; a choice of K, or of a county that cannot use more,
    ends the day's choices, and what is left stays in the warehouse. So do the last generator and the last open county.

    Args:
        profile: counties and generators.
        batch: B.
        blocks: parts into which the Q generators are divided, each of ceil(Q / blocks) but the last; where it is more
            than Q, each is one generator.

    Raises:
        TypeError: `blocks` is no whole number.
        ValueError: it is less than 1.
    """

    def __init__(self, profile: StormProfile, batch: int, blocks: int) -> None:
        total = profile.generators
        if isinstance(blocks, bool) or not isinstance(blocks, int | np.integer):
            raise TypeError(f"blocks must be a whole number; got {blocks!r}")
        if blocks < 1:
            raise ValueError(f"blocks must be at least 1; got {blocks}")
        self.size = -(-total // int(blocks))
        self.total = total
        self.most = np.minimum(profile.most_useful, total)  # [K]
        self.planned = np.zeros((batch, profile.n_counties), dtype=np.int64)  # [B, K] generators for today so far

    def begin(self, rows: Ints | slice) -> None:
        """A day begins in these rows."""
        self.planned[rows] = 0

    def open(self) -> Bools:
        """Choices that are open, `[B, K + 1]`: counties that can use more while there are generators, and the end."""
        left = self.total - self.planned.sum(axis=1, keepdims=True)
        more = (self.planned < self.most) & (left > 0)
        return np.concatenate([more, np.ones((len(more), 1), dtype=bool)], axis=1)

    def choose(self, choices: Ints) -> Bools:
        """Place a block in every row; returns in which rows `[B]` today's allocation is then complete.

        Args:
            choices: `[B]` in 0..K.
        """
        row = np.arange(len(choices))
        placed = self.open()[row, choices] & (choices < self.planned.shape[1])
        county = np.where(placed, choices, 0)
        room = np.minimum(self.most[county] - self.planned[row, county], self.total - self.planned.sum(axis=1))
        self.planned[row, county] += np.where(placed, np.minimum(self.size, room), 0)
        return ~placed | ~self.open()[:, :-1].any(axis=1)
