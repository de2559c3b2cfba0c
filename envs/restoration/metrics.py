"""Figures of finished episodes: region means, equity, and the customer-weighted figures that utilities report."""

from __future__ import annotations

import numpy as np

from stormgym.envs import equity
from stormgym.envs.arrays import Floats
from stormgym.envs.data import City

HORIZONS_H = (24, 48)


def restoration_metrics(
    city: City, outage_h: Floats, cost_limit_h: float | Floats, gap_h: Floats | None = None
) -> dict[str, Floats]:
    """Figures of B finished episodes from the regions' hours without power.

    Args:
        city: gives groups and customers.
        outage_h: `[B, N]` hours from the storm's end to restoration.
        cost_limit_h: limit d of the gap (h), one or `[B]`.
        gap_h: `[B]` the gap where it is known, as in a process that accrued it; None computes it.

    Returns:
        Name to `[B]`: `mean_outage_h`, `gap_h` (EPOPR eq. 14), `over_limit` (1 when the gap exceeds d),
        `cost_limit_h` (d), `worst_group_mean_h`, `group_mean_h_0`.., `p95_h`, `gini`, `makespan_h`, `share_out_24h`,
        `share_out_48h` (regions), and where the city has customers `saidi_h` (mean over customers), `customer_hours`,
        `customers_out_24h`, `customers_out_48h` (shares of customers).
    """
    ordered = np.sort(outage_h, axis=1)
    means = equity.group_means(outage_h, city.group, city.n_groups)
    gap = equity.gap(outage_h, city.group, city.n_groups) if gap_h is None else gap_h.copy()
    result = {
        "mean_outage_h": outage_h.mean(axis=1),
        "gap_h": gap,
        "over_limit": (gap > cost_limit_h).astype(np.float64),
        "cost_limit_h": np.array(np.broadcast_to(cost_limit_h, gap.shape), dtype=np.float64),
        "worst_group_mean_h": means.max(axis=1),
        "p95_h": _quantile(ordered, 0.95),
        "gini": equity.gini(outage_h),
        "makespan_h": ordered[:, -1],
    }
    result.update({f"group_mean_h_{g}": means[:, g] for g in range(city.n_groups)})
    result.update({f"share_out_{h}h": (outage_h > h).mean(axis=1) for h in HORIZONS_H})
    if city.customers is not None:
        weight = city.customers / city.customers.sum()
        saidi = outage_h @ weight
        result["saidi_h"] = saidi
        result["customer_hours"] = saidi * city.customers.sum()
        result.update({f"customers_out_{h}h": (outage_h > h) @ weight for h in HORIZONS_H})
    return result


def _quantile(ordered: Floats, level: float) -> Floats:
    """Linear-interpolation quantile of rows in ascending order (`np.quantile` is far slower on one row)."""
    place = level * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    return ordered[:, below] + (place - below) * (ordered[:, above] - ordered[:, below])
