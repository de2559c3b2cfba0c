"""Gen-DFL and its baselines: regret against the true law, by task, risk, method and generator.

    python -m benchmarks.decisions.generative --data FOLDER --docs docs

FOLDER has the prices that the paper uses (`prices2013.dat` of https://github.com/JayMan91/aaai_predit_then_optimize);
their table is left out where it is not named and its cells are not kept.
Each seed draws its own data. All plans at a risk are solved exactly on the samples of a law; regret is that of the true
CVaR in percent of what the best plans cost in the mean, one denominator for all risks. Seeds that are kept are not
measured again, so a run that was stopped goes on; `--kinds` and `--families` share the work among processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import tyro

from benchmarks.decisions.generative import tables
from benchmarks.decisions.generative.bench import FAMILIES
from benchmarks.decisions.generative.cells import (
    LARGER_STEPS,
    ChosenCell,
    DataCell,
    LawCell,
    PointCell,
    RiskCell,
    SweepCell,
    TunedCell,
    tunings,
)
from benchmarks.decisions.generative.others import BedsCell, RecordedCell, prices_of
from benchmarks.decisions.generative.pictures import draw_sweeps
from benchmarks.kit.cells import Cell, Cells, digest
from benchmarks.kit.measure import kept_parts, measure_parts
from benchmarks.kit.pages import PICTURES, Page, save_picture, write_summary
from benchmarks.kit.settings import Keeping, command_of
from stormgym.agents.terminal import make_console

BENCHMARK = "decisions/generative"
PAGE = Page("decisions-generative", "Gen-DFL and every baseline of its tables", "decisions")
SWEEPS_PICTURE = "decisions_generative_sweeps.png"
KINDS = ("points", "laws", "tuned", "tuned at 0.1", "sweep", "risks", "beds", "recorded")
MORE_KINDS = ("tuned at 0.5", "chosen")
"""Tables that are made when they are asked for: a risk between, and epochs chosen by validation."""
FEW = ("tuned at 0.1", "tuned at 0.5", "chosen", "sweep", "risks")
"""Tables of fewer data sets."""
GAUSSIAN_KINDS = ("likelihood alone", "SPO+ of the mean")
FULL_KINDS = (*tunings(1.0), LARGER_STEPS)
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
    """Data sets of the tables in `FEW`."""
    kinds: tuple[str, ...] = KINDS
    """Which tables; of `MORE_KINDS` too."""
    data: Path | None = None
    """Folder of recorded prices."""
    prices: str = ""
    """Digest of that folder's prices, by which their cells are known; left out it is read from `data`."""
    small: bool = False
    """A small form for trials. Its numbers mean nothing."""

    HOW: ClassVar[tuple[str, ...]] = ("data",)


def _tuned(**data: Any) -> list[DataCell]:
    return [
        TunedCell(generator="flow", risk=1.0, kinds=FULL_KINDS, **data),
        TunedCell(generator="gaussian", risk=1.0, kinds=GAUSSIAN_KINDS, **data),
    ]


def _tail(**data: Any) -> list[DataCell]:
    return [TunedCell(generator="flow", risk=0.1, **data)]


def _half(**data: Any) -> list[DataCell]:
    return [TunedCell(generator="flow", risk=0.5, kinds=HALF_KINDS, **data)]


def _chosen(**data: Any) -> list[DataCell]:
    return [ChosenCell(generator="flow", risk=1.0, **data)]


def _sweep(**data: Any) -> list[DataCell]:
    varied = [((name, value),) for name, values in FAMILIES[data["family"]].sweeps.items() for value in values]
    return [SweepCell(arguments=arguments, **data) for arguments in ([(), *varied] if varied else [])]


MAKERS: Mapping[str, Callable[..., list[DataCell]]] = {
    "points": lambda **data: [PointCell(**data)],
    "laws": lambda **data: [LawCell(**data)],
    "tuned": _tuned,
    "tuned at 0.1": _tail,
    "tuned at 0.5": _half,
    "chosen": _chosen,
    "sweep": _sweep,
    "risks": lambda **data: [RiskCell(**data)],
}
"""The cells of a data set, by table."""


def digest_of(settings: Settings) -> str:
    """What the prices are known by; empty where there are none."""
    if settings.prices or settings.data is None:
        return settings.prices
    return digest(repr(prices_of(str(settings.data)).key))


def parts_of(settings: Settings) -> dict[str, list[Cell]]:
    """Cells of every task, by table."""
    found: dict[str, list[Cell]] = {}
    few = range(settings.sweep_seeds)
    for kind in settings.kinds:
        if kind == "beds":
            found["beds: beds"] = [BedsCell(seed=seed, small=settings.small) for seed in few]
        if kind == "recorded" and (prices := digest_of(settings)):
            own = [RecordedCell(seed=seed, data=prices, small=settings.small) for seed in few]
            found["recorded: recorded"] = [*own]
        if kind not in MAKERS:
            continue
        for family in settings.families:
            record = FAMILIES[family]
            wanted = settings.sweep_seeds if kind in FEW else settings.seeds
            most = record.most_tuned if kind.startswith(("tuned", "chosen")) else record.most_seeds
            most = {"tuned at 0.1": record.most_tail, "risks": record.most_risks}.get(kind, most)
            seeds = min(wanted, most)
            cells = [MAKERS[kind](family=family, seed=seed, small=settings.small) for seed in range(seeds)]
            found[f"{kind}: {family}"] = [cell for each in cells for cell in each]
    return {name: cells for name, cells in found.items() if cells}


def measure(cell: Any, folder: str | None) -> dict[str, Any]:
    """What a cell gives."""
    if isinstance(cell, RecordedCell):
        assert folder is not None, "cells of prices are there only where a folder is named, or measured already"
        return cell.measure_on(prices_of(folder))
    found: dict[str, Any] = cell.measure()
    return found


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    for name, given, known in (
        ("family", settings.families, FAMILIES),
        ("kind", settings.kinds, (*KINDS, *MORE_KINDS)),
    ):
        unknown = [value for value in given if value not in known]
        if unknown:
            raise SystemExit(f"unknown {name} {unknown[0]!r}; there are {', '.join(known)}")
    cells = settings.kept(BENCHMARK)
    folder = None if settings.data is None else str(settings.data)
    found = measure_parts(cells, parts_of(settings), partial(measure, folder=folder), lambda kept: kept)
    console = make_console()
    for name, text in tables.texts_of(found).items():
        console.print(f"\n{name}\n{text}", markup=False)
    if settings.docs is not None:
        cells.keep_page({**settings.decisive(), "prices": digest_of(settings)})
        write_pages(cells, settings.docs)
    return 0


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page of all tables that are kept whole, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    found = kept_parts(cells, parts_of(settings), lambda kept: kept)
    command = command_of("decisions.generative", settings, Settings(prices=settings.prices))
    body = [f"Made by `{command}{' --data FOLDER' if settings.prices else ''}`.", tables.NOTE]
    body += [f"## {name}\n\n{text}" for name, text in tables.texts_of(found).items()]
    if any(name.startswith(("sweep", "risks")) for name in found):
        save_picture(draw_sweeps(found), docs, SWEEPS_PICTURE)
        body.insert(2, f"![Regret as risk, degree, noise and dimension change]({PICTURES}/{SWEEPS_PICTURE})")
    PAGE.write(docs, "\n\n".join(body))
    write_summary(docs, "generative", tables.summary_table(found))
