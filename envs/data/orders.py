"""Two reference orders that need the map alone: nearest region first, and a short open tour."""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Floats, Ints


def nearest_order(distance: Floats) -> Ints:
    """Return the order `[N]` that goes to the nearest open region each time.

    Args:
        distance: `[N+1, N+1]` between regions and depot (last), any unit.
    """
    here = n = len(distance) - 1
    open_, order = np.ones(n, dtype=np.bool_), np.empty(n, dtype=np.int64)
    for k in range(n):
        here = int(np.argmin(np.where(open_, distance[here, :n], np.inf)))
        order[k], open_[here] = here, False
    return order


def tsp_open_order(distance: Floats, kicks: int = 100) -> Ints:
    """Return a tour `[N]` from the depot that need not return, within a percent or so of the shortest.

    Nearest first, then 2-opt and or-opt, then `kicks` times: exchange two neighbouring stretches, improve
    again, keep the better. The kicks have a generator of their own with a fixed seed: the tour depends on
    distances alone.

    Args:
        distance: symmetric `[N+1, N+1]` between regions and depot (last), any unit.
        kicks: number of restarts.
    """
    end = len(distance)  # a place at distance 0 from everywhere, so that the tour may end anywhere
    d = np.zeros((end + 1, end + 1))
    d[:end, :end] = distance
    tour = _improve(np.concatenate([[end - 1], nearest_order(distance), [end]]), d)
    if end < 5:
        return tour[1:-1]
    rng, length = np.random.default_rng(0), _length(tour, d)
    for _ in range(kicks):
        span = min(end - 1, 30)
        start = int(rng.integers(1, end - span + 1))
        a, b, c = np.sort(rng.choice(np.arange(start, start + span + 1), 3, replace=False))
        other = _improve(np.concatenate([tour[:a], tour[b:c], tour[a:b], tour[c:]]), d)
        if _length(other, d) < length - 1e-9:
            tour, length = other, _length(other, d)
    return tour[1:-1]


def _length(tour: Ints, d: Floats) -> float:
    return float(d[tour[:-1], tour[1:]].sum())


def _improve(tour: Ints, d: Floats) -> Ints:
    """Make the best 2-opt or or-opt move until none helps; both ends of `tour` stay."""
    n = len(tour) - 2
    row, column = np.arange(1, n + 1)[:, None], np.arange(n + 1)
    while True:
        p = d[np.ix_(tour, tour)]
        edge = np.diagonal(p, 1)  # [n+1]
        turn = p[:-2, 1:-1] + p[1:-1, 2:] - edge[:-1, None] - edge[None, 1:]  # turn round positions i..j
        turn = np.where(np.arange(1, n + 1) > row, turn, np.inf)
        best, best_size, at, best_turned = float(turn.min()), 0, int(turn.argmin()), False
        for size in range(1, min(3, n - 1) + 1):
            m = n - size + 1  # positions i = 1..m of the piece i..i+size-1, to be put between j and j+1
            first, last = p[1 : m + 1], p[size : size + m]
            saved = edge[:m] + edge[size : size + m] - p[np.arange(m), np.arange(m) + size + 1]
            inside = (column >= row[:m] - 1) & (column <= row[:m] + size - 1)
            for turned, head, tail in ((False, first, last), (True, last, first)):
                change = head[:, :-1] + tail[:, 1:] - edge - saved[:, None]
                change[inside] = np.inf
                if change.min() < best - 1e-12:
                    best, best_size, at, best_turned = float(change.min()), size, int(change.argmin()), turned
        if best > -1e-9:
            return tour
        if best_size == 0:
            i, j = at // n + 1, at % n + 1
            tour = np.concatenate([tour[:i], tour[i : j + 1][::-1], tour[j + 1 :]])
            continue
        i, j = at // (n + 1) + 1, at % (n + 1)
        piece, rest = tour[i : i + best_size], np.concatenate([tour[:i], tour[i + best_size :]])
        j = j if j < i else j - best_size
        tour = np.concatenate([rest[: j + 1], piece[::-1] if best_turned else piece, rest[j + 1 :]])
