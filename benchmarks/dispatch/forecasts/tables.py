"""Markdown tables of cells, with Student's t intervals over seeds."""

from __future__ import annotations

import numpy as np

from benchmarks.dispatch.forecasts.cells import SWEEPS, WITHHELD, ForecastCell
from benchmarks.kit.regret import Result, difference, grouped, headroom, regrets
from benchmarks.kit.tables import markdown, number
from stormgym.agents.statistics import mean_estimate

NAMES = {
    "do-nothing": "do nothing",
    "static": "static plan (mean wave)",
    "online lag 1": "online greedy, lag 1",
    "online lag 3": "online greedy, lag 3",
    "online lag 5": "online greedy, lag 5",
    "two-stage": "two-stage",
    "gdf": "GDF (smoothed QP)",
    "spo+": "GDF (SPO+)",
    "sampled": "sampled forecast",
    "so-ebm": "sampled forecast, SO-EBM",
    "floor": "floor: true distribution",
    "adaptive": "adaptive, day by day",
}
_SYMBOLS = {"interruption_cost": "tau", "transport_cost": "c", "operating_cost": "gamma", "generators": "Q"}


def table_of(results: dict[ForecastCell, Result]) -> str:
    """Cost, regret, paired difference to two-stage and share of the headroom, by transport cost (GDF Table I)."""
    rows = []
    for cost, group in grouped(results, lambda cell: cell.transport_cost).items():
        optimum = mean_estimate([result.optimum for result in group])
        rows.append([f"{cost:,.0f}", "optimum (true wave)", number(optimum), "0", "", ""])
        for agent in sorted(group[0].cost, key=lambda name: np.mean([r.cost[name] for r in group])):
            gap = difference(group, agent)
            share = headroom(group, agent)
            rows.append(
                [
                    "",
                    NAMES[agent],
                    number(mean_estimate([result.cost[agent] for result in group])),
                    number(regrets(group, agent)),
                    "" if agent == "two-stage" else number(gap, "+"),
                    f"{share:.0%}" if agent in ("gdf", "spo+", "sampled", "so-ebm", "floor") else "",
                ]
            )
    head = ["c", "agent", "cost", "regret", "against two-stage", "of the headroom"]
    return f"{markdown(head, rows)}\n\n{_seeds(results)}"


SUMMARY = ("adaptive", "floor", "sampled", "gdf", "two-stage", "online lag 1", "do-nothing")


def summary_table(results: dict[ForecastCell, Result]) -> str:
    """The small table of the front page: costs of some agents at the least transport cost."""
    cost, group = next(iter(grouped(results, lambda cell: cell.transport_cost).items()))
    rows = [["optimum (true wave)", number(mean_estimate([result.optimum for result in group])), "0"]]
    rows += [
        [NAMES[agent], number(mean_estimate([result.cost[agent] for result in group])), number(regrets(group, agent))]
        for agent in SUMMARY
    ]
    table = markdown(["agent", "cost of a storm", "above the optimum"], rows)
    profile = next(iter(results)).profile
    return f"{table}\n\nProfile {profile}, a trip costs {cost:g}; {len(group)} seeds, ± 95 % over seeds."


def weight_table(results: dict[ForecastCell, Result]) -> str:
    """Regret of fine-tuned forecasters by the weight of the fit (GDF Table III)."""
    rows = []
    for weight, group in grouped(results, lambda cell: cell.fit_weight).items():
        parts = [f"{weight:g}", number(regrets(group, "two-stage"))]
        for agent in ("gdf", "spo+"):
            kept = np.mean([result.best_epoch[agent] > 0 for result in group])
            parts += [number(regrets(group, agent)), number(difference(group, agent), "+"), f"{kept:.0%}"]
        rows.append(parts)
    head = ["lambda", "two-stage", "GDF (QP)", "against two-stage", "tuned", "GDF (SPO+)", "against two-stage", "tuned"]
    return f"{markdown(head, rows)}\n\n{_seeds(results)}"


def energy_table(results: dict[ForecastCell, Result]) -> str:
    """What fine-tuning as an energy-based model is worth, by what forecasters know and the transport cost."""
    rows = []
    groups = grouped(results, lambda cell: (cell.features == WITHHELD, cell.transport_cost))
    for (withheld, cost), group in groups.items():
        kept = np.mean([result.best_epoch["so-ebm"] > 0 for result in group])
        rows.append(
            [
                "no temperature, no wind" if withheld else "all covariates",
                f"{cost:,.0f}",
                number(regrets(group, "sampled")),
                number(regrets(group, "so-ebm")),
                number(difference(group, "so-ebm", "sampled"), "+", 1),
                f"{kept:.0%}",
            ]
        )
    head = ["known", "c", "sampled forecast: regret", "SO-EBM: regret", "against sampled", "tuned"]
    return f"{markdown(head, rows)}\n\n{_seeds(results)}"


def varied(cell: ForecastCell) -> tuple[str, float]:
    """Which cost of a sweep a cell has at which value."""
    for name in SWEEPS:
        value = getattr(cell, name)
        if value is not None and name != "transport_cost":
            return name, float(value)
    assert cell.transport_cost is not None
    return "transport_cost", float(cell.transport_cost)


def sweep_table(results: dict[ForecastCell, Result]) -> str:
    """Regret by tau, c, gamma and Q (GDF Fig. 4)."""
    agents = ("online lag 1", "two-stage", "gdf", "sampled")
    rows = []
    for (name, value), group in grouped(results, varied).items():
        optimum = number(mean_estimate([result.optimum for result in group]))
        regret = [number(regrets(group, agent)) for agent in agents]
        rows.append([f"{_SYMBOLS[name]} = {value:g}", optimum, *regret])
    head = ["setting", "optimum", *(f"{NAMES[agent]}: regret" for agent in agents)]
    return f"{markdown(head, rows)}\n\n{_seeds(results)}"


def _seeds(results: dict[ForecastCell, Result]) -> str:
    cell = next(iter(results))
    n = len({one.seed for one in results})
    return (
        f"Profile {cell.profile}, {n} seeds, {cell.n_fit} storms to fit on, {cell.n_validation} to choose by and "
        f"{cell.n_test} to be scored on, each seed's own; ± 95 % over seeds."
    )
