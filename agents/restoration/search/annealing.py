"""Simulated annealing of many visiting orders side by side: the engine of `local_search`.

An iteration takes some segments of consecutive regions (every second time reversed) out of each order and evaluates
each segment at *every* place of the rest (or-opt moves). Prefix sums make that some ten additions and multiplications a
place, and as many for each group pair, whatever the number of regions. One move is then drawn with probability
proportional to exp(-value / temperature) (heat bath, by the Gumbel-max trick), where

    value = mean outage + price * max(0, gap - limit).

The best order within the limit is kept, also where it was evaluated and not taken; where every hour of gap is paid for,
whatever the limit, the order of least value. All episodes share the
segments and the noise, and every sum is taken in the same sequence whatever the batch, so that an
episode's order does not depend on the episodes beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.restoration.search.orders import Floats, Ints, OrderProblem

Singles = NDArray[np.float32]

SEGMENT_LENGTHS = (0.4, 0.2, 0.1, 0.08, 0.06, 0.04, 0.03, 0.03, 0.03, 0.03)
"""Probability of segments of 1, 2, ... regions."""

SAFETY = 5e-5
"""Share of the limit that is left free, so that rounding in single precision does not exceed it."""


@dataclass(frozen=True)
class _Moves:
    """m segments of one length, taken out of E and inserted at each of the K = n - length + 1 places of the rest R.

    Place k lies between R[k] and R[k+1]. "Old" is the segment as it stands, at place `first`.
    """

    first: Ints  # [m] place (and position) of the segment now
    length: int
    reverse: bool
    rest: Ints  # [K+1, m] index in E of R[0] .. R[K]
    inside: Ints  # [length, m] index in E of the segment
    cost: Singles  # [K, m, B] hours of the visit at R[k+1], the hole closed
    enter: Singles  # [K, m, B] way from R[k] to the segment
    leave: Singles  # [K, m, B] change of the way into R[k+1]
    hours: Singles  # [length, m, B] hours of the segment's visits as they will be, without the way in
    old_enter: Singles  # [m, B]
    old_leave: Singles  # [m, B]
    old_hours: Singles  # [length, m, B]


class Annealing:
    """Anneals the orders of B episodes.

    Arrays run position first and episode last: `[n, B]`. The extended order E `[n+2, B]` puts the crew's
    position before the regions, and after them an end that costs nothing.

    Args:
        problem: of which `rows` are annealed.
        limit: of the gap (h), one for each episode of the problem; None where no gap counts.
        start: `[B, n]`.
        price: hours of mean outage for an hour of gap over the limit, at which orders are compared; None compares those
            within the limit only.
    """

    def __init__(
        self, problem: OrderProblem, rows: Ints, limit: Floats | None, start: Ints, price: float | None = None
    ) -> None:
        self.price = None if price is None else np.float32(price)
        n_rows, n = start.shape
        self.n, self.n_rows = n, n_rows
        shared = problem.travel_h.ndim == 2
        travel = problem.travel_h[None] if shared else problem.travel_h[rows]
        padded = np.zeros((len(travel), n + 2, n + 2), dtype=np.float32)
        padded[:, : n + 1, : n + 1] = travel
        self.travel = padded.ravel()
        self.row = np.arange(n_rows)
        self.row_offset = np.zeros(n_rows, dtype=np.int64) if shared else self.row * (n + 2) ** 2
        self.unit_h = problem.shortest_visit()[rows].mean(axis=1) / n  # [B] of temperature
        self.n_pairs = 0 if limit is None else problem.n_pairs
        # per node and row: repair hours, then what its restoration adds to each F_a - F_b; [1 + P, n + 2, B]
        node = np.zeros((1 + self.n_pairs, n + 2, n_rows), dtype=np.float32)
        node[0, :n] = problem.repair_h[rows].T
        if limit is not None:
            steps = problem.steps if problem.steps.ndim == 2 else problem.steps[rows]
            node[1:, :n] = np.broadcast_to(steps, (n_rows, n, self.n_pairs)).transpose(2, 1, 0)
            node[1:, n] = problem.ahead[rows].T
            self.limit = (limit[rows] * (1 - SAFETY)).astype(np.float32)
            self.accrued = problem.accrued_h[rows].T.astype(np.float32)  # [P, B]
        self.node = node.reshape(1 + self.n_pairs, -1)
        self.visits = np.empty((n + 2, n_rows), dtype=np.int64)  # E
        self.visits[0], self.visits[1:-1], self.visits[-1] = n, start.T, n + 1
        self.work: Singles | None = None
        self.best = self.visits[1:-1].copy()
        self.best_value = np.full(n_rows, np.inf, dtype=np.float32)

    def run(self, cooling: Floats, prices: Floats, segments: int, seed: int) -> Ints:
        """Make one move an iteration, and return the best orders `[B, n]`.

        Args:
            cooling: `[I]` temperatures, in units of (mean hours of a visit) / n.
            prices: `[I]` hours of mean outage for an hour of gap over the limit.
            segments: m.
            seed: of segments and noise.
        """
        rng = np.random.default_rng(seed)
        n, n_iterations = self.n, len(cooling)
        longest = min(len(SEGMENT_LENGTHS), n - 1)
        chance = np.array(SEGMENT_LENGTHS[:longest])
        lengths = 1 + rng.choice(longest, size=n_iterations, p=chance / chance.sum())
        # first positions are stratified over the order, so that the m segments of an iteration cover it evenly
        spread = (np.arange(segments) + rng.random((n_iterations, segments))) / segments  # over the order
        # one pool of noise, read from a random offset each time: drawing anew would cost more than valuing the moves
        noise = rng.gumbel(size=max(1 << 15, 4 * segments * n)).astype(np.float32)
        offsets = rng.integers(0, len(noise) - segments * n, size=n_iterations)
        for i in range(n_iterations):
            self._value_order()
            first = (spread[i] * (n - lengths[i] + 1)).astype(np.int64)
            moves = self._moves(first, int(lengths[i]), reverse=i % 2 == 1)
            value = self._mean_outage(moves)  # [K, m, B]
            if self.n_pairs:
                excess = self._gap(moves) - self.limit
                if self.price is None:
                    self._keep_best(moves, np.where(excess <= 0, value, np.float32(np.inf)))
                value += np.float32(prices[i]) * np.maximum(excess, np.float32(0), out=excess)
                if self.price is not None:
                    self._keep_best(moves, value)
            luck = noise[offsets[i] : offsets[i] + len(value) * segments].reshape(-1, segments, 1)
            # Gumbel-max: the argmin of value - T * Gumbel noise is a draw from the heat bath at temperature T
            value -= (cooling[i] * self.unit_h).astype(np.float32) * luck
            self.visits[1:-1] = self._moved(moves, value.reshape(-1, self.n_rows).argmin(axis=0))
        self._value_order()
        return self.best.T

    def _value_order(self) -> None:
        """Value the current orders and keep those that are the best so far."""
        n, visits = self.n, self.visits
        self.flat = visits * (n + 2) + self.row_offset
        self.way = self.travel[self.flat[:-1] + visits[1:]]  # [n+1, B] hours from E[e] to E[e+1]
        self.at = np.take(self.node, visits * self.n_rows + self.row, axis=1)  # [1 + P, n+2, B]
        # running sums of hours (with the way) and of steps: the clock and F_a - F_b after every visit
        sums = self.at.copy()
        sums[0, 1:] += self.way
        _scan(sums)
        self.clock, self.ahead = sums[0], sums[1:]  # after E[e]: hours [n+2, B], F_a - F_b [P, n+2, B]
        # summed once more: hours of outage, and each pair's W1 as imbalance before a visit times its hours
        totals = np.empty((1 + self.n_pairs, n, self.n_rows), dtype=np.float32)
        totals[0] = self.clock[1:-1]
        if self.n_pairs:
            np.multiply(np.abs(self.ahead[:, :n]), self.at[0, 1:-1] + self.way[:-1], out=totals[1:])
        _scan(totals)
        self.mean = value = totals[0, -1] * np.float32(1.0 / n)
        if self.n_pairs:
            self.pairs = totals[1:, -1] + self.accrued
            gap = self.pairs.max(axis=0)
            if self.price is not None:
                value = value + self.price * np.maximum(gap - self.limit, np.float32(0))
            else:  # over the limit an order only beats one that is further over it
                value = np.where(gap <= self.limit, value, np.float32(1e12) * (1 + gap - self.limit))
        better = value < self.best_value
        if better.any():
            self.best[:, better] = visits[1:-1, better]
            self.best_value = np.where(better, value, self.best_value)

    def _moves(self, first: Ints, length: int, *, reverse: bool) -> _Moves:
        """Take the segments at positions `first` out of the current orders."""
        m = np.arange(first.size)
        place = np.arange(self.n - length + 2)[:, None]
        rest = place + (place > first) * length
        inside = first + 1 + np.arange(length)[:, None]
        new = inside[::-1] if reverse else inside
        way = np.take(self.way, rest[1:] - 1, axis=0)  # from R[k] to R[k+1]
        # where the segment is taken out the ways of its two ends become one
        way[first, m] = self.travel[self.flat[first] + self.visits[first + length + 1]]
        leave = self.travel[np.take(self.visits, rest[1:], axis=0) + self.flat[new[-1]]]
        return _Moves(
            first=first,
            length=length,
            reverse=reverse,
            rest=rest,
            inside=inside,
            cost=np.take(self.at[0], rest[1:], axis=0) + way,
            enter=self.travel[np.take(self.flat, rest[:-1], axis=0) + self.visits[new[0]]],
            leave=np.subtract(leave, way, out=leave),
            hours=self._segment_hours(new),
            old_enter=self.way[first],
            old_leave=self.way[first + length] - way[first, m],
            old_hours=self._segment_hours(inside),
        )

    def _segment_hours(self, index: Ints) -> Singles:
        """Hours `[length, m, B]` of the visits at E[index] in this sequence, without the way to the first."""
        hours: Singles = self.at[0][index]
        if len(index) > 1:
            hours[1:] += self.travel[self.flat[index[:-1]] + self.visits[index[1:]]]
        return hours

    def _mean_outage(self, moves: _Moves) -> Singles:
        """Mean outage `[K, m, B]` after each move.

        The part of its sum that depends on the place, minus the same for the old place: regions behind the
        segment wait for it, and it waits for those before it.
        """
        first, length, n = moves.first, moves.length, np.float32(self.n)
        place = np.arange(len(moves.rest) - 1)[:, None, None]
        # with the segment gone, what stands behind it is visited earlier (or later) by one and the same shift
        shift = self.clock[first] + moves.cost[first, np.arange(first.size)] - self.clock[first + length + 1]
        clock = np.take(self.clock, moves.rest[:-1], axis=0)  # after R[k], the hole closed
        clock += (place > first[:, None]).astype(np.float32) * shift
        wait = n - place.astype(np.float32)  # how many regions wait for the segment's first visit
        old_wait = wait[first, 0]
        old = length * self.clock[first] + old_wait * (moves.old_enter + moves.old_hours.sum(axis=0))
        old += (old_wait - length) * moves.old_leave
        old -= _weighted_by_index(moves.old_hours)
        # Each hour counts once for every region that still waits while it passes:
        value = wait * (moves.enter + moves.hours.sum(axis=0))  # the segment's visits, as if all waited to its end
        value += length * clock  # the segment waits for what stands before it
        value += (wait - length) * moves.leave  # those behind wait for the detour
        value -= _weighted_by_index(moves.hours) + old  # x regions of the segment have left before its visit x
        value *= np.float32(1.0 / n)
        value += self.mean
        return value

    def _gap(self, moves: _Moves) -> Singles:
        """Largest pairwise W1 `[K, m, B]` after each move, counted from the current one as in `_mean_outage`."""
        first, length, next_ = moves.first, moves.length, moves.rest[1:]
        gain = np.take(self.at[1:], moves.inside[::-1] if moves.reverse else moves.inside, axis=1)
        reached = [gain[:, :1]]  # F_a - F_b that the segment's first 1, 2, ... visits add; [P, 1, m, B]
        for x in range(1, length):
            reached.append(reached[-1] + gain[:, x : x + 1])
        ahead, without, behind, sums = self._work(*next_.shape)  # [P, K, m, B]
        after = (np.arange(len(next_))[:, None] >= first).astype(np.float32)  # R[k+1] stands after the segment now
        np.take(self.ahead, next_ - 1, axis=1, out=ahead, mode="clip")
        ahead -= np.multiply(np.repeat(after[..., None], self.n_rows, axis=2), reached[-1], out=without)
        np.abs(np.add(ahead, reached[-1], out=behind), out=behind)  # |F_a - F_b| at R[k+1] behind the segment
        np.abs(ahead, out=without)  # and without it
        # Reference: the segment in front of all. At place k the visits R[1] .. R[k] come before it instead of after,
        # at the imbalance `without` instead of `behind`: a prefix sum over k.
        sums[:, 0] = 0.0
        np.subtract(without[:, :-1], behind[:, :-1], out=sums[:, 1:])
        sums[:, 1:] *= moves.cost[:-1]
        _scan(sums)  # at k: what R[1] .. R[k] change by not having the segment before them
        old_ahead = np.abs(np.take(self.ahead, moves.inside - 1, axis=1))  # [P, length, m, B]
        old = sums[:, first, np.arange(first.size)] + (old_ahead * moves.old_hours).sum(axis=1)
        old += old_ahead[:, 0] * moves.old_enter
        old += np.abs(self.ahead[:, first + length]) * moves.old_leave
        old -= self.pairs[:, None]  # the same at the old place, less the current W1, from which changes count
        behind *= moves.leave  # the detour passes with the whole segment restored
        sums += behind
        without *= moves.enter + moves.hours[0]  # way in and first repair pass with none of it restored
        sums += without
        for x in range(1, length):  # visit x passes with x of its regions restored
            np.abs(np.add(ahead, reached[x - 1], out=without), out=without)
            without *= moves.hours[x]
            sums += without
        sums -= old[:, None]
        gap: Singles = sums.max(axis=0)
        return gap

    def _work(self, n_places: int, n_segments: int) -> list[Singles]:
        """Four arrays `[P, K, m, B]` to write in; kept, as fresh memory costs more than the sums."""
        shape = (self.n_pairs, n_places, n_segments, self.n_rows)
        if self.work is None:
            self.work = np.empty((4, self.n_pairs * self.n * n_segments * self.n_rows), dtype=np.float32)
        return [w[: int(np.prod(shape))].reshape(shape) for w in self.work]

    def _keep_best(self, moves: _Moves, value: Singles) -> None:
        """Keep the orders that the best moves lead to where they are the best so far."""
        value = value.reshape(-1, self.n_rows)
        choice = value.argmin(axis=0)
        least = value[choice, self.row]
        better = least < self.best_value
        if better.any():
            self.best[:, better] = self._moved(moves, choice)[:, better]
            self.best_value = np.where(better, least, self.best_value)

    def _moved(self, moves: _Moves, choice: Ints) -> Ints:
        """The orders `[n, B]` after each row's chosen move, an index `[B]` into `[K, m]`."""
        m, length = moves.first.size, moves.length
        place, first = choice // m, moves.first[choice % m]
        position = np.arange(self.n)[:, None]
        inside = position - place  # offset in the segment's new place; 0 .. length - 1 there
        rest = position - length * (inside >= length)
        rest += length * (rest >= first)
        segment = first + (length - 1 - inside if moves.reverse else inside)
        source = np.where((inside >= 0) & (inside < length), segment, rest)
        return np.take_along_axis(self.visits[1:-1], source, axis=0)


def _weighted_by_index(hours: Singles) -> Singles:
    """Sum of x times `hours[x]` over the first axis."""
    total = np.zeros_like(hours[0])
    for x in range(1, len(hours)):
        total += x * hours[x]
    return total


def _scan(x: Singles) -> None:
    """Running sum along axis 1, in place: `cumsum`'s sequence of additions, whatever the shape.

    Whole slabs are added once they are large, as `cumsum` along an inner axis is several times slower then.
    """
    if x[:, 0].size < 256:
        np.cumsum(x, axis=1, out=x)
        return
    for i in range(1, x.shape[1]):
        x[:, i] += x[:, i - 1]
