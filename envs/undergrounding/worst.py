"""The worst storm for a plan, for many plans at a time and without a solver: one price of crews is left to find.

Nature chooses a storm u of the set U (L <= u <= T for each region, L_0 <= sum u <= T_0) against a plan x of buried
lines; C crews then take the C largest of the losses m_i = h_i u_i (1 - x_i) away. What they leave is a linear program
whose dual has one number, the price lam of a crew: each loss is cut at lam, and lam C is taken off,

    V(x) = max over u in U, lam >= 0  of  sum_i (1 - x_i) min(h_i u_i, lam) - lam C          (tri-level eq. 8-12, c = 1)

For a given price a bare region is worth h_i a unit of outage until h_i u_i = lam, and nothing beyond. So outage goes to
the regions of the largest weights first, from L up, until the total is spent: the order does not depend on lam. What is
reached is concave in lam, and the sign of its slope leads to the best one (`stormgym.envs.undergrounding.crew_price`).
Regions whose lines are buried stay at L, unless the total must reach L_0: then what is lacking goes to them first,
where it does no harm, and to the others only if they are full.
"""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Bools, Floats
from stormgym.envs.undergrounding.crew_price import CrewPrice
from stormgym.predictors.uncertainty_set import UncertaintySet


def worst_storms(protected: Bools, weights: Floats, sets: UncertaintySet, n_crews: float) -> Floats:
    """A worst storm `[B, K]` for each plan, when crews answer it at their best.

    Args:
        protected: `[B, K]` regions whose lines are buried.
        weights: `[K]` h, loss of an hour in each region, above 0.
        sets: B sets of storms, with L at least 0.
        n_crews: C; each crew takes the loss of one region away, or parts of several.

    Raises:
        ValueError: a region and the total without an upper end.
    """
    order = np.argsort(-weights, kind="stable")  # the largest weights first: outage is spent in this order
    h, bare = weights[order], ~protected[:, order]  # [K], [B, K]
    lower = sets.lower[:, order]
    top = sets.finite_upper()
    upper = top[:, order]
    spare = (sets.total_upper - lower.sum(axis=1))[:, None]  # [B, 1] what nature can add to L in all
    lam = CrewPrice(bare, h, lower, upper, spare, n_crews).best()
    # beyond h u = lam a crew takes what is added away, so a region wants outage up to lam / h, within its bounds
    room = np.where(bare, np.clip(lam / h, lower, upper) - lower, 0.0)
    before = np.cumsum(room, axis=1) - room  # what regions of larger weight have taken
    storm = np.empty_like(lower)
    storm[:, order] = lower + np.clip(spare - before, 0.0, room)
    # The storm must reach L_0 in all. What is lacking goes to buried regions first, in proportion to their room up to
    # T, and to bare ones only if that is not enough.
    for part in (protected, ~protected):
        room = np.where(part, top - storm, 0.0)
        lacking = sets.total_lower[:, None] - storm.sum(axis=1, keepdims=True)
        storm += room * np.clip(lacking / np.maximum(room.sum(axis=1, keepdims=True), 1e-300), 0.0, 1.0)
    return storm
