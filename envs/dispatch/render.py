"""Pictures of dispatch: the wave so far and as forecast, generators by county, and where people are without power."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats
from stormgym.envs.dispatch.process import DispatchProcess

COLOURS = ("#D55E00", "#009E73", "#0072B2")  # Okabe-Ito, low to high income
GROUPS = ("low income", "middle", "high income")
WIDTH_PX, HEIGHT_PX, DPI = 1000, 560, 100
N_TEXT = 12
N_RINGS = 40
"""Counties, at most, that are drawn as rings within each other."""
_DARK, _SERVED, _FORECAST = "#3f4a5a", "#E69F00", "#8a8a8a"


def render(process: DispatchProcess, row: int, mode: str, forecast: Floats) -> str | NDArray[np.uint8]:
    """Return a picture of episode `row`.

    Args:
        process: the episodes; nothing in it changes.
        row: which of the B episodes.
        mode: `"ansi"` for text of at most 80 columns, `"rgb_array"` for a frame.
        forecast: `[T, K]` what was expected.

    Raises:
        ValueError: another mode.
    """
    if mode == "ansi":
        return render_text(process, row)
    if mode == "rgb_array":
        return render_frame(process, row, forecast)
    raise ValueError(f"render mode must be ansi or rgb_array; got {mode!r}")


def _facts(process: DispatchProcess, row: int) -> dict[str, Any]:
    p, day = process.profile, int(process.day[row])
    return {
        "day": day,
        "out": process.out[row, : day + 1],  # what has been seen
        "stock": process.stock[row],
        "home": p.generators - int(process.stock[row].sum()),
        "cost": float(process.transport[row] + process.operating[row] + process.interruption[row]),
        "gap": float(process.gap[row]),
        "unserved": process.unserved[row] / p.population,
    }


def render_text(process: DispatchProcess, row: int) -> str:
    """Summary and the counties with most customers out, as lines of at most 80 characters."""
    p, f = process.profile, _facts(process, row)
    now = f["out"][-1]
    lines = [
        f"{p.name}: day {f['day']} of {p.n_periods}, {now.sum():,.0f} customers out, {f['home']} of {p.generators} "
        "generators at home",
        f"cost so far {f['cost']:,.0f}; gap {f['gap']:.3f} periods a customer, limit {p.cost_limit:.3f}",
        "",
        f"{'county':<8}{'group':<13}{'customers':>10}{'out':>8}  {'share out':<22}{'generators':>11}{'dark':>6}",
    ]
    for k in np.argsort(-now, kind="stable")[:N_TEXT].tolist():
        share = now[k] / p.population[k]
        bar = "#" * round(20 * share)
        lines.append(
            f"{p.label[k]:<8.8}{GROUPS[p.group[k]]:<13}{p.population[k]:>10,.0f}{now[k]:>8,.0f}  [{bar:<20}]"
            f"{f['stock'][k]:>11}{f['unserved'][k]:>6.2f}"
        )
    if p.n_counties > N_TEXT:
        lines.append(f"and {p.n_counties - N_TEXT} counties with fewer customers out")
    return "\n".join(lines)


def render_frame(process: DispatchProcess, row: int, forecast: Floats) -> NDArray[np.uint8]:
    """The wave above, counties on the map below with what is out and what serves, `[560, 1000, 3]` uint8."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    p, f = process.profile, _facts(process, row)
    with rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1.0])
        days = np.arange(f["day"] + 1)
        left.plot(1 + np.arange(p.n_periods), forecast.sum(axis=1), "--", color=_FORECAST, label="forecast, all")
        left.plot(days, f["out"].sum(axis=1), color=_DARK, linewidth=2, label="out, all")
        for g in range(3):
            of_group = f["out"][:, p.group == g].sum(axis=1)
            left.plot(days, of_group, color=COLOURS[g], linewidth=1.4, label=f"out, {GROUPS[g]}")
        left.set_xlim(0, p.n_periods)
        left.xaxis.get_major_locator().set_params(integer=True)
        left.set_ylim(bottom=0)
        left.set_xlabel("day")
        left.set_ylabel("customers out")
        left.legend(frameon=False, fontsize=9)
        title = f"{p.name}, day {f['day']} of {p.n_periods}: cost {f['cost']:,.0f}, {f['home']} generators at home"
        left.set_title(title, loc="left")
        colour = [COLOURS[g] for g in p.group]
        x, y = p.place.T
        share = f["out"][-1] / p.population
        served = np.minimum(f["stock"] * p.customers_per_generator / p.population, 1.0)
        if p.n_counties <= N_RINGS:
            size = min(4_000.0, 20_000.0 / p.n_counties) * p.population / p.population.max()
            right.scatter(x, y, size, facecolors="none", edgecolors=colour, linewidths=1.6)
            right.scatter(x, y, size * share, color=_DARK, alpha=0.8, linewidths=0)
            right.scatter(x, y, size * served, facecolors="none", edgecolors=_SERVED, linewidths=2.2)
            handles = [
                Line2D([], [], marker="o", ls="", ms=7, mfc=_DARK, mec="none", label="share out"),
                Line2D([], [], marker="o", ls="", ms=7, mfc="none", mec=_SERVED, mew=2, label="share served"),
            ]
        else:  # rings would be too small: how dark a disc is says what is out, and small counties are drawn larger
            size = np.maximum(60_000.0 / p.n_counties * (p.population / p.population.max()) ** 0.5, 30.0)
            dark = np.column_stack([np.broadcast_to(to_rgb(_DARK), (p.n_counties, 3)), share])
            right.scatter(x, y, size, facecolors=dark, edgecolors=colour, linewidths=1.4)
            right.scatter(x, y, size * served, color=_SERVED, linewidths=0)
            handles = [
                Line2D([], [], marker="o", ls="", ms=9, mfc=(*to_rgb(_DARK), a), mec="none", label=label)
                for a, label in ((0.2, "a fifth out"), (1.0, "all out"))
            ]
            handles.append(Line2D([], [], marker="o", ls="", ms=7, mfc=_SERVED, mec="none", label="share served"))
        for k in range(p.n_counties if p.n_counties <= 12 else 0):
            below = (0, -0.5 * size[k] ** 0.5 - 4)
            right.annotate(
                str(f["stock"][k]), (x[k], y[k]), below, textcoords="offset points", ha="center", va="top", fontsize=9
            )
        right.set_xlim(-0.1, 1.1)
        right.set_ylim(-0.1, 1.1)
        right.set_aspect("equal")
        right.set_xticks([])
        right.set_yticks([])
        right.spines[["left", "bottom"]].set_visible(False)
        right.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.0, 0.0), ncols=3, handles=handles)
        right.set_title(f"generators; gap {f['gap']:.3f}, limit {p.cost_limit:.3f}", loc="left")
        canvas.draw()
    frame: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return frame
