"""Gen-DFL and its baselines: regret against the true law, by task, risk, method and generator.

    python -m benchmarks.decisions.generative --docs docs

Each seed draws its own data. All plans at a risk are solved exactly on the samples of a law; regret is that of the true
CVaR in percent of what the best plans cost in the mean, one denominator for all risks. Seeds that are kept are not
measured again, so a run that was stopped goes on; `--kinds` and `--families` share the work among processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.decisions.generative import tables
from benchmarks.decisions.generative.bench import FAMILIES
from benchmarks.decisions.generative.cells import DataCell, LawCell, PointCell, RiskCell, SweepCell, TunedCell
from benchmarks.decisions.generative.pictures import draw_sweeps
from benchmarks.kit.cells import Cells
from benchmarks.kit.measure import kept_parts, measure_parts
from benchmarks.kit.pages import PICTURES, Page, save_picture, write_summary
from benchmarks.kit.settings import Keeping, command_of
from stormgym.agents.terminal import make_console

BENCHMARK = "decisions/generative"
PAGE = Page("decisions-generative", "Gen-DFL and every baseline of its tables", "decisions")
SWEEPS_PICTURE = "decisions_generative_sweeps.png"
KINDS = ("points", "laws", "tuned", "tuned at 0.5", "sweep", "risks")
GAUSSIAN_KINDS = ("likelihood alone", "SPO+ of the mean")
HALF_KINDS = ("likelihood alone", "contrastive, q = a flow", "SPO+ of the mean", "SPO+ of the tail")
"""What is tuned at risk 0.5, between two risks at which all is."""


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Tables of Gen-DFL."""

    families: tuple[str, ...] = tuple(FAMILIES)
    """Which tasks."""
    seeds: int = 10
    """Data sets of each."""
    sweep_seeds: int = 5
    """Data sets of each setting that is varied, and at risk 0.5."""
    kinds: tuple[str, ...] = KINDS
    """Which tables."""
    small: bool = False
    """A small form for trials. Its numbers mean nothing."""


def _tuned(**data: Any) -> list[DataCell]:
    return [
        *(TunedCell(generator="flow", risk=risk, **data) for risk in (1.0, 0.1)),
        *(TunedCell(generator="gaussian", risk=risk, kinds=GAUSSIAN_KINDS, **data) for risk in (1.0, 0.1)),
    ]


def _half(**data: Any) -> list[DataCell]:
    return [TunedCell(generator="flow", risk=0.5, kinds=HALF_KINDS, **data)]


def _sweep(**data: Any) -> list[DataCell]:
    varied = [((name, value),) for name, values in FAMILIES[data["family"]].sweeps.items() for value in values]
    return [SweepCell(arguments=arguments, **data) for arguments in ([(), *varied] if varied else [])]


MAKERS: Mapping[str, Callable[..., list[DataCell]]] = {
    "points": lambda **data: [PointCell(**data)],
    "laws": lambda **data: [LawCell(**data)],
    "tuned": _tuned,
    "tuned at 0.5": _half,
    "sweep": _sweep,
    "risks": lambda **data: [RiskCell(**data)],
}
"""The cells of a data set, by table."""


def parts_of(settings: Settings) -> dict[str, list[DataCell]]:
    """Cells of every task, by table."""
    found = {}
    for kind in settings.kinds:
        for family in settings.families:
            record = FAMILIES[family]
            few = settings.sweep_seeds if kind in ("tuned at 0.5", "sweep", "risks") else settings.seeds
            seeds = min(few, record.most_tuned if kind.startswith("tuned") else record.most_seeds)
            cells = [MAKERS[kind](family=family, seed=seed, small=settings.small) for seed in range(seeds)]
            found[f"{kind}: {family}"] = [cell for each in cells for cell in each]
    return {name: cells for name, cells in found.items() if cells}


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    for name, given, known in (("family", settings.families, FAMILIES), ("kind", settings.kinds, KINDS)):
        unknown = [value for value in given if value not in known]
        if unknown:
            raise SystemExit(f"unknown {name} {unknown[0]!r}; there are {', '.join(known)}")
    cells = settings.kept(BENCHMARK)
    found = measure_parts(cells, parts_of(settings), lambda cell: cell.measure(), lambda kept: kept)
    console = make_console()
    for name, text in tables.texts_of(found).items():
        console.print(f"\n{name}\n{text}", markup=False)
    if settings.docs is not None:
        cells.keep_page(settings.decisive())
        write_pages(cells, settings.docs)
    return 0


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page of all tables that are kept whole, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    found = kept_parts(cells, parts_of(settings), lambda kept: kept)
    body = [f"Made by `{command_of('decisions.generative', settings, Settings())}`.", tables.NOTE]
    body += [f"## {name}\n\n{text}" for name, text in tables.texts_of(found).items()]
    if any(name.startswith(("sweep", "risks")) for name in found):
        save_picture(draw_sweeps(found), docs, SWEEPS_PICTURE)
        body.insert(2, f"![Regret as risk, degree, noise and dimension change]({PICTURES}/{SWEEPS_PICTURE})")
    PAGE.write(docs, "\n\n".join(body))
    write_summary(docs, "generative", tables.summary_table(found))
