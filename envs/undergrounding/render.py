"""Pictures of undergrounding: the map with what is buried and what the storm did, and regions as bars."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.undergrounding.process import UndergroundingProcess

COLOURS = ("#D55E00", "#009E73", "#0072B2")  # Okabe-Ito, low to high income
GROUPS = ("low income", "middle", "high income")
WIDTH_PX, HEIGHT_PX, DPI = 1000, 560, 100
N_TEXT = 12
N_BARS = 20
"""Regions, at most, that get a bar."""
_BURIED, _CREW, _SET, _STORM = "#3f4a5a", "#E69F00", "#b9c4d0", "#CC79A7"


def render(process: UndergroundingProcess, row: int, mode: str) -> str | NDArray[np.uint8]:
    """Return a picture of season `row`.

    Args:
        process: the seasons; nothing in it changes.
        row: which of the B seasons.
        mode: `"ansi"` for text of at most 80 columns, `"rgb_array"` for a frame.

    Raises:
        ValueError: another mode.
    """
    if mode == "ansi":
        return render_text(process, row)
    if mode == "rgb_array":
        return render_frame(process, row)
    raise ValueError(f"render mode must be ansi or rgb_array; got {mode!r}")


def _facts(process: UndergroundingProcess, row: int) -> dict[str, Any]:
    p, at = process.profile, slice(row, row + 1)
    over = bool(process.struck[row])
    left = process.unserved_h(at)
    head = f"{p.name}: {int(process.protected[row].sum())} of {p.n_counties} regions buried, "
    head += f"{process.spent[row]:,.0f} of {p.budget:,.0f} spent"
    tail = f"{p.loss_h(left)[0]:.2f} h a customer, gap {p.gap_h(left)[0]:.2f} h, limit {p.cost_limit:.2f} h"
    return {"over": over, "head": head, "tail": tail if over else "the storm is still to come", "left": left[0]}


def render_text(process: UndergroundingProcess, row: int) -> str:
    """Summary and the regions that expect or lose most, as lines of at most 80 characters."""
    p, f = process.profile, _facts(process, row)
    hours = process.storm_h[row] if f["over"] else process.forecast.mean[row]
    loss = p.population * hours
    lines = [
        f["head"],
        f["tail"],
        "",
        f"{'region':<8}{'group':<13}{'customers':>10}{'cost':>7}  {'expected':>8}{'at most':>8}{'storm':>8}  ",
    ]
    for k in np.argsort(-loss, kind="stable")[:N_TEXT].tolist():
        what = "buried" if process.protected[row, k] else "crew" if process.crews[row, k] > 0 else ""
        came = f"{process.storm_h[row, k]:>6.1f} h" if f["over"] else f"{'-':>8}"
        lines.append(
            f"{p.label[k]:<8.8}{GROUPS[p.group[k]]:<13}{p.population[k]:>10,.0f}{p.protect_cost[k]:>7,.0f}  "
            f"{process.forecast.mean[row, k]:>6.1f} h{process.forecast.upper[row, k]:>6.1f} h{came}  {what}"
        )
    if p.n_counties > N_TEXT:
        lines.append(f"and {p.n_counties - N_TEXT} regions with less")
    return "\n".join(line[:80].rstrip() for line in lines)


def render_frame(process: UndergroundingProcess, row: int) -> NDArray[np.uint8]:
    """Bars of forecast, set and storm beside a map, `[560, 1000, 3]` uint8."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    f = _facts(process, row)
    with rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=[1.2, 1.0])
        _bars(left, process, row, f["over"])
        _map(right, process, row, f["over"])
        figure.suptitle(_plain(f"{f['head']}\n{f['tail']}"), x=0.01, ha="left", fontsize=11)
        canvas.draw()
    frame: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return frame


def _plain(text: str) -> str:
    """A text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")


def _bars(axes: Any, process: UndergroundingProcess, row: int, over: bool) -> None:
    """Thousand customer-hours of each region: interval of the set, forecast, storm."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    p, known = process.profile, process.forecast
    scale = p.population / 1_000.0
    largest = np.argsort(-(scale * known.upper[row]), kind="stable")[:N_BARS]
    y = np.arange(len(largest))
    low, high, mean = (scale[largest] * part[row, largest] for part in (known.lower, known.upper, known.mean))
    axes.barh(y, high - low, left=low, height=0.55, color=_SET)
    axes.plot(mean, y, "|", color=_BURIED, ms=11, mew=2)
    handles: list[Any] = [
        Patch(color=_SET, label="set of storms"),
        Line2D([], [], marker="|", ls="", ms=10, mew=2, color=_BURIED, label="forecast"),
    ]
    if over:
        axes.plot(scale[largest] * process.storm_h[row, largest], y, "D", color=_STORM, ms=6)
        handles.append(Line2D([], [], marker="D", ls="", color=_STORM, label="storm"))
    names = [f"{_plain(p.label[k])}  {'buried' if process.protected[row, k] else ''}" for k in largest]
    axes.set_yticks(y, [name.strip() for name in names], fontsize=9)
    for tick, k in zip(axes.get_yticklabels(), largest, strict=True):
        tick.set_color(COLOURS[p.group[k]])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("thousand customer-hours if nothing is done")
    axes.set_ylabel("region" if p.n_counties <= N_BARS else f"region, {N_BARS} of {p.n_counties}")
    axes.legend(frameon=False, fontsize=9, loc="lower right", handles=handles)


def _map(axes: Any, process: UndergroundingProcess, row: int, over: bool) -> None:
    """Regions at their places: area for customers, ring for income, dark disc for what is lost."""
    from matplotlib.lines import Line2D

    p = process.profile
    x, y = p.place.T
    size = np.maximum(min(2_600.0, 26_000.0 / p.n_counties) * p.population / p.population.max(), 25.0)
    hours = process.unserved_h(slice(row, row + 1))[0] if over else process.forecast.mean[row] * ~process.protected[row]
    depth = hours / max(float(process.forecast.upper[row].max()), 1e-9)
    axes.scatter(x, y, size, facecolors="white", edgecolors=[COLOURS[g] for g in p.group], linewidths=1.8)
    axes.scatter(x, y, size, color=_STORM, alpha=np.clip(depth, 0.0, 1.0), linewidths=0)
    at = process.protected[row]
    axes.scatter(x[at], y[at], 60, marker="s", color=_BURIED, zorder=3)
    sent = process.crews[row] > 0
    axes.scatter(x[sent], y[sent], 110, marker="*", color=_CREW, edgecolors="black", linewidths=0.6, zorder=3)
    axes.set(xlim=(-0.12, 1.12), ylim=(-0.12, 1.12), aspect="equal", xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    what = "hours lost" if over else "hours expected"
    handles = [
        *(
            Line2D([], [], marker="o", ls="", mfc="white", mec=c, mew=1.8, label=n)
            for c, n in zip(COLOURS, GROUPS, strict=True)
        ),
        Line2D([], [], marker="o", ls="", ms=9, color=_STORM, alpha=0.6, label=what),
        Line2D([], [], marker="s", ls="", color=_BURIED, label="buried"),
        Line2D([], [], marker="*", ls="", ms=10, mfc=_CREW, mec="black", label="crew"),
    ]
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(-0.02, 0.0), ncols=3, handles=handles)
