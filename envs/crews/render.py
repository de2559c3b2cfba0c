"""Pictures of a storm: text for a terminal; a frame with the map, who works when, and outages by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stormgym.envs.crews.process import CrewProcess
    from stormgym.envs.data import City

# Okabe-Ito colours: told apart by colour-blind readers; the marker says the group a second time.
COLOURS = ("#D55E00", "#009E73", "#0072B2", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
WIDTH_PX, HEIGHT_PX, DPI = 1200, 600, 100
N_NEXT = 6
_GREY = "#bbbbbb"


class Scene(NamedTuple):
    """What pictures are made of."""

    process: CrewProcess
    city: City
    places_km: Floats
    """`[V, 2]` regions, then depots."""

    @property
    def depots_km(self) -> Floats:
        """`[D, 2]`"""
        return self.places_km[self.city.n_regions :]


def render(scene: Scene, row: int, mode: str) -> str | NDArray[np.uint8]:
    """A picture of storm `row`: `"ansi"` for text of at most 80 columns, `"rgb_array"` for a frame `[600, 1200, 3]`.

    Raises:
        ValueError: another mode.
    """
    if mode == "ansi":
        return text_of(scene, row)
    if mode == "rgb_array":
        return frame_of(scene, row)
    raise ValueError(f"render mode must be ansi or rgb_array; got {mode!r}")


def text_of(scene: Scene, row: int) -> str:
    """Hours, jobs, crews and what the asked crew may choose."""
    p = scene.process.part(np.array([row]))
    now = float(p.t[0])
    known, sent, back = p.jobs.arrival_h[0] <= now, np.isfinite(p.repaired_h[0]), p.power_h[0] <= now
    lines = [
        f"{scene.city.name}: {now:.2f} h, {int((known & ~back).sum())} of {int(known.sum())} known jobs without power, "
        f"gap {float(p.gap_h[0]):.2f} h",
        "crew  depot  skills  state",
    ]
    for k in range(p.roster.n_crews):
        skills = "look" if p.roster.assessor[k] else ",".join(map(str, np.flatnonzero(p.roster.skills[k])))
        depot = int(p.roster.depot[k]) - scene.city.n_regions
        mark = ">" if k == p.asked[0] and p.n_left[0] > 0 else " "
        lines.append(f"{mark}{k:>3}  {depot:>5}  {skills:<6}  {_state_of(p, k)}")
    open_ = np.flatnonzero(p.mask[0, :-1]) if p.n_left[0] > 0 else np.zeros(0, dtype=np.int64)
    if open_.size:
        km = p.distance_km[p.loc[0, p.asked[0]], p.jobs.site[0]]
        nearest = open_[np.argsort(km[open_], kind="stable")][:N_NEXT]
        names = [scene.city.region_ids[site] for site in p.jobs.site[0, nearest]]
        pairs = zip(names, km[nearest], strict=True)
        lines.append("open: " + ", ".join(f"{name} ({away:.1f} km)" for name, away in pairs))
        under_way = int((known & sent & ~back).sum())
        lines.append(f"{open_.size} open, {under_way} under way; wait {'open' if p.mask[0, -1] else 'closed'}")
    return "\n".join(line[:80] for line in lines) + "\n"


def _state_of(p: CrewProcess, k: int) -> str:
    now = float(p.t[0])
    if p.finish_h[0, k] > now:
        where = f"job {int(p.target[0, k])}" if p.target[0, k] >= 0 else "a wasted trip"
        way = float(p.begin_h[0, k]) - now
        return f"on the way to {where}, {way:.2f} h left" if way > 0 else f"at {where} for {-way:.2f} h"
    if p.waiting[0, k]:
        return "waits"
    rest = float(p.roster.next_on(np.full(p.roster.n_crews, now))[k]) - now
    return f"off duty for {rest:.2f} h" if rest > 0 else "free"


def frame_of(scene: Scene, row: int) -> NDArray[np.uint8]:
    """Map, Gantt of crews by depot, and the share of each group without power."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=[1.1, 1.0])
    p = scene.process.part(np.array([row]))
    city = figure.add_subplot(grid[:, 0])
    draw_map(city, scene, p)
    title = "filled: without power; ringed: mended, waits for what is above; star: depot"
    figure.legend(
        *city.get_legend_handles_labels(), loc="outside lower left", ncols=6, fontsize=8, title=title, title_fontsize=8
    )
    draw_gantt(figure.add_subplot(grid[0, 1]), scene, p)
    draw_curves(figure.add_subplot(grid[1, 1]), scene, p)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_map(axes: Axes, scene: Scene, p: CrewProcess) -> None:
    """Jobs that are known, feeders, depots, and crews with their ways."""
    now, xy = float(p.t[0]), scene.places_km
    known, back, mended = p.jobs.arrival_h[0] <= now, p.power_h[0] <= now, p.repaired_h[0] <= now
    for j in np.flatnonzero(known & (p.jobs.parent[0] >= 0)):
        pair = xy[p.jobs.site[0, [j, p.jobs.parent[0, j]]]]
        axes.plot(*pair.T, color=_GREY, linewidth=0.7, zorder=1)
    axes.scatter(*columns(xy[p.jobs.site[0][~known]]), s=10, color="#e6e6e6", zorder=1)
    for g, name in enumerate(scene.city.group_names):
        own = known & (p.jobs.group[0] == g)
        for rows, face, alpha in ((own & ~back, COLOURS[g % 6], 1.0), (own & back, "white", 0.8)):
            axes.scatter(
                *columns(xy[p.jobs.site[0][rows]]),
                s=42,
                marker=MARKERS[g % 6],
                facecolor=face,
                edgecolor=COLOURS[g % 6],
                alpha=alpha,
                label=name if face != "white" else None,
                zorder=2,
            )
    waits = known & mended & ~back
    axes.scatter(
        *columns(xy[p.jobs.site[0][waits]]), s=110, facecolor="none", edgecolor="black", linewidth=0.8, zorder=3
    )
    axes.scatter(*columns(scene.depots_km), marker="*", s=150, color="black", zorder=3)
    for k in range(p.roster.n_crews):
        here = xy[p.loc[0, k]]
        colour = "black" if p.finish_h[0, k] > now else "#666666"
        axes.annotate(
            f"{k}{'?' if k == p.asked[0] and p.n_left[0] > 0 else ''}",
            here,
            xytext=(6, 6 + 9 * (k % 3)),
            textcoords="offset points",
            fontsize=9,
            color=colour,
            fontweight="bold",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colour, "alpha": 0.85},
            zorder=4,
        )
    mean = float(p.paid_outage_h[0] / max(p.jobs.weight[0][known].sum(), 1e-9))
    axes.set_title(
        f"{scene.city.name}: {now:.1f} h, mean outage so far {mean:.1f} h, gap {float(p.gap_h[0]):.1f} h", fontsize=10
    )
    axes.set_aspect("equal")
    axes.set_xlabel("km")


def draw_gantt(axes: Axes, scene: Scene, p: CrewProcess) -> None:
    """Ways and repairs of each crew until now, over its hours on duty; crews of a depot side by side."""
    now = float(p.t[0])
    roster = p.roster
    order = np.lexsort((np.arange(roster.n_crews), roster.depot))
    for place, k in enumerate(order.tolist()):
        period, start = roster.on_h[k] + roster.off_h[k], float(roster.start_h[k])
        while start <= now:
            axes.barh(place, min(float(roster.on_h[k]), max(now - start, 0.0)), left=start, height=0.9, color="#eeeeee")
            start += float(period)
        for j in np.flatnonzero(p.crew_of[0] == k):
            sent, begun, done = (float(v[0, j]) for v in (p.sent_h, p.begun_h, p.repaired_h))
            axes.barh(place, min(begun, now) - sent, left=sent, height=0.25, color="#666666")
            if begun < now:
                colour = COLOURS[int(p.jobs.group[0, j]) % 6]
                axes.barh(
                    place,
                    min(done, now) - begun,
                    left=begun,
                    height=0.6,
                    color=colour,
                    edgecolor="white",
                    linewidth=0.4,
                )
    names = [f"{k} (depot {int(roster.depot[k]) - scene.city.n_regions})" for k in order]
    axes.set_yticks(range(roster.n_crews), names, fontsize=8)
    axes.set_xlim(0, max(now, 1.0))
    axes.set_title("crews: grey ground on duty, thin on the way, colour by group", fontsize=9)


def draw_curves(axes: Axes, scene: Scene, p: CrewProcess) -> None:
    """Share of each group's known jobs without power over the hours until now."""
    now = float(p.t[0])
    hours = np.linspace(0.0, max(now, 1.0), 200)
    arrival, power = p.jobs.arrival_h[0][:, None], p.power_h[0][:, None]
    for g, name in enumerate(scene.city.group_names):
        own = p.jobs.group[0] == g
        there = (arrival[own] <= np.minimum(hours, now)).sum(axis=0)
        dark = ((arrival[own] <= np.minimum(hours, now)) & (power[own] > hours)).sum(axis=0)
        axes.plot(hours, dark / np.maximum(there, 1), color=COLOURS[g % 6], label=name)
    axes.set_xlim(0, max(now, 1.0))
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("hours")
    axes.set_title("share of known jobs without power", fontsize=9)
    axes.legend(fontsize=8, loc="upper right")


def columns(places_km: Floats) -> tuple[Floats, Floats]:
    """x and y of places `[n, 2]`."""
    return places_km[:, 0], places_km[:, 1]
