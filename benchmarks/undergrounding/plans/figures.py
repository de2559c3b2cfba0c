"""Pictures of cells: sweeps of one number after the other, and a map of two plans against their worst storms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.undergrounding.plans.cells import SWEEPS, PlanCell, prepare
from benchmarks.undergrounding.plans.methods import OURS, WHOLE, plans_of
from benchmarks.undergrounding.plans.scores import worst_loss
from benchmarks.undergrounding.plans.tables import Swept, excess, name_of
from stormgym.agents.undergrounding.storm_map import MapPanel, draw_storm_map
from stormgym.envs.undergrounding.regions import send_crews
from stormgym.envs.undergrounding.worst import worst_storms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RC: Any = {"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10}
COLOURS = {
    "one-stage-mean ncp": "#b08a1e",
    "one-stage-worst ncp": "#c2571a",
    "two-stage-mean ncp": "#5a8f5c",
    f"{WHOLE} ncp": "#7a5c99",
    "tri-level empirical": "#2b4c7e",
}
_LABELS = {
    "noise": "sigma of the noise, customer-hours",
    "budget": "B, to bury lines with",
    "n_crews": "C, crews",
    "n_regions": "n, cities",
}
_COLUMNS = {"both": "worst storm of the set", "mean": "mean test storm"}


def draw_sweeps(results: Swept, profile: str) -> Figure:
    """Excess over tri-level by noise, budget, crews and cities: above in the worst storm, below in the mean one."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_RC):
        figure = Figure(figsize=(11.0, 5.6), layout="constrained")
        axes = figure.subplots(len(_COLUMNS), len(SWEEPS), sharey="row", sharex="col")
        for row, (column, title) in zip(axes, _COLUMNS.items(), strict=True):
            drawn = [0.0]
            for ax, name in zip(row, SWEEPS, strict=True):
                points = {v: group for (where, what, v), group in results.items() if (where, what) == (profile, name)}
                ax.axhline(0.0, color="#222222", linewidth=1.6)
                shift = 0.012 * (max(points) - min(points))
                for i, (method, colour) in enumerate(COLOURS.items()):
                    found = [excess(group, method, column) for group in points.values()]
                    at = np.array(list(points)) + (i - 2) * shift  # side by side, so that equal ones are seen
                    error = 100 * np.nan_to_num([f.half_width for f in found])
                    values = [100 * f.value for f in found]
                    drawn += values
                    ax.errorbar(at, values, error, fmt="o-", color=colour, markersize=3.5, capsize=2, linewidth=1.2)
            row[0].set_ylabel(f"{title}:\nloss above tri-level, %")
            margin = 0.3 * (max(drawn) - min(drawn)) + 1.0  # long intervals run off, or nothing else would be seen
            row[0].set_ylim(min(drawn) - margin, max(drawn) + margin)
        for ax, name in zip(axes[-1], SWEEPS, strict=True):
            ax.set_xlabel(_LABELS[name])
        labels = [f"{name_of(OURS)} (0)", *(name_of(method) for method in COLOURS)]
        handles = [axes[0, 0].lines[0], *axes[0, 0].containers]
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_map(cell: PlanCell) -> Figure:
    """Tri-level beside the one-stage plan for the mean before one test storm, each against its worst storm.

    The storm is that at the 90th percentile of the difference between both plans' worst cases.
    """
    rivals = ("one-stage-mean ncp", OURS)
    ready = prepare(cell)
    profile, sets = ready.profile, ready.outlooks["ncp"].sets
    plans = plans_of(rivals, ready.outlooks, profile)
    h, crews = profile.population, profile.n_crews
    value = {name: worst_loss(own, h, sets, crews) for name, own in plans.items()}
    order = np.argsort(value[rivals[0]] - value[OURS], kind="stable")
    storm = int(order[int(0.9 * (len(order) - 1))])
    panels = {}
    for name in rivals:
        hours = worst_storms(plans[name], h, sets, crews)[storm]
        lost = h * hours * ~plans[name][storm]
        title = f"{name_of(name)}\nworst case {value[name][storm] / 1e3:,.1f} thousand customer-hours"
        panels[title] = MapPanel(hours, plans[name][storm], send_crews(lost, crews))
    return draw_storm_map(
        profile.place,
        h,
        panels,
        colour_label="hours without power in the worst storm",
        size_label=f"area: customers ({h.min():,.0f} to {h.max():,.0f})",
        largest_pt2=1_100.0 if len(h) <= 12 else 700.0,
    )
