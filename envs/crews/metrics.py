"""Figures of finished storms: outages of jobs, equity, what utilities report, and what crews did."""

from __future__ import annotations

import numpy as np

from stormgym.envs import equity
from stormgym.envs.arrays import Bools, Floats, Ints
from stormgym.envs.crews.process import CrewProcess

HORIZONS_H = (24, 48)


def crew_metrics(
    process: CrewProcess, rows: Ints | slice, limit_h: Floats, n_customers: float | None
) -> dict[str, Floats]:
    """Figures of storms that are over, name to `[len(rows)]`.

    Args:
        process: the storms.
        rows: which.
        limit_h: `[B]` limits of the episodes.
        n_customers: of the city; None takes those of the jobs.

    Of jobs that exist: `mean_outage_h`, `gap_h` (largest W1 between groups), `cost_limit_h`, `over_limit`,
    `group_mean_h_0`.., `worst_group_mean_h`, `p95_h`, `gini`, `share_out_24h`, `share_out_48h`. Of customers of the
    city: `saidi_h`, `customer_hours`; of those who lost power `caidi_h`. Of crews: `makespan_h` (last power back),
    `overtime_h`, `utilisation` (hours sent / hours on duty until the makespan), `travel_h`, `waits`, `wasted_trips`,
    `completed` (0 where the nearest rule served the rest), `late_share` (of jobs that arrived after hour 0).
    """
    part = process.part(np.arange(process.batch)[rows])
    jobs = part.jobs
    there = np.isfinite(jobs.arrival_h)
    n = np.maximum(there.sum(axis=1), 1)
    outage = np.where(there, np.where(there, part.power_h, 0.0) - np.where(there, jobs.arrival_h, 0.0), 0.0)
    means = []
    for g in range(part.n_groups):
        own = there & (jobs.group == g)
        means.append((outage * own).sum(axis=1) / np.maximum(own.sum(axis=1), 1))
    gap = equity.running_gap(outage, there, jobs.group, part.n_groups)
    hours = (outage * jobs.customers).sum(axis=1)
    makespan = np.where(there, part.power_h, 0.0).max(axis=1)
    duty = np.maximum(part.roster.duty_h(np.broadcast_to(makespan[:, None], part.overtime_h.shape)).sum(axis=1), 1e-9)
    customers = np.maximum((jobs.customers * there).sum(axis=1), 1e-9)
    result = {
        "mean_outage_h": outage.sum(axis=1) / n,
        "gap_h": gap,
        "cost_limit_h": limit_h[rows].copy(),
        "over_limit": (gap > limit_h[rows]).astype(np.float64),
        "worst_group_mean_h": np.max(means, axis=0),
        **_spread(outage, there),
        "saidi_h": hours / (customers if n_customers is None else n_customers),
        "customer_hours": hours,
        "caidi_h": hours / customers,
        "makespan_h": makespan,
        "overtime_h": part.overtime_h.sum(axis=1),
        "utilisation": part.work_h / duty,
        "travel_h": part.travel_h.copy(),
        "waits": part.waits.astype(np.float64),
        "wasted_trips": part.wasted.astype(np.float64),
        "completed": part.completed.astype(np.float64),
        "late_share": (there & (jobs.arrival_h > 0)).sum(axis=1) / n,
    }
    result |= {f"group_mean_h_{g}": mean for g, mean in enumerate(means)}
    return result | {f"share_out_{h}h": ((outage > h) & there).sum(axis=1) / n for h in HORIZONS_H}


def _spread(outage: Floats, there: Bools) -> dict[str, Floats]:
    """95 % quantile and Gini coefficient of the outages that are there; storms with as many jobs at once."""
    result = {"p95_h": np.zeros(len(outage)), "gini": np.zeros(len(outage))}
    count = there.sum(axis=1)
    for n in np.unique(count[count > 0]):
        rows = np.flatnonzero(count == n)
        hours = outage[rows][there[rows]].reshape(rows.size, n)
        result["p95_h"][rows] = np.quantile(hours, 0.95, axis=1)
        result["gini"][rows] = equity.gini(hours)
    return result
