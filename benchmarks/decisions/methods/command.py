"""Learn a decision: two-stage, calibrated, through the optimality conditions, energy-based, a network.

    python -m benchmarks.decisions.methods --data FOLDER --docs docs

FOLDER has the PJM loads that SO-EBM uses (https://github.com/locuslab/e2e-model-learning, power_sched); problems on
them are left out where it is not named and their cells are not kept. Intervals are Student's t over seeds, of paired
differences within a seed. Seeds that are kept are not measured again, so a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import tyro

from benchmarks.decisions.methods.cells import PROBLEMS, MethodCell, cells_of, days_of, joined, measure
from benchmarks.decisions.methods.tables import problem_table, summary_table
from benchmarks.kit.cells import Cells
from benchmarks.kit.measure import kept_parts, measure_parts
from benchmarks.kit.pages import Page, write_summary
from benchmarks.kit.settings import Keeping, command_of
from stormgym.agents.terminal import make_console

BENCHMARK = "decisions/methods"
PAGE = Page("decisions-methods", "Methods of learning a decision", "decisions")


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Methods on decision problems."""

    problems: tuple[str, ...] = tuple(PROBLEMS)
    """Which problems."""
    seeds: int = 10
    """Of each."""
    data: Path | None = None
    """Folder of PJM loads."""
    loads: str = ""
    """Digest of that folder's files, by which its cells are known; left out it is read from `data`."""
    small: bool = False
    """A small form for trials. Its numbers mean nothing."""

    HOW: ClassVar[tuple[str, ...]] = ("data",)


def digest_of(settings: Settings) -> str:
    """What the loads are known by."""
    if settings.loads or settings.data is None:
        return settings.loads
    key = days_of(str(settings.data)).key
    assert isinstance(key, tuple)
    return str(key[1])


def parts_of(settings: Settings) -> dict[str, list[MethodCell]]:
    """Cells of every problem; those on loads only where the loads are known."""
    loads = digest_of(settings)
    known = tuple(name for name in settings.problems if loads or not PROBLEMS[name].needs_load)
    return {name: cells_of(name, settings.seeds, loads, settings.small) for name in known}


def read(kept: dict[str, Any]) -> dict[str, Any]:
    """A result as it is kept."""
    return kept


def texts_of(found: Mapping[str, dict[MethodCell, Any]]) -> dict[str, str]:
    """A table a problem."""
    return {name: problem_table(PROBLEMS[name], joined(results)) for name, results in found.items()}


def _heading(name: str) -> str:
    """A name as a heading: its first letter large, the others as they are."""
    return name[:1].upper() + name[1:]


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    unknown = [name for name in settings.problems if name not in PROBLEMS]
    if unknown:
        raise SystemExit(f"unknown problem {unknown[0]!r}; there are {', '.join(PROBLEMS)}")
    cells = settings.kept(BENCHMARK)
    folder = None if settings.data is None else str(settings.data)
    found = measure_parts(cells, parts_of(settings), partial(measure, folder=folder), read)
    console = make_console()
    for name, text in texts_of(found).items():
        console.print(f"\n{PROBLEMS[name].name}\n{text}", markup=False)
    if settings.docs is not None:
        made_of = {**settings.decisive(), "loads": digest_of(settings)}
        cells.keep_page(made_of)
        write_pages(cells, settings.docs)
    return 0


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page of all problems that are kept, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    found = kept_parts(cells, parts_of(settings), read)
    tables = [f"## {_heading(PROBLEMS[name].name)}\n\n{text}" for name, text in texts_of(found).items()]
    command = command_of("decisions.methods", settings, Settings(loads=settings.loads))
    command += " --data FOLDER" if settings.loads else ""
    PAGE.write(docs, "\n\n".join([f"Made by `{command}`.", *tables]))
    write_summary(docs, "decisions", summary_table(found))
