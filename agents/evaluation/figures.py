"""Figures of an evaluation; Matplotlib is loaded when one is drawn, and no global style is touched."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stormgym.agents.evaluation.report import measure_of, sorted_agents
from stormgym.agents.evaluation.rollouts import Evaluation
from stormgym.agents.registry import domain_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUP_COLOURS = ("#b5493a", "#d9a441", "#3b6ea5", "#5a8f5c", "#7a5c99", "#555555")
_PLAIN, _LEARNED, _PRIVILEGED, _LIMIT = "#2b4c7e", "#c2571a", "#8a8a8a", "#b5493a"
_RC: Any = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "svg.hashsalt": "stormgym",
}
_GRID_POINTS = 200
_PLACES = [
    (dx * r, dy * r)
    for r in (7, 12, 18, 26)
    for dx, dy in ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))
]
"""Where a name may stand beside its point (points), in the order they are tried."""
_LEADER_PT = 10
"""Names farther off than this get a line to their point, where `leaders` is set."""


def draw_all(evaluation: Evaluation, summary: dict[str, Any], sort: str | None = None) -> list[tuple[str, Figure]]:
    """Every figure that the evaluation has data for, as (caption, figure)."""
    names = sorted_agents(summary, sort)
    headline = domain_of(evaluation.env_id).headline
    kinds = "Hollow points look at the future, orange ones were trained."
    if headline.constraint is None:
        caption = f"Mean {headline.objective.name} over the scenarios with its interval. {kinds}"
        drawn = [(caption, draw_objective(summary, names))]
    else:
        caption = (
            f"Means over the scenarios with their intervals: {headline.objective.name} against "
            f"{headline.constraint.name}. Dashed: the limit. {kinds}"
        )
        drawn = [(caption, draw_tradeoff(summary, names))]
    if evaluation.group is not None and all(r.times is not None for r in evaluation.agents.values()):
        caption = "Share of each group's regions that has power again, by hour, over all scenarios."
        drawn.append((caption, draw_group_curves(evaluation, names)))
    elif headline.group_mean_prefix is not None:
        drawn.append(("Mean of each group, with intervals.", draw_group_means(summary, names)))
    return drawn


def _new(width: float, height: float, rows: int = 1, columns: int = 1, **kwargs: Any) -> tuple[Figure, list[Axes]]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_RC):
        figure = Figure(figsize=(width, height), layout="constrained")
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.set(w_pad=0.08, h_pad=0.06)  # type: ignore[call-arg]
        axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    return figure, list(axes.ravel())


def _colour(agent: dict[str, Any]) -> str:
    return _PRIVILEGED if agent["privileged"] else _LEARNED if agent["learned"] else _PLAIN


def _point(agent: dict[str, Any]) -> dict[str, Any]:
    """How an agent's mean and intervals are drawn."""
    return {
        "fmt": "D" if agent["privileged"] else "o",
        "color": _colour(agent),
        "markersize": 5.5,
        "markerfacecolor": "white" if agent["privileged"] else _colour(agent),
        "elinewidth": 1.2,
        "capsize": 2.5,
    }


def draw_objective(summary: dict[str, Any], names: Sequence[str]) -> Figure:
    """The objective where nothing is limited: a row an agent, the best on top, with its interval."""
    objective = domain_of(summary["env"]).headline.objective
    figure, (ax,) = _new(7.6, 0.9 + 0.32 * len(names))
    for row, name in enumerate(names):
        agent = summary["agents"][name]
        ax.errorbar(agent[objective.key], row, xerr=_arms(agent, objective.key), **_point(agent))
    ax.set_yticks(range(len(names)), [f"{n} †" if summary["agents"][n]["privileged"] else n for n in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(objective.axis_title)
    ax.grid(alpha=0.2, linewidth=0.6)
    return figure


def draw_tradeoff(summary: dict[str, Any], names: Sequence[str]) -> Figure:
    """Objective against constraint, one point an agent with both intervals, and the limit as a line."""
    headline = domain_of(summary["env"]).headline
    constraint = headline.constraint
    assert constraint is not None, "draw_objective is for environments without a constraint"
    x_key, y_key = constraint.key, headline.objective.key
    figure, (ax,) = _new(7.6, 4.8)
    for name in names:
        agent = summary["agents"][name]
        x, y = agent[x_key], agent[y_key]
        ax.errorbar(x, y, xerr=_arms(agent, x_key), yerr=_arms(agent, y_key), **_point(agent))
    limit, on_mean = summary["cost_limit"], measure_of(summary).is_mean
    if limit is not None and on_mean and not summary.get("cost_limit_range"):
        ax.axvline(limit, color=_LIMIT, linewidth=1.1, linestyle="--", zorder=0)
        left, right = ax.get_xlim()
        ax.axvspan(limit, max(right, limit * 1.05), color=_LIMIT, alpha=0.05, zorder=-1, linewidth=0)
        ax.set_xlim(min(left, limit * 0.9), max(right, limit * 1.05))
        ax.text(
            limit,
            1.01,
            f"limit {limit:g} {constraint.unit}",
            transform=ax.get_xaxis_transform(),
            color=_LIMIT,
            ha="center",
            va="bottom",
        )
    ax.margins(y=0.12)
    _label_points(figure, ax, {n: summary["agents"][n] for n in names}, (x_key, y_key))
    ax.set_xlabel(constraint.axis_title)
    ax.set_ylabel(headline.objective.axis_title)
    ax.grid(alpha=0.2, linewidth=0.6)
    return figure


def _arms(agent: dict[str, Any], key: str) -> list[list[float]] | None:
    low, high = agent[f"{key}_ci"]
    return None if low is None else [[agent[key] - low], [high - agent[key]]]


def _label_points(figure: Figure, ax: Axes, agents: dict[str, dict[str, Any]], keys: tuple[str, str]) -> None:
    """Write each agent's name beside its point, clear of points, intervals and the limit if it can."""
    bars = []
    for agent in agents.values():
        ends = np.array([[agent[k], agent[k]] if agent[f"{k}_ci"][0] is None else agent[f"{k}_ci"] for k in keys])
        x, y = (agent[k] for k in keys)
        bars += [(ends[0, 0], y, ends[0, 1], y), (x, ends[1, 0], x, ends[1, 1])]
    labels = {name: (agent[keys[0]], agent[keys[1]], _colour(agent)) for name, agent in agents.items()}
    place_labels(figure, ax, labels, bars)


def place_labels(
    figure: Figure,
    ax: Axes,
    labels: Mapping[str, tuple[float, float, str]],
    boxes: Sequence[tuple[float, float, float, float]] = (),
    *,
    fontsize: float = 9,
    leaders: bool = False,
) -> None:
    """Write names beside their points, where they cover no other name, no box and no dashed line if they can.

    Args:
        figure, ax: a figure whose axes have their final limits.
        labels: name -> x and y in data coordinates, and the colour.
        boxes: what must stay free, as (x0, y0, x1, y1) in data coordinates.
        fontsize: in points.
        leaders: join names that stand off their points to them by a thin line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    taken = [Bbox(ax.transData.transform(np.reshape(box, (2, 2)))).padded(4.5) for box in boxes]
    taken += [line.get_window_extent(renderer).padded(2.0) for line in ax.lines if line.get_linestyle() == "--"]
    frame = ax.get_window_extent(renderer)
    for name, (x, y, colour) in labels.items():
        best: tuple[int, Any, tuple[float, float]] | None = None
        for dx, dy in _PLACES:
            label = ax.annotate(
                name,
                (x, y),
                xytext=(dx, dy),
                textcoords="offset points",
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                va="bottom" if dy > 0 else "top" if dy < 0 else "center",
                fontsize=fontsize,
                color=colour,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )
            box = label.get_window_extent(renderer)
            inside = frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)
            clashes = sum(box.overlaps(other) for other in taken) + (0 if inside else 2)
            if best is not None and clashes >= best[0]:
                label.remove()
                continue
            if best is not None:
                best[1].remove()
            best = (clashes, label, (dx, dy))
            if clashes == 0:
                break
        assert best is not None
        if leaders and max(map(abs, best[2])) > _LEADER_PT:
            line = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4}
            ax.annotate("", (x, y), xytext=best[2], textcoords="offset points", arrowprops=line)
        taken.append(best[1].get_window_extent(renderer).padded(1.0))


def draw_group_curves(evaluation: Evaluation, names: Sequence[str]) -> Figure:
    """Empirical distribution of hours without power, one panel an agent, one curve a group."""
    group = evaluation.group
    assert group is not None
    times = {n: t for n in names if (t := evaluation.agents[n].times) is not None}
    hours = np.linspace(0.0, max(float(np.quantile(t, 0.999)) for t in times.values()), _GRID_POINTS)
    columns = min(3 if len(times) <= 6 or len(times) % 3 == 0 else 4, len(times))
    rows = -(-len(times) // columns)
    figure, axes = _new(2.5 * columns + 1.0, 2.1 * rows + 0.6, rows, columns, sharex=True, sharey=True)
    for ax, (name, t) in zip(axes, times.items(), strict=False):
        for g, label in enumerate(evaluation.group_names):
            ax.plot(hours, _cdf(t[:, group == g], hours), color=GROUP_COLOURS[g % len(GROUP_COLOURS)], label=label)
        agent = evaluation.agents[name]
        ax.set_title(f"{name} †" if agent.privileged else name, loc="left")
        ax.grid(alpha=0.2, linewidth=0.6)
        ax.set_ylim(0, 1.02)
        ax.set_xlim(0, hours[-1])
    for ax in axes[len(times) :]:
        ax.set_visible(False)
    for column in range(columns):
        bottom = max(i for i in range(column, len(times), columns))
        axes[bottom].set_xlabel("hours since the storm")
        axes[bottom].tick_params(labelbottom=True)
    for row in range(rows):
        axes[row * columns].set_ylabel("share restored")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, title="group")
    return figure


def _cdf(times: NDArray[np.float64], hours: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(times, axis=None)
    return np.searchsorted(ordered, hours, side="right") / ordered.size


def draw_group_means(summary: dict[str, Any], names: Sequence[str]) -> Figure:
    """Bars of group means with intervals, one cluster an agent."""
    prefix = domain_of(summary["env"]).headline.group_mean_prefix
    assert prefix is not None
    labels = summary["group_names"] or [k.removeprefix(prefix) for k in _group_keys(summary, names, prefix)]
    figure, (ax,) = _new(max(5.0, 1.0 + 0.95 * len(names)), 4.2)
    width = 0.8 / max(len(labels), 1)
    for g, label in enumerate(labels):
        agents = [summary["agents"][n] for n in names]
        centres = np.arange(len(names)) + (g - (len(labels) - 1) / 2) * width
        arms = [_arms(a, f"{prefix}{g}") for a in agents]
        errors = None if any(a is None for a in arms) else np.hstack([np.asarray(a) for a in arms])
        ax.bar(
            centres,
            [a[f"{prefix}{g}"] for a in agents],
            width,
            yerr=errors,
            color=GROUP_COLOURS[g % len(GROUP_COLOURS)],
            label=label,
            error_kw={"elinewidth": 0.8},
        )
    marked = [f"{n} †" if summary["agents"][n]["privileged"] else n for n in names]
    ax.set_xticks(np.arange(len(names)), marked, rotation=30, ha="right")
    ax.set_ylabel("group mean (h)")
    ax.legend(frameon=False, ncols=len(labels), loc="lower left", bbox_to_anchor=(0, 1))
    ax.grid(alpha=0.2, linewidth=0.6, axis="y")
    return figure


def _group_keys(summary: dict[str, Any], names: Sequence[str], prefix: str) -> list[str]:
    return [k for k in summary["agents"][names[0]] if k.startswith(prefix) and not k.endswith("_ci")]


def save_png(figure: Figure, file: str | os.PathLike[str], dpi: int = 150) -> None:
    """Write a figure as PNG."""
    figure.savefig(file, format="png", dpi=dpi)
