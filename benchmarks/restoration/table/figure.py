"""The table as a picture: mean outage against mean gap, one panel a city."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.restoration.table.rows import ROWS, Row
from benchmarks.restoration.table.scores import Score
from benchmarks.restoration.table.summary import GAP, OUTAGE, CityTable, Line
from stormgym.agents.evaluation.figures import place_labels, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FIXED, _PRIVILEGED, _LIMIT, _FRONTIER = "#3f4a5a", "#8a8a8a", "#b5493a", "#2b4c7e"
_LEARNERS = ("#c2571a", "#5a8f5c", "#7a5c99", "#b08a1e", "#1f8a8a", "#a33b6e", "#6b4a2b", "#4a7fb5")
"""Colours of learners; each has a marker of its own as well, for print without colour."""
_MARKERS = "o^sDvP<>"
_RC: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
_MARGIN = 0.06


def draw(tables: Sequence[CityTable], frontiers: Mapping[str, Sequence[Score]]) -> Figure:
    """Draw one panel a city, ablations and what lies on top of others (`Row.drawn`) left out.

    Args:
        tables: what is drawn; a table of ablations only gives no panel.
        frontiers: city -> the equity planner's scores at several limits, drawn as a line.

    Raises:
        ValueError: there is nothing to draw.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    panels = [(table, lines) for table in tables if (lines := [x for x in table.lines if x.row.drawn])]
    if not panels:
        raise ValueError("no row to draw: ablations are left out of the figure")
    with rc_context(_RC):
        figure = Figure(figsize=(7.6, 5.4 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), 1, squeeze=False).ravel()
        rows = sorted({line.row.label: line.row for _, lines in panels for line in lines}.values(), key=_place)
        learners = [row.label for row in rows if row.kind == "learner"]  # one colour in all panels
        for ax, (table, lines) in zip(axes, panels, strict=True):
            _panel(figure, ax, table, lines, frontiers.get(table.city, ()), learners)
    return figure


def write(figure: Figure, file: Path) -> None:
    """Write the PNG, fine enough for print; the folder is made when it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_png(figure, file, dpi=200)


def _place(row: Row) -> tuple[int, str]:
    """Where a row stands in the table; rows of others come last."""
    labels = [known.label for known in ROWS]
    return (labels.index(row.label) if row.label in labels else len(labels)), row.label


def _panel(
    figure: Figure,
    ax: Axes,
    table: CityTable,
    lines: Sequence[Line],
    frontier: Sequence[Score],
    learners: Sequence[str],
) -> None:
    labels: dict[str, tuple[float, float, str]] = {}
    boxes: list[tuple[float, float, float, float]] = []
    if frontier:
        ends = np.array(sorted((s.facts[GAP], s.facts[OUTAGE]) for s in frontier))
        ax.plot(ends[:, 0], ends[:, 1], "-", color=_FRONTIER, linewidth=1.6, zorder=1, label="equity planner, limits")
        dense = np.linspace(0, len(ends) - 1, 12 * len(ends))
        for x, y in zip(*(np.interp(dense, np.arange(len(ends)), ends[:, i]) for i in (0, 1)), strict=True):
            boxes.append((x, y, x, y))
    for line in lines:
        scores = table.scores[line.row.label]
        x, y = np.array([[s.facts[GAP], s.facts[OUTAGE]] for s in scores]).T
        boxes += list(zip(x, y, x, y, strict=True))
        if line.row.label in learners:
            i = learners.index(line.row.label)
            colour, marker = _LEARNERS[i % len(_LEARNERS)], _MARKERS[i % len(_MARKERS)]
            ax.scatter(x, y, 26, color=colour, marker=marker, alpha=0.75, linewidths=0, zorder=3)
            ax.scatter(
                x.mean(), y.mean(), 62, color=colour, marker=marker, edgecolors="black", linewidths=0.8, zorder=4
            )
            boxes.append((x.mean(), y.mean(), x.mean(), y.mean()))
        else:
            colour = _PRIVILEGED if line.row.privileged else _FRONTIER if line.row.role == "planner" else _FIXED
            face = "white" if line.row.privileged else colour
            marker = "D" if line.row.group == "planners" else "X"
            ax.scatter(x, y, 48, facecolors=face, edgecolors=colour, marker=marker, linewidths=1.1, zorder=3)
        name = f"{line.row.label} †" if line.row.privileged else line.row.label
        labels[name] = (float(x.mean()), float(y.mean()), colour)
    ax.margins(_MARGIN)
    ax.axvline(table.limit_h, color=_LIMIT, linewidth=1.2, linestyle="--", zorder=0)
    left, right = ax.get_xlim()
    ax.axvspan(table.limit_h, right, color=_LIMIT, alpha=0.05, zorder=-1, linewidth=0)
    ax.set_xlim(left, right)
    ax.text(
        table.limit_h,
        1.01,
        f"limit {table.limit_h:g} h",
        transform=ax.get_xaxis_transform(),
        color=_LIMIT,
        ha="center",
        va="bottom",
    )
    ax.set_title(f"city {table.city}", loc="right", fontsize=10)
    ax.set_xlabel("mean gap: largest W1 between groups (h)")
    ax.set_ylabel("mean outage (h)")
    ax.grid(alpha=0.25, linewidth=0.6)
    _legend(ax, bool(frontier), lines)
    longest_first = dict(sorted(labels.items(), key=lambda item: -len(item[0])))
    place_labels(figure, ax, longest_first, boxes, fontsize=9.5, leaders=True)


def _legend(ax: Axes, frontier: bool, lines: Sequence[Line]) -> None:
    from matplotlib.lines import Line2D

    def point(marker: str, size: float, face: str, edge: str, label: str) -> Line2D:
        return Line2D([], [], marker=marker, ls="", ms=size, mfc=face, mec=edge, label=label)

    handles = []
    if any(line.row.kind == "policy" and line.row.group != "planners" for line in lines):
        handles.append(point("X", 7, _FIXED, _FIXED, "fixed rule"))
    if any(line.row.group == "planners" and not line.row.privileged for line in lines):
        handles.append(point("D", 6, _FIXED, _FIXED, "planner"))
    if any(line.row.privileged for line in lines):
        handles.append(point("D", 6, "white", _PRIVILEGED, "knows the durations †"))
    if any(line.row.kind == "learner" for line in lines):
        handles.append(point("o", 7, _LEARNERS[0], "black", "learner, mean of its seeds"))
        handles.append(point("o", 5, _LEARNERS[0], _LEARNERS[0], "one seed"))
    if frontier:
        handles.append(Line2D([], [], color=_FRONTIER, linewidth=1.6, label="equity planner at limits of 4 to 20 h"))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False, fontsize=9)
