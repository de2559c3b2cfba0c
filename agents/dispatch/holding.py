"""What each further generator in a county is worth while it is held there, if there were enough of them.

Each further generator in a county saves less than the one before it, so the j-th one can be followed by itself: every
day it is there or it is not, a trip lies between the two, and the best sequence is a recursion over days with two
states. Generators of counties are coupled by their number alone; the units of largest gain, of all counties together,
are a good allocation (a knapsack whose items all have size 1). Shapes: B states, H days, K counties, J units.
"""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Floats, Ints


def unit_gains(
    waves: Floats,
    stock: Ints,
    n_units: int,
    *,
    customers_per_generator: Floats,
    transport_cost: Floats,
    operating_cost: Floats,
    interruption_cost: Floats,
) -> Floats:
    """Gain `[B, K, J]` (money) of having the j-th generator in a county today rather than not, from today's stock on.

    Both are followed by the best decisions for this generator, and after the last day it goes home.

    Args:
        waves: `[B, H, K]` customers out, today first; 0 after the last day.
        stock: `[B, K]` generators there.
        n_units: J.
        customers_per_generator, transport_cost, operating_cost: `[B]` each.
        interruption_cost: `[B, K]`, of a customer-day in each county.
    """
    each, trip, operating = (
        values[:, None, None] for values in (customers_per_generator, transport_cost, operating_cost)
    )
    tau = interruption_cost[..., None]
    units = np.arange(n_units)
    before = units * each  # customers that the units before serve
    there = np.zeros((len(waves), waves.shape[2], n_units))
    ahead, away = there - trip, there  # after the last day: home again, or there already
    for day in range(waves.shape[1] - 1, -1, -1):
        saved = np.minimum(np.maximum(waves[:, day, :, None] - before, 0.0), each)
        there, gone = tau * saved - operating + ahead, away
        ahead = np.maximum(there, gone - trip)  # worth of the days from this one on if it is there the night before
        away = np.maximum(gone, there - trip)
    held = units < stock[..., None]
    return there - gone + np.where(held, trip, -trip)


def allocation(gain: Floats, most: Ints, total: Ints) -> Ints:
    """Generators in each county `[B, K]`: the `total` units of largest gain above 0; of equal ones the first.

    Args:
        gain: `[B, K, J]`.
        most: `[B, K]` units that a county can use.
        total: `[B]` generators that there are.
    """
    b, k, j = gain.shape
    usable = (np.arange(j) < most[..., None]) & (gain > 0)
    # of a county's units none goes before one that saves more
    falling = np.minimum.accumulate(np.where(usable, gain, -np.inf), axis=-1).reshape(b, -1)
    order = np.argsort(-falling, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    taken = (rank < total[:, None]) & (falling > 0)
    result: Ints = taken.reshape(b, k, j).sum(axis=-1)
    return result
