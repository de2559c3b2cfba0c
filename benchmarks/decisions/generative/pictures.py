"""Pictures of sweeps: regret as risk, degree, noise and dimension change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stormgym.agents.statistics import mean_estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "two-stage (MSE)": "#7f7f7f",
    "MSE, then SPO+": "#000000",
    "residuals": "#009E73",
    "gaussian": "#0072B2",
    "flow": "#E69F00",
    "flow, likelihood alone": "#E69F00",
    "flow, SPO+ of the mean": "#D55E00",
    "ball (DRO)": "#CC79A7",
}
"""Colour-blind-safe, one a method."""
DASHED = ("flow, likelihood alone",)
BASE: Mapping[str, Any] = {
    "degree": 4,
    "grid": 5,
    "n_items": 50,
    "n_assets": 50,
    "sigma": 20.0,
}
"""What an argument is where it is not varied."""
NOISE = {"path": 0.5, "knapsack": 1.0}


def draw_sweeps(found: Mapping[str, Mapping[Any, dict[str, Any]]]) -> Figure:
    """A row a task: by risk, then by each argument that was varied (at risk 1)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    families = list(dict.fromkeys(part.partition(": ")[2] for part in found if part.startswith(("sweep", "risks"))))
    figure = Figure(figsize=(14.0, 3.2 * len(families)), layout="constrained")
    FigureCanvasAgg(figure)
    grid: Any = figure.subplots(len(families), 4, squeeze=False)
    for row, family in zip(grid, families, strict=True):
        for axes in row:
            axes.set_visible(False)
        if cells := found.get(f"risks: {family}"):
            results = list(cells.values())
            risks = [float(risk) for risk in next(iter(results[0]["methods"].values()))["regret"]]
            points = {
                name: {risk: [r["methods"][name]["regret"][f"{risk:g}"] for r in results] for risk in risks}
                for name in results[0]["methods"]
            }
            _draw(row[0], points, "risk alpha", f"{family}\nregret, %")
        for axes, (name, points) in zip(
            row[1:], _swept(family, found.get(f"sweep: {family}", {})).items(), strict=False
        ):
            _draw(axes, points, name, "regret at risk 1, %")
    lines = {line.get_label(): line for axes in figure.axes for line in axes.get_lines() if axes.get_visible()}
    shown = {label: line for label, line in lines.items() if not str(label).startswith("_")}
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _swept(family: str, cells: Mapping[Any, dict[str, Any]]) -> dict[str, dict[str, dict[float, list[float]]]]:
    """Regrets by argument, method and value; what is not varied is a point of each."""
    names = list(dict.fromkeys(name for cell in cells for name, _ in cell.arguments))
    found: dict[str, dict[str, dict[float, list[float]]]] = {}
    for name in names:
        for cell, result in cells.items():
            own = dict(cell.arguments)
            if own and name not in own:
                continue
            value = float(own.get(name, NOISE.get(family, 0.0) if name == "noise" else BASE.get(name, 0.0)))
            for method, kept in result["methods"].items():
                found.setdefault(name, {}).setdefault(method, {}).setdefault(value, []).append(kept["regret"]["1"])
    return found


def _draw(axes: Any, points: Mapping[str, Mapping[float, list[float]]], x_name: str, y_name: str) -> None:
    axes.set_visible(True)
    for name, by_value in points.items():
        values = sorted(by_value)
        estimates = [mean_estimate(by_value[value]) for value in values]
        middle = np.array([estimate.value for estimate in estimates])
        half = np.nan_to_num([estimate.half_width for estimate in estimates])
        style = "--" if name in DASHED else "-"
        axes.plot(values, middle, style, marker="o", markersize=3, color=COLOURS[name], label=name)
        axes.fill_between(values, middle - half, middle + half, color=COLOURS[name], alpha=0.12, linewidth=0)
    axes.set_ylim(bottom=0.0, top=1.15 * max(float(np.mean(v)) for by in points.values() for v in by.values()))
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
