"""Pictures of cells: regret by transport cost, sweeps of one cost after the other, and three cities in one storm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.dispatch.forecasts.cells import SWEEPS, ForecastCell, events, fitted
from benchmarks.dispatch.forecasts.tables import NAMES, varied
from benchmarks.kit.regret import Result, grouped, regrets
from stormgym.agents.dispatch.decision import DispatchProblem
from stormgym.agents.dispatch.flow import online_greedy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RC: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
COLOURS = {
    "online lag 1": "#8a8a8a",
    "static": "#b08a1e",
    "two-stage": "#2b4c7e",
    "gdf": "#c2571a",
    "spo+": "#a33b6e",
    "sampled": "#5a8f5c",
    "adaptive": "#1f8a8a",
    "floor": "#3f4a5a",
}
_SYMBOLS = {
    "interruption_cost": "tau, cost of a customer out for a period",
    "transport_cost": "c, cost of a trip",
    "operating_cost": "gamma, cost of a generator in a county for a period",
    "generators": "Q, generators",
}


def draw_table(results: dict[ForecastCell, Result]) -> Figure:
    """Regret of each agent, one group of bars a transport cost."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups = grouped(results, lambda cell: cell.transport_cost)
    agents = [name for name in COLOURS if name in next(iter(groups.values()))[0].cost]
    with rc_context(_RC):
        figure = Figure(figsize=(8.4, 4.4), layout="constrained")
        ax = figure.subplots()
        width = 0.8 / len(agents)
        for i, agent in enumerate(agents):
            found = [regrets(group, agent) for group in groups.values()]
            at = np.arange(len(groups)) + (i - 0.5 * (len(agents) - 1)) * width
            error = np.nan_to_num([f.half_width for f in found])
            style = {"hatch": "//", "edgecolor": "white"} if agent == "floor" else {}
            ax.bar(at, [f.value for f in found], 0.92 * width, color=COLOURS[agent], label=NAMES[agent], **style)
            ax.errorbar(at, [f.value for f in found], error, fmt="none", ecolor="#222222", linewidth=1.0)
        ax.set_yscale("log")
        ax.set_xticks(np.arange(len(groups)), [f"c = {cost:,.0f}" for cost in groups])
        ax.set_ylabel("regret (mean cost above the optimum)")
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def draw_sweeps(results: dict[ForecastCell, Result]) -> Figure:
    """Regret against each cost in turn."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups = grouped(results, varied)
    agents = ("online lag 1", "two-stage", "gdf", "sampled")
    with rc_context(_RC):
        figure = Figure(figsize=(8.4, 6.2), layout="constrained")
        axes = figure.subplots(2, 2).ravel()
        for ax, name in zip(axes, SWEEPS, strict=True):
            points = {value: group for (what, value), group in groups.items() if what == name}
            for agent in agents:
                found = [regrets(group, agent) for group in points.values()]
                error = np.nan_to_num([f.half_width for f in found])
                values = [f.value for f in found]
                ax.errorbar(list(points), values, error, fmt="o-", color=COLOURS[agent], markersize=4, capsize=2)
            ax.set_xlabel(_SYMBOLS[name])
            ax.set_ylim(bottom=0)
        for ax in axes[::2]:
            ax.set_ylabel("regret")
        figure.legend([NAMES[agent] for agent in agents], loc="outside lower center", ncols=4, frameon=False)
    return figure


def draw_cities(cell: ForecastCell) -> Figure:
    """One storm over the counties: customers out, and what the optimum and two plans serve (GDF Fig. 3)."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    profile = cell.place
    problem, test = DispatchProblem(profile), events(cell, "test")
    sizes = test.outcomes.sum(axis=(1, 2))
    storm = int(np.argsort(sizes)[3 * len(sizes) // 4])  # a strong one
    wave = test.outcomes[storm]
    forecast = fitted(cell, "mse").predict(test.X[[storm]], test.onset[[storm]])
    samples = fitted(cell, "crps").sample(test.X[[storm]], test.onset[[storm]], n_samples=100)[:, :, 1:]
    online = online_greedy(
        wave,
        test.out[storm, 0],
        generators=profile.generators,
        customers_per_generator=profile.customers_per_generator,
    )
    plans = {
        "optimum": (problem.decide(wave[None, None])[0], "#9db4cf", 7.0, "-"),
        NAMES["sampled"]: (problem.decide(samples)[0], COLOURS["sampled"], 3.0, "-"),
        NAMES["online lag 1"]: (online, "#b5493a", 1.6, "--"),
    }  # widths differ, so that plans that agree are seen all the same
    days = np.arange(1, profile.n_periods + 1)
    k = min(profile.n_counties, 4)
    with rc_context(_RC):
        figure = Figure(figsize=(8.4, 2.3 * k + 0.6), layout="constrained")
        axes = figure.subplots(k, 1, sharex=True, squeeze=False).ravel()
        for county, ax in enumerate(axes):
            low, high = np.quantile(samples[:, 0, :, county], [0.05, 0.95], axis=0)
            ax.fill_between(days, low, high, color="#e3d7c3", label="samples, 5 to 95 %")
            ax.plot(days, wave[:, county], color="#222222", linewidth=2.0, label="customers out")
            ax.plot(days, forecast[0, 1:, county], "--", color="#222222", linewidth=1.0, label="forecast")
            for name, (stock, colour, width, style) in plans.items():
                served = profile.customers_per_generator * stock[:, county]
                ax.step(days, served, style, color=colour, linewidth=width, where="mid", label=name)
            ax.set_ylabel(f"county {profile.label[county]}\n({profile.population[county]:,.0f} customers)")
            ax.set_ylim(bottom=0)
        axes[-1].set_xlabel("period")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure
