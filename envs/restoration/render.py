"""Pictures of an episode: text for a terminal, and an RGB frame with map and outage curves."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.equity import group_pairs
from stormgym.envs.restoration.layout import COLUMN, CREW_SCALARS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stormgym.envs.restoration.process import RestorationProcess

# Okabe-Ito colours: told apart by colour-blind readers; the marker says the group a second time.
COLOURS = ("#D55E00", "#009E73", "#0072B2", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
WIDTH_PX, HEIGHT_PX, DPI = 1000, 500, 100
TEXT_COLUMNS, TEXT_ROWS = 64, 16
N_NEXT = 5


def render(process: RestorationProcess, row: int, mode: str | None) -> str | NDArray[np.uint8]:
    """Return a picture of episode `row`.

    Args:
        process: the episodes; nothing in it changes.
        row: which of the B episodes.
        mode: `"ansi"` for text of at most 80 columns, `"rgb_array"` for a frame.

    Returns:
        A `str`, or a uint8 array `[500, 1000, 3]`.

    Raises:
        ValueError: another mode.
    """
    if mode == "ansi":
        return render_text(Scene(process, row))
    if mode == "rgb_array":
        return render_frame(Scene(process, row))
    raise ValueError(f"render mode must be ansi or rgb_array; got {mode!r}")


class Scene:
    """What a picture shows of one episode, read from the process."""

    def __init__(self, process: RestorationProcess, row: int) -> None:
        city = process.tables.city
        regions, crew = process.regions[row], process.crew[:, row]
        first, g = len(CREW_SCALARS), city.n_groups
        self.city = city
        self.group = city.group
        self.names = city.group_names
        self.xy_km, self.depot_km = city.xy_km, city.depot_km
        self.is_open = regions[COLUMN["open"]] > 0  # [N]
        self.outage_h = process.outage_h[row]  # [N] 0 while open
        self.lower_h, self.upper_h, self.point_h = (regions[COLUMN[c]] for c in ("lower_h", "upper_h", "point_h"))
        self.distance_km = regions[COLUMN["distance_km"]]
        self.elapsed_h = float(process.elapsed_h[row])
        self.gap_h, self.cost_limit_h = float(process.gap_h[row]), float(process.cost_limit_h[row])
        self.log_ratio = crew[first : first + g]
        self.mean_h = crew[first + g : first + 2 * g]
        self.share = crew[first + 2 * g : first + 3 * g]
        self.pair_gap_h = crew[first + 3 * g :]
        self.wasted = int(process.wasted[row])
        self.crew_km = crew[CREW_SCALARS.index("x_km") :][:2]
        self.size = process.tables.group_size[:, 0]
        restored = np.flatnonzero(~self.is_open)
        self.path = restored[np.argsort(self.outage_h[restored], kind="stable")]  # visits in their order
        self.mean_so_far_h = float(np.where(self.is_open, self.elapsed_h, self.outage_h).mean())

    @property
    def worst_pair(self) -> tuple[int, int] | None:
        """The two groups that make the running gap; None while there is none."""
        return group_pairs(len(self.names))[int(self.pair_gap_h.argmax())] if self.gap_h > 0 else None


def render_text(scene: Scene) -> str:
    """Return summary, table of groups, map and the nearest open regions as lines of at most 80 characters."""
    n = scene.is_open.size
    pair = scene.worst_pair
    between = "" if pair is None else f" ({scene.names[pair[0]][:11]}/{scene.names[pair[1]][:11]})"
    lines = [
        f"{scene.city.name[:20]}: {scene.elapsed_h:.1f} h, {n - int(scene.is_open.sum())} of {n} regions restored, "
        f"{scene.wasted} wasted trips",
        f"gap {scene.gap_h:.2f} h{between}, limit {scene.cost_limit_h:.2f} h; mean outage {scene.mean_so_far_h:.2f} h",
        "",
        f"{'group':<12}{'restored':>10}  {'share':<22}{'mean so far':>12}{'log ratio':>11}",
    ]
    for g, name in enumerate(scene.names):
        bar = "#" * round(20 * float(scene.share[g]))
        count = f"{round(float(scene.share[g] * scene.size[g]))}/{round(float(scene.size[g]))}"
        lines.append(f"{name[:11]:<12}{count:>10}  [{bar:<20}]{scene.mean_h[g]:>10.2f} h{scene.log_ratio[g]:>+11.2f}")
    marks = _letters(scene.names)
    lines += ["", *(f"  |{line}|" for line in _text_map(scene, marks))]
    key = ", ".join(f"{mark} {name[:11]}" for mark, name in zip(marks, scene.names, strict=True))
    legend = f"{key}: small = dark, capital = restored; @ crew, + depot"
    lines += [*textwrap.wrap(legend, 78, initial_indent="  ", subsequent_indent="  "), ""]
    dark = np.flatnonzero(scene.is_open)
    if dark.size == 0:
        return "\n".join([*lines, "every region is restored"])
    nearest = dark[np.argsort(scene.distance_km[dark], kind="stable")][:N_NEXT]
    lines.append("nearest dark  group          km  forecast h   interval h")
    lines += [
        f"{scene.city.region_ids[r][:12]:<14}{scene.names[scene.group[r]][:11]:<12}{scene.distance_km[r]:>5.1f}"
        f"{scene.point_h[r]:>12.2f}   [{scene.lower_h[r]:.2f}, {scene.upper_h[r]:.2f}]"
        for r in nearest
    ]
    return "\n".join(lines)


def _letters(names: tuple[str, ...]) -> list[str]:
    """A small letter for each group: its initial where initials differ, else a, b, c."""
    initials = [name[:1].lower() for name in names]
    unique = len(set(initials)) == len(initials) and all(i.isascii() and i.isalpha() for i in initials)
    return initials if unique else [chr(ord("a") + g) for g in range(len(names))]


def _text_map(scene: Scene, marks: list[str]) -> list[str]:
    """Rows of the map, north first; a region whose cell is taken moves to the nearest free one."""
    points = np.vstack([scene.xy_km, scene.depot_km])
    low = points.min(axis=0)
    span = np.maximum(points.max(axis=0) - low, 1e-9)
    cells = np.array([[" "] * TEXT_COLUMNS for _ in range(TEXT_ROWS)])
    column, line = np.meshgrid(np.arange(TEXT_COLUMNS), np.arange(TEXT_ROWS))

    def draw(mark: str, xy: NDArray[Any]) -> None:
        x, y = (xy - low) / span
        far = np.hypot((column - x * (TEXT_COLUMNS - 1)) / 2, line - (1 - y) * (TEXT_ROWS - 1))  # cells are tall
        far[cells != " "] = np.inf
        cells[np.unravel_index(far.argmin(), far.shape)] = mark

    draw("@", scene.crew_km)
    if not np.array_equal(scene.crew_km, scene.depot_km):
        draw("+", scene.depot_km)
    for r in range(scene.is_open.size):
        mark = marks[scene.group[r]]
        draw(mark if scene.is_open[r] else mark.upper(), scene.xy_km[r])
    return ["".join(cell) for cell in cells]


def render_frame(scene: Scene) -> NDArray[np.uint8]:
    """Return the frame `[500, 1000, 3]`: map with the crew's path, and each group's share restored over time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    _draw_map(figure.add_axes((0.01, 0.12, 0.475, 0.76)), scene)
    _draw_curves(figure.add_axes((0.56, 0.12, 0.42, 0.76)), scene)
    n, dark = scene.is_open.size, int(scene.is_open.sum())
    wasted = f", {scene.wasted} wasted trips" if scene.wasted else ""
    figure.text(0.015, 0.93, f"{scene.elapsed_h:.1f} h: {n - dark} of {n} regions restored{wasted}", fontsize=12)
    figure.text(
        0.56,
        0.93,
        f"gap {scene.gap_h:.1f} h (limit {scene.cost_limit_h:g} h)",
        fontsize=12,
        color="#B00020" if scene.gap_h > scene.cost_limit_h else "black",
    )
    figure.text(0.98, 0.93, f"mean outage {scene.mean_so_far_h:.1f} h", fontsize=12, ha="right")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_map(axes: Axes, scene: Scene) -> None:
    """Regions by group and state, depot, path in visiting order, crew."""
    axes.set_facecolor("#F4F4F0")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color("#BBBBBB")
    track = np.vstack([scene.depot_km, scene.xy_km[scene.path], scene.crew_km])
    axes.plot(track[:, 0], track[:, 1], color="#555555", linewidth=1.0, alpha=0.7, zorder=1)
    size = float(np.clip(4500 / scene.is_open.size, 14, 120))
    for g, name in enumerate(scene.names):
        of_group = scene.group == g
        style: dict[str, Any] = {
            "s": size,
            "marker": MARKERS[g % len(MARKERS)],
            "edgecolors": COLOURS[g % len(COLOURS)],
            "linewidths": 1.6,
        }
        dark, lit = scene.xy_km[of_group & scene.is_open].T, scene.xy_km[of_group & ~scene.is_open].T
        axes.scatter(dark[0], dark[1], c="white", zorder=2, **style)
        axes.scatter(lit[0], lit[1], c=COLOURS[g % len(COLOURS)], zorder=3, **style)
        axes.scatter([], [], c=COLOURS[g % len(COLOURS)], label=name, **style)
    axes.scatter(
        [scene.depot_km[0]],
        [scene.depot_km[1]],
        marker="X",
        s=110,
        c="black",
        edgecolors="white",
        zorder=4,
        label="depot",
    )
    axes.scatter(
        [scene.crew_km[0]],
        [scene.crew_km[1]],
        marker="*",
        s=260,
        c="#FFD400",
        edgecolors="black",
        linewidths=1.0,
        zorder=5,
        label="crew",
    )
    points = np.vstack([scene.xy_km, scene.depot_km])
    middle, half = (points.max(axis=0) + points.min(axis=0)) / 2, np.ptp(points, axis=0) / 2
    half = np.maximum(half * 1.07, 0.5)
    shape = 475 / 380  # width to height of these axes in pixels
    half = np.array([max(half[0], half[1] * shape), max(half[1], half[0] / shape)])
    axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=len(scene.names) + 2,
        frameon=False,
        fontsize=9,
        handletextpad=0.3,
        columnspacing=1.2,
        markerscale=0.8,
        title="hollow = dark, filled = restored",
        title_fontsize=8,
    )


def _draw_curves(axes: Axes, scene: Scene) -> None:
    """Share of each group restored against hours; the area between the worst pair of curves is the gap."""
    horizon = 10 * np.ceil(max(1.25 * float(scene.point_h.sum()), 1.0) / 10)
    horizon = max(horizon, 10 * np.ceil(scene.elapsed_h / 10))
    times = np.concatenate([[0.0], scene.outage_h[scene.path], [scene.elapsed_h]])
    visited = scene.group[scene.path]
    curves = []
    for g in range(len(scene.names)):
        share = np.concatenate([[0.0], np.cumsum(visited == g) / scene.size[g]])
        curves.append(np.append(share, share[-1]))
    if scene.worst_pair is not None:
        a, b = scene.worst_pair
        axes.fill_between(times, curves[a], curves[b], step="post", color="#999999", alpha=0.25, linewidth=0)
        axes.text(
            0.98, 0.03, f"shaded: {scene.names[a]} against {scene.names[b]} = gap", transform=axes.transAxes,
            ha="right", fontsize=9, color="#555555",
        )  # fmt: skip
    for g, share in enumerate(curves):
        axes.step(
            times, share, where="post", color=COLOURS[g % len(COLOURS)], linewidth=2.0,
            marker=MARKERS[g % len(MARKERS)], markevery=[len(times) - 1], label=scene.names[g],
        )  # fmt: skip
    axes.axvline(scene.elapsed_h, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlim(0.0, horizon)
    axes.set_ylim(0.0, 1.03)
    axes.set_xlabel("hours since the storm")
    axes.set_ylabel("share of regions restored")
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="upper left", frameon=False, fontsize=9)
