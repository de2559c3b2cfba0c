"""The hot loops of the search compiled by Numba, where it is installed: the same numbers to the bit, some times sooner.

`pip install 'stormgym[fast]'` brings it; without it NumPy does the same work (`annealing`, `problem`). Operations are
those of the NumPy path in the same sequence, so that plans do not depend on what is installed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from stormgym.envs.arrays import Bools, Floats, Ints


class Compiled(NamedTuple):
    """The functions below, compiled when first called and kept on disk."""

    candidates_of: Callable[..., Ints]
    back_times_of: Callable[..., tuple[Floats, Floats]]
    gap_parts_of: Callable[..., tuple[Floats, Floats]]


@functools.cache
def compiled() -> Compiled | None:
    """The search's hot loops; None where Numba is not installed."""
    try:
        import numba
    except ImportError:
        return None
    functions: tuple[Any, ...] = (candidates_of, back_times_of, gap_parts_of)
    try:
        return Compiled(*(numba.njit(cache=True, error_model="numpy")(function) for function in functions))
    except RuntimeError:  # there is no folder to keep them in: neither this one nor the user's may be written
        return Compiled(*(numba.njit(error_model="numpy")(function) for function in functions))


def candidates_of(tours: Ints, length: Ints, swap: Floats, shift: Floats, segment: Ints) -> Ints:
    """Candidates `[B * C, T]` of tours `[B, T]`: some swap two places, others move a segment, every second reversed.

    Args:
        tours: one of each storm.
        length: `[B]` places before the padding.
        swap: `[2, S]` from 0 to 1, shares of the length: the two places.
        shift: `[2, C - S]` from 0 to 1: where the segment is taken from, and where it goes.
        segment: `[C - S]` its places.
    """
    b, t = tours.shape
    n_swaps, n_shifts = swap.shape[1], shift.shape[1]
    result = np.empty((b * (n_swaps + n_shifts), t), dtype=tours.dtype)
    at = 0
    for row in range(b):
        tour, n = tours[row], length[row]
        for i in range(n_swaps):
            candidate = result[at]
            candidate[:] = tour
            first, second = int(swap[0, i] * n), int(swap[1, i] * n)
            candidate[first], candidate[second] = tour[second], tour[first]
            at += 1
        for i in range(n_shifts):
            candidate = result[at]
            size = min(segment[i], max(n - 1, 1))
            room = n - size + 1
            old, new = int(shift[0, i] * room), int(shift[1, i] * room)
            for place in range(t):
                inside = place - new
                if place >= n:
                    source = place
                elif 0 <= inside < size:
                    source = old + (size - 1 - inside if i % 2 == 1 else inside)
                else:
                    source = place - (size if inside >= size else 0)
                    source += size if source >= old else 0
                candidate[place] = tour[source]
            at += 1
    return result


def gap_parts_of(
    back_h: Floats,
    at: Ints,
    storm: Ints,
    arrival_h: Floats,
    settled_h: Floats,
    there: Bools,
    group: Ints,
    n_groups: int,
    fine: float,
) -> tuple[Floats, Floats]:
    """What the gaps between groups are sums of: differences of shares of groups, and the steps between outages.

    The same as within `stormgym.envs.equity.running_pair_gaps`, whose sum over places (`vecdot`) is the caller's.

    Args:
        back_h: `[M, W]` when power is back.
        at: `[R]` plans that are asked about.
        storm: `[M]` which storm each plan is for.
        arrival_h, settled_h, there, group, n_groups: of a `CrewProblem`.
        fine: outages are rounded to 1 / fine hours.

    Returns:
        `[R, P, N - 1]` for pairs (0, 1), (0, 2), ..., (1, 2), ..., zeros where a group is empty; `[R, N - 1]` h.
    """
    width, n = back_h.shape[1], there.shape[1]
    bits = 0
    while (1 << bits) <= n_groups:
        bits += 1
    keys, counts = np.empty(n, dtype=np.int64), np.empty((n, n_groups))
    steps = np.empty((at.size, n - 1))
    parts = np.zeros((at.size, n_groups * (n_groups - 1) // 2, n - 1))
    for row in range(at.size):
        plan = at[row]
        b = storm[plan]
        for i in range(n):
            if there[b, i]:
                age = max(back_h[plan, i] - arrival_h[b, i] if i < width else settled_h[b, i - width], 0.0)
                keys[i] = (np.int64(np.rint(age * fine)) << bits) | group[b, i]
            else:
                keys[i] = n_groups
        keys.sort()
        count = np.zeros(n_groups)
        for i in range(n):
            code = keys[i] & ((1 << bits) - 1)
            if code < n_groups:
                count[code] += 1.0
            counts[i] = count
        for i in range(n - 1):
            steps[row, i] = ((keys[i + 1] >> bits) - (keys[i] >> bits)) * (1.0 / fine)
        pair = 0
        for a in range(n_groups):
            for c in range(a + 1, n_groups):
                if count[a] > 0 and count[c] > 0:
                    for i in range(n - 1):
                        parts[row, pair, i] = abs(counts[i, a] / count[a] - counts[i, c] / count[c])
                pair += 1
    return parts, steps


def back_times_of(
    tours: Ints,
    storm: Ints,
    leg_h: Floats,
    ready_h: Floats,
    under_way_h: Floats,
    chain: Ints,
    start_h: Floats,
    on_h: Floats,
    period_h: Floats,
) -> tuple[Floats, Floats]:
    """When power is back in M plans, and their overtime.

    Args:
        tours: `[M, T]`; see `CrewProblem` for the numbers in it.
        storm: `[M]` which of the B storms each is for.
        leg_h, ready_h, under_way_h, chain: of a `CrewProblem`.
        start_h, on_h, period_h: `[K]` the crews' hours; on_h equals period_h for all that are always on duty.

    Returns:
        `[M, W]` h, and `[M]` crew-hours.
    """
    m, t = tours.shape
    n, width, depth = leg_h.shape[2] - 1, chain.shape[1], chain.shape[2]
    breaks = (period_h > on_h).any()
    back, overtime = np.empty((m, width)), np.zeros(m)
    mended, finish, leg = np.zeros(width), np.empty(t), np.empty(t)
    items = np.empty(t, dtype=np.int64)
    window_overtime = np.zeros(t + 1)  # of each crew's first window that was overrun, its second, ...
    for row in range(m):
        b = storm[row]
        mended[: n + 1] = 0.0
        mended[n + 1 :] = under_way_h[b]
        crew, length, before, hours, n_overrun = 0, 0, n, 0.0, 0
        for place in range(t + 1):
            item = tours[row, place] if place < t else n + 1
            if item < n:
                leg[length] = leg_h[b, crew, before, item]
                hours += leg[length]
                finish[length] = ready_h[b, crew] + hours
                items[length] = item
                before = item
                length += 1
            elif item > n:  # the crew's sequence is complete
                if breaks:
                    start, on, period = start_h[crew], on_h[crew], period_h[crew]
                    window = max(np.floor((ready_h[b, crew] - start) / period), 0.0)
                    end = start + window * period + on
                    overrun = 0
                    while True:
                        which = 0
                        while which < length and not (finish[which] >= end and leg[which] > 0):
                            which += 1
                        if which == length:
                            break
                        done = finish[which]
                        # the earliest instant on duty that is not before `done`
                        window = np.floor((done - start) / period)
                        again = done if done - start - window * period < on else start + (window + 1.0) * period
                        if done < start:
                            again = start
                        # hours of the overrun that are off duty
                        since = max(done - start, 0.0)
                        window = np.floor(since / period)
                        duty_done = window * on + min(since - window * period, on)
                        since = max(end - start, 0.0)
                        window = np.floor(since / period)
                        duty_end = window * on + min(since - window * period, on)
                        if overrun == n_overrun:
                            window_overtime[overrun] = 0.0
                            n_overrun += 1
                        window_overtime[overrun] += (done - end) - (duty_done - duty_end)
                        overrun += 1
                        for later in range(which + 1, length):
                            finish[later] += again - done
                        window = max(np.floor((again - start) / period), 0.0)
                        end = start + window * period + on
                for place_of_crew in range(length):
                    mended[items[place_of_crew]] = finish[place_of_crew]
                crew, length, before, hours = crew + 1, 0, n, 0.0
                if crew == ready_h.shape[1]:
                    break
        for overrun in range(n_overrun):
            overtime[row] += window_overtime[overrun]
        for column in range(width):
            latest = mended[column]
            for above in range(1, depth):
                latest = max(latest, mended[chain[b, column, above]])
            back[row, column] = latest
    return back, overtime
