"""Processor time that each method takes for a three-level plan, against the number of regions.

    python -m benchmarks.undergrounding.trilevel_speed --docs docs

Random instances (weights 1 to 10, protection 100 to 500, crew costs equal in every second one and 0.5 to 3 in the
others), every method on the same ones, one after the other on one thread. Times are of the processor, so that a busy
machine does not lengthen them; the limit is the clock's, since that is what a planner takes. "one program" is the
compact program without intervals of the price. Brute force and the KKT form are left out above the sizes that they can
do. Every solve is kept, and a run takes up what is there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.kit.cells import Cell, Cells
from benchmarks.kit.pages import PICTURES, Page, save_picture
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import markdown
from stormgym.agents.undergrounding.trilevel.compact import solve_compact
from stormgym.agents.undergrounding.trilevel.problem import WorstStormProgram, make_problem
from stormgym.agents.undergrounding.trilevel.solve import solve_trilevel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BENCHMARK = "undergrounding/trilevel_speed"
PAGE = Page("undergrounding-trilevel-speed", "Time to an optimal three-level plan", "undergrounding")
FIGURE = "trilevel_speed.png"
MOST = {"brute-force": 12, "kkt": 8}
"""Largest n of a method that cannot do every size."""
METHODS = ("compact", "one program", "benders", "kkt", "brute-force")
COLOURS = {
    "compact": "#0072B2",
    "one program": "#56B4E9",
    "benders": "#D55E00",
    "kkt": "#CC79A7",
    "brute-force": "#555555",
}
LABELS = {
    "compact": "compact",
    "one program": "compact, one program",
    "benders": "Benders",
    "kkt": "KKT, big-M",
    "brute-force": "brute force",
}


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Time of each method on the same instances."""

    sizes: tuple[int, ...] = (5, 8, 12, 20, 35, 50, 100, 200)
    """Numbers of regions."""
    instances: int = 3
    """Instances of each size."""
    time_limit: float = 40.0
    """Seconds of the clock that a solve may take."""
    gap: float = 1e-6
    """Relative gap that counts as solved."""
    methods: tuple[str, ...] = METHODS
    """Which of compact, one program, benders, kkt and brute-force."""


@dataclass(frozen=True, kw_only=True)
class Solve(Cell):
    """One method on one instance."""

    FORMAT: ClassVar[int] = 1

    n: int
    seed: int
    method: str
    time_limit: float
    gap: float

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        return f"n{self.n:04d}-{self.seed}-{self.method.replace(' ', '-')}"


def instance(n: int, seed: int) -> tuple[tuple[Any, ...], dict[str, float]]:
    """Arrays and limits as `solve_trilevel` takes them."""
    rng = np.random.default_rng([n, seed])
    weights, protect = rng.uniform(1, 10, n), rng.integers(100, 500, n).astype(float)
    crews = np.ones(n) if seed % 2 else rng.uniform(0.5, 3.0, n)
    low = rng.uniform(0, 5, n)
    high = low + rng.uniform(0, 10, n)
    total = low.sum() + rng.uniform(0.3, 0.7) * (high - low).sum()
    budget = float(np.floor(protect.sum() * rng.uniform(0.2, 0.5)))
    crew_budget = float(np.ceil(crews.sum() * rng.uniform(0.1, 0.3)))
    arrays = (weights, protect, crews, low, high, 0.0, float(total))
    return arrays, {"budget": budget, "crew_budget": crew_budget}


def solve(cell: Solve) -> dict[str, Any]:
    """Seconds, value and gap of one solve."""
    n, method = cell.n, cell.method
    arrays, limits = instance(n, cell.seed)
    began = time.process_time()
    if method == "one program":
        problem = make_problem(*arrays, **limits)
        storm = WorstStormProgram(problem)
        scale = storm(np.zeros(n)).value
        found = solve_compact(problem, scale, gap=cell.gap, time_limit=cell.time_limit, split_above=n)
        value = storm(found.protect).value
        missing = max(value - found.lower_bound, 0.0)
        gap = missing / value if missing > 1e-9 * scale else 0.0
        value *= problem.loss_unit
    else:
        solver: Any = method
        plan = solve_trilevel(*arrays, **limits, method=solver, gap=cell.gap, time_limit=cell.time_limit)
        value, gap = plan.value, plan.gap
    seconds = time.process_time() - began
    return {"seconds": seconds, "value": value, "gap": gap, "solved": gap <= cell.gap + 1e-9}


def solves_of(settings: Settings) -> list[Solve]:
    """Every method on every instance that it can do."""
    return [
        Solve(n=n, seed=seed, method=method, time_limit=settings.time_limit, gap=settings.gap)
        for n in settings.sizes
        for seed in range(settings.instances)
        for method in settings.methods
        if n <= MOST.get(method, n)
    ]


def run(settings: Settings, cells: Cells, say: Callable[[str], None]) -> None:
    """All solves of the settings that are not kept yet."""
    solves = solves_of(settings)
    for cell in solves:
        if cells.find(cell.key) is None:
            say(f"n = {cell.n}, instance {cell.seed}, {cell.method}")
            cells.keep(cell.key, asdict(cell), solve(cell))
    cells.collect(cell.key for cell in solves)


def kept(settings: Settings, cells: Cells) -> dict[int, list[dict[str, Any]]]:
    """Kept solves by size."""
    found: dict[int, list[dict[str, Any]]] = {n: [] for n in settings.sizes}
    for cell in solves_of(settings):
        one = cells.find(cell.key)
        if one is not None:
            found[cell.n].append({"method": cell.method, "seed": cell.seed, **one.result})
    return found


def check(found: dict[int, list[dict[str, Any]]]) -> None:
    """Solved values of one instance must agree.

    Raises:
        RuntimeError: two methods that both claim an optimum differ by more than 1e-5 of it.
    """
    for n, rows in found.items():
        for seed in {row["seed"] for row in rows}:
            values = {row["method"]: row["value"] for row in rows if row["seed"] == seed and row["solved"]}
            if values and max(values.values()) - min(values.values()) > 1e-5 * max(1e-6, *values.values()):
                raise RuntimeError(f"n = {n}, instance {seed}: methods differ, {values}")


def draw(found: dict[int, list[dict[str, Any]]], settings: Settings) -> Figure:
    """Median processor seconds against n, every solve a dot; hollow where the time limit came first."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), dpi=150)
    axes = figure.subplots()
    for method in (m for m in METHODS if m in settings.methods):
        sizes = [n for n, rows in found.items() if any(row["method"] == method for row in rows)]
        if not sizes:
            continue
        own = {n: [row for row in found[n] if row["method"] == method] for n in sizes}
        middle = [median(row["seconds"] for row in own[n]) for n in sizes]
        axes.plot(sizes, middle, color=COLOURS[method], label=LABELS[method], linewidth=1.8)
        for n in sizes:
            for row in own[n]:
                fill = COLOURS[method] if row["solved"] else "white"
                at = n * (1.0 + 0.025 * (METHODS.index(method) - 2))  # aside, so that no dot hides another
                axes.plot(at, row["seconds"], "o", color=COLOURS[method], markerfacecolor=fill, markersize=4.5)
    axes.set(xscale="log", yscale="log", xlabel="regions", ylabel="processor seconds")
    hollow = f"hollow: not solved within {settings.time_limit:g} s of the clock"
    axes.text(0.01, 0.97, hollow, transform=axes.transAxes, color="#666666", fontsize=8, va="top")
    ticks = list(found)
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_title("Time to an optimal three-level plan", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    figure.tight_layout()
    return figure


HEAD = ("n", "method", "CPU s, median", "most", "solved", "largest gap")


def rows_of(found: dict[int, list[dict[str, Any]]], settings: Settings) -> list[list[str]]:
    """Median seconds, solved instances and the largest gap left."""
    lines = []
    for n, rows in found.items():
        for method in settings.methods:
            own = [row for row in rows if row["method"] == method]
            if own:
                seconds = [row["seconds"] for row in own]
                solved = f"{sum(row['solved'] for row in own)} of {len(own)}"
                worst = f"{100 * max(row['gap'] for row in own):.2f} %"
                lines.append([str(n), LABELS[method], f"{median(seconds):.2f}", f"{max(seconds):.2f}", solved, worst])
    return lines


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    table = markdown(HEAD, rows_of(kept(settings, cells), settings))
    command = command_of("undergrounding.trilevel_speed", settings, Settings())
    notes = (
        f"Made by `{command}`: {settings.instances} instances of each number of regions n, "
        f"{settings.time_limit:g} s of the clock each; seconds are of the processor."
    )
    PAGE.write(docs, f"{notes}\n\n![Seconds against regions for each method]({PICTURES}/{FIGURE})\n\n{table}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    unknown = sorted(set(settings.methods) - set(METHODS))
    if unknown or settings.instances < 1 or min(settings.sizes, default=0) < 1 or not settings.time_limit > 0:
        print(
            f"trilevel_speed: --methods must be of {', '.join(METHODS)}; --sizes, --instances and --time-limit "
            f"above 0; got {settings}",
            file=sys.stderr,
        )
        return 2
    console = Console(emoji=False)
    cells = settings.kept(BENCHMARK)
    run(settings, cells, lambda line: console.print(line, style="dim"))
    found = kept(settings, cells)
    check(found)
    table = Table(*HEAD, title="three-level plans")
    for line in rows_of(found, settings):
        table.add_row(*line)
    console.print(table)
    if settings.docs is not None:
        cells.keep_page(settings.decisive())
        write_pages(cells, settings.docs)
        save_picture(draw(found, settings), settings.docs, FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
