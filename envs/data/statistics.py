"""The figures that EPOPR publishes, measured on a city by simulation.

`python -m stormgym.envs.data.statistics` prints the table of docs/data.md (half a minute).
"""

from __future__ import annotations

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.city import City
from stormgym.envs.equity import gap

ORDERS = ("status_quo", "nearest", "tsp_open")
PUBLISHED = {
    "status_quo mean": 57.52,
    "status_quo gap": 17.34,
    "nearest mean": 53.29,
    "nearest gap": 16.37,
    "tsp_open mean": 49.34,
    "tsp_open gap": 11.39,
    "within 48 h": 0.40,
    "after 96 h": 0.12,
    "few requests": 0.342,
    "income pearson": -0.61,
    "mean repair": 1.72,
}
"""Values in EPOPR, but for the mean repair time, which follows from them."""

LABELS = {
    "status_quo mean": "status-quo order: mean outage (h)",
    "status_quo gap": "status-quo order: gap (h)",
    "nearest mean": "nearest region first: mean outage (h)",
    "nearest gap": "nearest region first: gap (h)",
    "tsp_open mean": "open tour: mean outage (h)",
    "tsp_open gap": "open tour: gap (h)",
    "within 48 h": "restored within 48 h, status quo",
    "after 96 h": "restored after 96 h, status quo",
    "few requests": "regions with at most 10 storm requests wait longer by",
    "income pearson": "Pearson(income, outage) over 7 income bins of equal size",
    "mean repair": "mean repair time of the regions (h)",
}


def draw_durations(city: City, n_scenarios: int, seed: int = 0) -> Floats:
    """Draw repair times `[S, N]` (h): each region one of its own records, all equally likely."""
    by_region = np.argsort(city.log.region, kind="stable")
    counts = city.log.counts()
    first = np.cumsum(counts) - counts
    draw = np.random.default_rng(seed).random((n_scenarios, city.n_regions))
    return city.log.repair_h[by_region][first + np.floor(draw * counts).astype(np.int64)]


def outage_of_order(city: City, order: Ints, repair_h: Floats) -> Floats:
    """Return outage times `[S, N]` (h) of one crew that serves the regions in `order` `[N]` (EPOPR eq. 3)."""
    travel_h = city.travel_h[np.concatenate([[city.n_regions], order[:-1]]), order]
    times = np.empty_like(repair_h)
    times[:, order] = np.cumsum(travel_h + repair_h[:, order], axis=1)
    return times


def published_statistics(city: City, n_scenarios: int = 2000, seed: int = 0) -> dict[str, float]:
    """Measure what `PUBLISHED` lists.

    Args:
        city: a city with the orders and the column `storm_requests` of the synthetic one, at least 7 regions.
        n_scenarios: S.
        seed: of the scenarios.

    Returns:
        the keys of `PUBLISHED`, in hours or as shares. A gap is the mean over scenarios of the largest W1.
    """
    repair_h = draw_durations(city, n_scenarios, seed)
    out: dict[str, float] = {}
    for name in ORDERS:
        times = outage_of_order(city, city.orders[name], repair_h)
        out[f"{name} mean"] = float(times.mean())
        out[f"{name} gap"] = float(gap(times, city.group, city.n_groups).mean())
    times = outage_of_order(city, city.orders["status_quo"], repair_h)
    out["within 48 h"], out["after 96 h"] = float((times <= 48).mean()), float((times > 96).mean())
    mean_h, few = times.mean(axis=0), city.context["storm_requests"] <= 10
    out["few requests"] = float(mean_h[few].mean() / mean_h[~few].mean() - 1)
    income = city.context["income_usd"]
    bins = np.array_split(np.argsort(income, kind="stable"), 7)
    binned = [income[b].mean() for b in bins], [mean_h[b].mean() for b in bins]
    out["income pearson"] = float(np.corrcoef(*binned)[0, 1])
    out["mean repair"] = float((np.bincount(city.log.region, city.log.repair_h) / city.log.counts()).mean())
    return out


def main() -> None:
    """Print the table: EPOPR, the default city (4,000 scenarios), medians of seeds 0 to 19 (1,000)."""
    default = published_statistics(City.synthetic(), 4000)
    seeds = [published_statistics(City.synthetic(seed), 1000) for seed in range(20)]
    print("| statistic | EPOPR | default city | median of seeds 0-19 |\n| --- | --- | --- | --- |")
    for key, value in PUBLISHED.items():
        digits = 1 if key.endswith(("mean", "gap")) else 2
        median = float(np.median([one[key] for one in seeds]))
        row = " | ".join(f"{v:.{digits}f}" for v in (value, default[key], median))
        print(f"| {LABELS[key]} | {row} |")


if __name__ == "__main__":
    main()
