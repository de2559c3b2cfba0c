"""Which metrics of an environment lead its report, by id; every other metric is shown generically."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Column:
    """One column of a table: a metric, what it is called and how its number is written."""

    key: str
    name: str
    unit: str = ""
    decimals: int = 1
    interval: bool = False
    percent: bool = False
    """The metric is a share, written in per cent."""

    @property
    def title(self) -> str:
        """Name and unit, as a table heads the column."""
        return f"{self.name} {self.unit}".rstrip()

    @property
    def axis_title(self) -> str:
        """Name and unit, as a figure writes them."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def text(self, value: float | None, sign: bool = False) -> str:
        """Write a number; a missing one is a dash."""
        if value is None:
            return "-"
        scaled = 100.0 * value if self.percent else value
        rounded = round(scaled, self.decimals) + 0.0  # no negative zero
        return f"{rounded:{'+' if sign and rounded else ''},.{self.decimals}f}" + (" %" if self.percent else "")


@dataclass(frozen=True)
class Headline:
    """What a report of one environment puts first."""

    objective: Column
    """What agents are ranked by."""
    constraint: Column
    """What the limit holds for, on the mean; an episode's value is its `cost`."""
    others: tuple[Column, ...] = ()
    further: tuple[Column, ...] = ()
    """Columns of the last table; empty shows every metric that the main table does not."""
    lower_is_better: bool = True
    bound: str | None = None
    """The privileged agent that the distance to a bound is measured from."""
    excess_key: str = "excess_over_bound"
    group_mean_prefix: str | None = None
    """Metrics `prefix + index` hold the mean of each group."""
    times: Callable[[Any], NDArray[np.float64] | None] | None = None
    """Reads hours until power `[B, N]` from a vector environment whose rows have just ended."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Objective, constraint and the others."""
        return (self.objective, self.constraint, *self.others)


def _restoration_times(env: Any) -> NDArray[np.float64] | None:
    """Hours until each region had power `[B, N]`; None for an environment without the native process."""
    process = getattr(env.unwrapped, "process", None)
    times = getattr(process, "outage_h", None)
    return None if times is None else np.array(times, dtype=np.float64)


HEADLINES: dict[str, Headline] = {
    "Restoration-v0": Headline(
        objective=Column("mean_outage_h", "mean outage", "h", 2, interval=True),
        constraint=Column("gap_h", "gap", "h", 2, interval=True),
        others=(
            Column("worst_group_mean_h", "worst group", "h"),
            Column("p95_h", "95th pct.", "h"),
            Column("gini", "Gini", decimals=3),
        ),
        further=(
            Column("saidi_h", "SAIDI", "h"),
            Column("customer_hours", "customer-hours", decimals=0),
            Column("customers_out_24h", "customers\nout 24 h", percent=True),
            Column("customers_out_48h", "customers\nout 48 h", percent=True),
            Column("share_out_24h", "regions\nout 24 h", percent=True),
            Column("share_out_48h", "regions\nout 48 h", percent=True),
            Column("makespan_h", "last region", "h"),
        ),
        bound="clairvoyant",
        excess_key="excess_over_clairvoyant_h",
        group_mean_prefix="group_mean_h_",
        times=_restoration_times,
    ),
    "GeneratorDispatch-v0": Headline(
        objective=Column("total_cost", "total cost", "", 0, interval=True),
        constraint=Column("gap", "gap", "", 3, interval=True),
        others=(
            Column("transport_cost", "transport", decimals=0),
            Column("operating_cost", "operation", decimals=0),
            Column("interruption_cost", "interruption", decimals=0),
        ),
        further=(
            Column("share_served", "served", percent=True),
            Column("saidi", "SAIDI", "periods", 3),
            Column("unserved", "customer-periods\nunserved", decimals=0),
            Column("scaled_days", "days\nscaled down", decimals=1),
        ),
        bound="oracle-dispatch",
        excess_key="regret",
    ),
    "Undergrounding-v0": Headline(
        objective=Column("saidi_h", "SAIDI", "h", 3, interval=True),
        constraint=Column("gap_h", "gap", "h", 3, interval=True),
        others=(
            Column("worst_saidi_h", "worst storm", "h", 3),
            Column("share_averted", "averted", percent=True),
            Column("n_protected", "buried"),
        ),
        further=(
            Column("spent", "spent", decimals=0),
            Column("crews_sent", "crews\nsent"),
            Column("unserved_customer_h", "customer-hours", decimals=0),
            Column("storm_saidi_h", "storm alone", "h", 3),
        ),
        bound="oracle-hardening",
        excess_key="regret",
    ),
}
"""Headlines by environment id."""

_GENERIC = Headline(
    objective=Column("return", "return", decimals=3, interval=True),
    constraint=Column("cost", "cost", decimals=3, interval=True),
    others=(Column("steps", "steps"),),
    lower_is_better=False,
)


def headline_for(env_id: str) -> Headline:
    """Return the headline of an environment id; for one not in the table, its return and cost lead."""
    return HEADLINES.get(env_id, _GENERIC)
