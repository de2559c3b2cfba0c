"""Maps of plans in a storm: a circle for each region, coloured by its loss, with buried lines and crews marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
_RC: Any = {"font.size": 10, "axes.titlesize": 10.5}
_BURIED, _CREW, _INK = "#1b7f5c", "#ffffff", "#222222"
_LARGEST_PT2, _SMALLEST_PT2 = 1_100.0, 60.0


@dataclass(frozen=True)
class MapPanel:
    """A plan, its crews, and the storm that is drawn with it."""

    value: Floats
    """`[K]` number that the colour encodes, such as hours without power in the storm."""
    protected: NDArray[np.bool_]
    """`[K]` regions whose lines are buried."""
    crews: Floats
    """`[K]` y; regions with at least half a crew are marked."""


def draw_storm_map(
    place: Floats,
    size: Floats,
    panels: Mapping[str, MapPanel],
    *,
    colour_label: str,
    size_label: str,
    labels: Mapping[int, str] | None = None,
    largest_pt2: float = _LARGEST_PT2,
) -> Figure:
    """One map a plan, side by side on one colour scale.

    Circles stand at the regions' places, with areas as `size`; a thick ring marks buried lines, a star a crew.

    Args:
        place: `[K, 2]` east and north.
        size: `[K]` above 0, e.g. customers.
        panels: title -> plan and storm.
        colour_label, size_label: what colour and area stand for, with units.
        labels: names of some regions by index.
        largest_pt2: area of the largest circle; smaller where there are many regions.

    Raises:
        ValueError: no panel, or arrays that do not fit.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    k = len(place)
    if not panels:
        raise ValueError("panels must hold at least one plan")
    for title, panel in panels.items():
        for name, array in (("size", size), ("value", panel.value), ("protected", panel.protected)):
            if np.shape(array) != (k,):
                raise ValueError(f"{name} of {title!r} must be [{k}], as place; got shape {np.shape(array)}")
    area = np.maximum(largest_pt2 * size / size.max(), _SMALLEST_PT2 * largest_pt2 / _LARGEST_PT2)
    top = max(float(panel.value.max()) for panel in panels.values()) or 1.0
    order = np.argsort(-area)  # small ones on top
    extent = np.ptp(place, axis=0)
    tall = float(np.clip(extent[1] / max(extent[0], 1e-12), 0.5, 1.4))
    points = 72.0 * 4.4 / (1.24 * max(extent[0], extent[1] / 1.4, 1e-12))  # of one unit of place, about
    label: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "zorder": 4}
    with rc_context(_RC):
        figure = Figure(figsize=(4.6 * len(panels) + 0.8, 4.6 * tall + 1.4), layout="constrained")
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for ax, (title, panel) in zip(axes, panels.items(), strict=True):
            ring = np.where(panel.protected[order], _BURIED, "#9a9a9a")
            circles = ax.scatter(
                *place[order].T,
                s=area[order],
                c=panel.value[order],
                cmap="YlOrRd",
                vmin=0.0,
                vmax=top,
                edgecolors=ring,
                linewidths=np.where(panel.protected[order], 3.2, 0.8),
            )
            sent = panel.crews >= 0.5
            ax.scatter(*place[sent].T, s=150, marker="*", color=_CREW, edgecolors=_INK, linewidths=1.1, zorder=3)
            for index, text in (labels or {}).items():
                side = _clear_side(place * points, np.sqrt(area) / 2, index, 4.5 * len(text))
                name = ax.annotate(text, place[index], side, ha="center", va="center", **label)
                name.set_path_effects([withStroke(linewidth=2.5, foreground="white", alpha=0.9)])
            ax.set_title(title)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_color("#bbbbbb")
            ax.margins(0.12)
            ax.set_aspect("equal")
        figure.colorbar(circles, ax=axes, label=colour_label, shrink=0.8, pad=0.02)
        circle: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 11}
        handles = [
            Line2D([], [], **circle, markerfacecolor="white", markeredgecolor=_BURIED, markeredgewidth=3.0),
            Line2D([], [], linestyle="", marker="*", markersize=13, markerfacecolor=_CREW, markeredgecolor=_INK),
            Line2D([], [], **circle, markerfacecolor="white", markeredgecolor="#9a9a9a", markeredgewidth=0.8),
        ]
        figure.legend(handles, ["lines buried", "crew", size_label], loc="outside lower center", ncols=3, frameon=False)
    return figure


def _clear_side(at: Floats, radius: Floats, index: int, width: float) -> tuple[float, float]:
    """Where the middle of a region's name hides least of other circles: below, above, right or left, near or far."""
    sides = []
    for apart in (3.0, 14.0):  # points
        down, across = radius[index] + apart + 5.0, radius[index] + apart + width / 2
        sides += [(0.0, -down), (0.0, down), (across, 0.0), (-across, 0.0)]
    others = np.arange(len(at)) != index

    def hidden(side: tuple[float, float]) -> float:
        off = np.maximum(np.abs(at - at[index] - np.array(side)) - np.array([width / 2, 5.0]), 0.0)  # from the name
        return float(np.maximum(radius - np.hypot(*off.T), 0.0)[others].sum())

    return min(sides, key=hidden)
