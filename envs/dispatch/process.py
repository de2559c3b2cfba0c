"""The dynamics of generator dispatch, written once and batched: B storms at a time, no Gymnasium in it.

A day: the agent has seen yesterday's outages and says how many generators each county shall have today. They are
shipped, serve the day, and what that costs is charged; on the last day everything goes home, and that is charged too.
The sum of rewards is minus the cost g(x, S) of GDF eq. 8.
"""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.core import Step
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.dispatch.profiles import unserved_gap


def fit_to_stock(target: Ints, total: int) -> Ints:
    """Targets `[..., K]` whose sum is at most `total`: larger ones are scaled down in proportion.

    Each county gets floor(target * total / sum), and the generators that are left go to the largest remainders, of
    equal ones to the county of lower index. Targets that fit stay as they are.

    Args:
        target: whole numbers of at least 0.
        total: generators that there are.
    """
    asked = target.sum(axis=-1, keepdims=True)
    scaled = target * total
    share = scaled // np.maximum(asked, 1)
    remainder = scaled - share * asked
    left = total - share.sum(axis=-1, keepdims=True)
    rank = np.argsort(np.argsort(-remainder, axis=-1, kind="stable"), axis=-1, kind="stable")
    fitted = share + (rank < left)
    return np.where(asked > total, fitted, target)


class DispatchProcess:
    """B episodes of generators over the K counties of a profile.

    Args:
        profile: counties, storms and costs.
        batch: B.
    """

    def __init__(self, profile: StormProfile, batch: int) -> None:
        self.profile = profile
        self.batch = batch
        k, t = profile.n_counties, profile.n_periods
        self.out = np.zeros((batch, t + 1, k))  # [B, T + 1, K] customers out; the future is hidden
        self.day = np.zeros(batch, dtype=np.int64)  # [B] days that are over
        self.stock = np.zeros((batch, k), dtype=np.int64)  # [B, K] generators in counties
        self.served_by = np.zeros((batch, k), dtype=np.int64)  # [B, K] generators that served the day that is over
        self.unserved = np.zeros((batch, k))  # [B, K] customer-periods so far
        self.gap = np.zeros(batch)  # [B] of what is unserved so far
        self.transport = np.zeros(batch)  # [B] cost so far, and the other two parts of it
        self.operating = np.zeros(batch)
        self.interruption = np.zeros(batch)
        self.scaled = np.zeros(batch, dtype=np.int64)  # [B] days whose targets were more than there are

    def reset(self, out: Floats, rows: Ints | None = None) -> None:
        """Begin the episodes of `rows` (all when None) with waves `[len(rows), T + 1, K]`."""
        at = slice(None) if rows is None else rows
        self.out[at] = out
        for state in (
            self.day,
            self.stock,
            self.served_by,
            self.unserved,
            self.gap,
            self.transport,
            self.operating,
            self.interruption,
        ):
            state[at] = 0
        self.scaled[at] = 0

    @property
    def observed(self) -> Floats:
        """Customers out on the day before `[B, K]`: the newest count that anyone has."""
        return self.out[np.arange(self.batch), np.minimum(self.day, self.profile.n_periods)]

    def step(self, target: Ints, moving: Bools | None = None) -> Step:
        """Play a day in every episode that goes on; those that are over stay as they are.

        Args:
            target: `[B, K]` generators wanted in each county, at least 0 (see `fit_to_stock`).
            moving: `[B]` False for episodes whose day is not played yet; None: all are.
        """
        p = self.profile
        live = self.day < p.n_periods
        if moving is not None:
            live &= moving
        fitted = np.where(live[:, None], fit_to_stock(target, p.generators), self.stock)
        self.scaled += live & (target.sum(axis=1) > p.generators)
        trips = np.abs(fitted - self.stock).sum(axis=1)
        self.day += live
        last = live & (self.day == p.n_periods)
        trips += np.where(last, fitted.sum(axis=1), 0)  # home again
        dark = np.maximum(self.observed - p.customers_per_generator * fitted, 0.0) * live[:, None]
        transport = p.transport_cost * trips
        operating = p.operating_cost * fitted.sum(axis=1) * live
        interruption = p.interruption_cost * dark.sum(axis=1)
        self.transport += transport
        self.operating += operating
        self.interruption += interruption
        self.stock = np.where(last[:, None], 0, fitted)
        self.served_by = np.where(live[:, None], fitted, self.served_by)
        self.unserved += dark
        gap = unserved_gap(self.unserved, p)
        cost = np.where(live, gap - self.gap, 0.0)
        self.gap = gap
        reward = -(transport + operating + interruption)
        return Step(reward, cost, last, np.zeros(self.batch, dtype=bool), bool(last.any()))

    def metrics(self, rows: Ints | slice) -> dict[str, Floats]:
        """Figures of finished episodes, name to `[len(rows)]`.

        `total_cost` and its parts, `gap` (largest W1 between income groups of periods unserved per customer), `saidi`
        (periods unserved per customer of all), `unserved` (customer-periods), `share_served` (of customer-periods out),
        `cost_limit`, `over_limit`, `scaled_days`.
        """
        p = self.profile
        unserved, out = self.unserved[rows].sum(axis=1), self.out[rows, 1:].sum(axis=(1, 2))
        parts = {"transport": self.transport, "operating": self.operating, "interruption": self.interruption}
        result = {f"{name}_cost": values[rows].copy() for name, values in parts.items()}
        return {
            "total_cost": sum(result.values(), np.zeros(len(unserved))),
            **result,
            "gap": self.gap[rows].copy(),
            "over_limit": (self.gap[rows] > p.cost_limit).astype(np.float64),
            "cost_limit": np.full(len(unserved), p.cost_limit),
            "saidi": unserved / p.population.sum(),
            "unserved": unserved,
            "share_served": 1.0 - unserved / np.maximum(out, 1e-9),
            "scaled_days": self.scaled[rows].astype(np.float64),
        }
