"""Picture of a storm of known law: what the plan of the mean and one of less risk cost, and where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.dispatch.risk.cells import ConditionalCell, Floats, Ints, plans_of, true_law
from stormgym.agents.dfl.risk import cvar, value_at_risk
from stormgym.agents.dispatch.decision import DispatchProblem, Events, simulated_events
from stormgym.agents.dispatch.risk_averse import ALPHA
from stormgym.envs.dispatch.generators import StormProfile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RC: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
COLOURS = {"mean": "#2b4c7e", "half": "#c2571a"}
LABELS = {"mean": "plan of the least mean", "half": "half mean, half CVaR 0.1"}
_TAIL = "#3f4a5a"
N_DRAWN = 5_000
"""Waves whose costs are drawn."""


def draw_storm(profile: str) -> Figure:
    """Left: costs of both plans over the law of one storm, and their difference by rank; right: what they serve."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    cell = ConditionalCell(block=0, profile=profile)
    place = cell.place
    waves, costs, plans = typical_case(cell)
    k = min(place.n_counties, 4)
    with rc_context(_RC):
        figure = Figure(figsize=(9.6, 5.6), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.25, 1.0))
        of_costs, of_ranks = left.subplots(2, 1, height_ratios=(1.6, 1.0))
        draw_costs(of_costs, costs)
        draw_ranks(of_ranks, costs)
        handles, labels = of_costs.get_legend_handles_labels()
        left.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
        axes = right.subplots(k, 1, sharex=True, squeeze=False).ravel()
        for county, ax in enumerate(axes):
            draw_county(ax, place, waves, plans, county)
        axes[-1].set_xlabel("period")
        handles, labels = axes[0].get_legend_handles_labels()
        right.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def typical_case(cell: ConditionalCell) -> tuple[Floats, dict[str, Floats], dict[str, Ints]]:
    """Waves `[S, T, K]` of a storm whose tail gains more than in most, and costs `[S]` and stocks `[T, K]` of both."""
    profile = cell.place
    storms = simulated_events(profile, cell.n_storms, 6_000 + cell.block)
    waves = true_law(profile, storms, cell.n_plan + cell.n_judge, cell.block)
    plans = {name: plans_of(profile, waves[: cell.n_plan], name) for name in COLOURS}
    problem, judge = DispatchProblem(profile), waves[cell.n_plan :]
    gain = np.subtract(*(cvar(problem.cost(plans[name], judge).T, ALPHA) for name in ("mean", "half")))
    chosen = int(np.argsort(gain)[3 * len(gain) // 4])  # one where there is something to see
    one = Events(storms.X[[chosen]], storms.onset[[chosen]], storms.out[[chosen]])
    drawn = true_law(profile, one, N_DRAWN, cell.block + 1)[:, 0]
    own = {name: plan[chosen] for name, plan in plans.items()}
    return drawn, {name: problem.cost(plan, drawn) for name, plan in own.items()}, own


def draw_costs(ax: Any, costs: dict[str, Floats]) -> None:
    """Histograms of costs, with the mean and CVaR of each as lines."""
    low, high = min(c.min() for c in costs.values()), max(np.quantile(c, 0.998) for c in costs.values())
    edges = np.linspace(low, high, 50)
    for name, cost in costs.items():
        colour, mean, tail = COLOURS[name], cost.mean(), float(cvar(cost, ALPHA))
        label = f"{LABELS[name]}\nmean {mean:,.0f}, CVaR 0.1 {tail:,.0f}"
        ax.hist(cost, edges, density=True, histtype="step", color=colour, linewidth=1.6, label=label)
        ax.axvline(mean, color=colour, linewidth=1.2, linestyle=":")
        ax.axvline(tail, color=colour, linewidth=1.4, linestyle="--")
    threshold = float(value_at_risk(costs["mean"], ALPHA))
    ax.axvspan(threshold, high, color=_TAIL, alpha=0.08)
    ax.text(high, ax.get_ylim()[1] * 0.7, "worst tenth", ha="right", color=_TAIL)
    ax.set_xlim(low, high)
    ax.set_yticks([])
    ax.set_xlabel("cost of the storm (dotted: mean; dashed: CVaR 0.1)")
    ax.set_ylabel("how likely")


def draw_ranks(ax: Any, costs: dict[str, Floats]) -> None:
    """What the plan of less risk costs more at each rank of the storm's chances, mild to bad."""
    share = np.linspace(0.005, 0.995, 199)
    gap = np.quantile(costs["half"], share) - np.quantile(costs["mean"], share)
    ax.axhline(0.0, color="#222222", linewidth=0.8)
    for above, name in ((gap > 0, "mean"), (gap <= 0, "half")):
        ax.fill_between(
            100 * share, gap, 0.0, where=above, color=COLOURS[name], alpha=0.6, linewidth=0, interpolate=True
        )
    ax.axvspan(100 * (1.0 - ALPHA), 100, color=_TAIL, alpha=0.08)
    ax.set_xlim(0, 100)
    ax.set_xlabel("share of chances that are milder, %")
    ax.set_ylabel("half and half less\nthe other, cost")


def draw_county(ax: Any, profile: StormProfile, waves: Floats, plans: dict[str, Ints], county: int) -> None:
    """Customers out in a county, the middle and the worst of them, and what each plan serves."""
    days = np.arange(1, profile.n_periods + 1)
    low, high = np.quantile(waves[:, :, county], [0.05, 0.95], axis=0)
    ax.fill_between(days, low, high, color="#e3d7c3", linewidth=0, label="customers out, 5 to 95 %")
    ax.plot(days, waves[:, :, county].mean(axis=0), color="#222222", linewidth=1.0, label="their mean")
    for (name, stock), width in zip(plans.items(), (4.0, 1.8), strict=True):
        served = profile.customers_per_generator * stock[:, county]
        ax.step(days, served, where="mid", color=COLOURS[name], linewidth=width)
    ax.set_ylim(bottom=0)
    ax.set_ylabel(f"county {profile.label[county]}")
