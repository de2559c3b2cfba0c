"""The dynamics of undergrounding, written once and batched: B seasons at a time, no Gymnasium in it.

Three turns: regions are chosen one by one and their lines buried, while money lasts (`bury`); a storm strikes, the
season's own or the worst of its set (`worst_h`); crews restore the regions that lose most (`best_crews`). What is left
(`end`, `unserved_h`) is the loss of tri-level eq. 1, sum h_i u_i (1 - x_i)(1 - y_i), with customers as weights.
"""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.undergrounding.forecasts import SeasonForecast
from stormgym.envs.undergrounding.regions import UndergroundingProfile, send_crews
from stormgym.envs.undergrounding.worst import worst_storms

BUDGET_ROUNDING = 1e-6
"""Share of the budget that may be overdrawn: agents see money in float32, and can plan no finer than that."""


class UndergroundingProcess:
    """B seasons over the K regions of a profile.

    Args:
        profile: regions, costs, crews.
        batch: B.
    """

    def __init__(self, profile: UndergroundingProfile, batch: int) -> None:
        self.profile = profile
        self.batch = batch
        k = profile.n_counties
        self.outage_h = np.zeros((batch, k))  # [B, K] the season's own storm; hidden
        self.forecast = SeasonForecast(*(np.zeros((batch, *shape)) for shape in ((k,), (k,), (k,), (), ())))
        self.protected = np.zeros((batch, k), dtype=np.bool_)  # [B, K] x
        self.spent = np.zeros(batch)  # [B]
        self.turn = np.zeros(batch, dtype=np.int64)  # [B] choices made
        self.planning = np.zeros(batch, dtype=np.bool_)  # [B] whether there is more to choose
        self.storm_h = np.zeros((batch, k))  # [B, K] u, once it has struck
        self.crews = np.zeros((batch, k))  # [B, K] y, once they have been sent
        self.struck = np.zeros(batch, dtype=np.bool_)  # [B] whether the storm has come

    def reset(self, outage_h: Floats, forecast: SeasonForecast, rows: Ints | None = None) -> None:
        """Begin the seasons of `rows` (all when None).

        Args:
            outage_h: `[len(rows), K]` storms of the seasons.
            forecast: what is known of them before.
            rows: of the batch.
        """
        at = slice(None) if rows is None else rows
        self.outage_h[at] = outage_h
        for kept, part in zip(self.forecast, forecast, strict=True):
            kept[at] = part
        for state in (self.protected, self.spent, self.turn, self.storm_h, self.crews, self.struck):
            state[at] = 0
        self.planning[at] = self._affordable(at).any(axis=-1)

    def affordable(self) -> Bools:
        """Regions whose lines can still be buried, `[B, K]`: not yet buried, and there is money for it."""
        return self._affordable(slice(None)) & self.planning[:, None]

    def _affordable(self, at: Ints | slice) -> Bools:
        p = self.profile
        left = p.budget * (1.0 + BUDGET_ROUNDING) - self.spent[at]
        open_: Bools = ~self.protected[at] & (p.protect_cost <= left[:, None])
        return open_

    def bury(self, choice: Ints) -> None:
        """One choice in every season that is still planned; the others stay as they are.

        Planning ends with a stop, when nothing more can be paid, or after K choices.

        Args:
            choice: `[B]` a region, or K to stop. A region that is not affordable wastes the turn.
        """
        p = self.profile
        live = self.planning
        row = np.arange(self.batch)
        stop = choice >= p.n_counties
        region = np.where(stop, 0, choice)
        done = live & ~stop & self.affordable()[row, region]
        self.protected[row[done], region[done]] = True
        self.spent[done] += p.protect_cost[region[done]]
        self.turn += live
        self.planning = live & ~stop & (self.turn < p.n_counties) & self._affordable(slice(None)).any(axis=1)

    def worst_h(self, rows: Ints | slice) -> Floats:
        """A worst storm of the set `[len(rows), K]` for what is buried, when crews answer it at their best."""
        sets = SeasonForecast(*(part[rows] for part in self.forecast)).sets()
        return worst_storms(self.protected[rows], self.profile.population, sets, self.profile.n_crews)

    def exposed_h(self, storm_h: Floats, rows: Ints | slice) -> Floats:
        """Hours that a storm `[len(rows), K]` costs a customer of each region if no crew comes: u (1 - x)."""
        result: Floats = storm_h * ~self.protected[rows]
        return result

    def best_crews(self, storm_h: Floats, rows: Ints | slice) -> Floats:
        """Where crews best go after a storm `[len(rows), K]`, 0 or 1, exact: `send_crews`."""
        return send_crews(self.profile.population * self.exposed_h(storm_h, rows), self.profile.n_crews)

    def end(self, storm_h: Floats, crews: Floats, rows: Ints | slice) -> None:
        """A storm has come and crews have answered, `[len(rows), K]` each."""
        self.storm_h[rows], self.crews[rows], self.struck[rows] = storm_h, crews, True

    def unserved_h(self, rows: Ints | slice) -> Floats:
        """Hours without power of a customer of each region in seasons that are over, `[len(rows), K]`."""
        result: Floats = self.exposed_h(self.storm_h[rows], rows) * (1.0 - self.crews[rows])
        return result

    def metrics(self, rows: Ints | slice) -> dict[str, Floats]:
        """Figures of finished seasons, name to `[len(rows)]`.

        `saidi_h` (hours without power of a mean customer, what is minimised), `unserved_customer_h`, `worst_saidi_h`
        (the same in the worst storm of the set: V(x) of tri-level eq. 1, per customer), `gap_h` (largest W1 between
        income groups), `cost_limit`, `over_limit`, `n_protected`, `spent`, `storm_saidi_h` (of the storm if nothing
        were buried and no crew came), `share_averted` (of the storm's loss), `crews_sent`.
        """
        p = self.profile
        left = self.unserved_h(rows)
        saidi, storm = p.loss_h(left), p.loss_h(self.storm_h[rows])
        gap = p.gap_h(left)
        worst = self.worst_h(rows)
        worst = self.exposed_h(worst, rows) * (1.0 - self.best_crews(worst, rows))
        return {
            "saidi_h": saidi,
            "unserved_customer_h": saidi * p.population.sum(),
            "worst_saidi_h": p.loss_h(worst),
            "gap_h": gap,
            "cost_limit": np.full(len(saidi), p.cost_limit),
            "over_limit": (gap > p.cost_limit).astype(np.float64),
            "n_protected": self.protected[rows].sum(axis=1).astype(np.float64),
            "spent": self.spent[rows].copy(),
            "storm_saidi_h": storm,
            "share_averted": 1.0 - saidi / np.maximum(storm, 1e-9),
            "crews_sent": self.crews[rows].sum(axis=1),
        }
