"""Learn where to bury: two-stage, GDF, SPO+ and SO-EBM forecasts for the knapsack of GDF's Table II.

    python -m benchmarks.undergrounding.forecasts --docs docs

Every seed draws its own seasons to fit on (200), to choose by (100) and to be scored on (500); regret is the mean SAIDI
above that of the plans for the true hours. Intervals are Student's t over seeds, of paired differences within a seed.
Seeds that are kept are not measured again, so a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import tyro

from benchmarks.kit.cells import Cells
from benchmarks.kit.measure import kept_parts, measure_parts
from benchmarks.kit.pages import Page, save_picture
from benchmarks.kit.regret import Result, joined
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.undergrounding.forecasts.cells import (
    ForecastCell,
    measure,
    order,
    ranking_cells,
    seasons_of,
    setting_cells,
    weight_cells,
)
from benchmarks.undergrounding.forecasts.figures import draw
from benchmarks.undergrounding.forecasts.tables import setting_table, table_of, weight_table
from stormgym.agents.terminal import make_console

BENCHMARK = "undergrounding/forecasts"
PAGE = Page("undergrounding-forecasts", "Forecasts for plans of lines underground", "undergrounding")
Part = Literal["settings", "rankings", "weights"]
PARTS: tuple[Part, ...] = ("settings", "rankings", "weights")
HEADS = {
    "table": "GDF's Table II",
    "settings": "Covariates, noise and costs",
    "weights": "The weight of the fit",
}


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Forecasts for burying lines, beside the optimum and the floor."""

    parts: tuple[Part, ...] = PARTS
    """What is measured: covariates, noise and costs (settings), energy-based models in the same (rankings), and weights
    of the fit beside the decision."""
    profiles: tuple[str, ...] = ("ten", "synthetic:10:2")
    """Regions, storms and costs; fine-tuning was tried out on synthetic:10:1. Weights take the first."""
    seeds: int = 5
    """Of each setting and each weight."""
    small: bool = False
    """A small form for trials: few seasons, steps and epochs. Its numbers mean nothing."""

    HOW: ClassVar[tuple[str, ...]] = ("parts",)


SMALL = {"n_fit": 12, "n_validation": 6, "n_test": 8, "n_steps": 3, "n_epochs": 1}


def cells_of(settings: Settings) -> dict[str, list[ForecastCell]]:
    """Cells of every part."""
    others = SMALL if settings.small else {}
    return {
        "settings": setting_cells(settings.profiles, settings.seeds, **others),
        "rankings": ranking_cells(settings.profiles, settings.seeds, **others),
        "weights": weight_cells(settings.profiles[0], settings.seeds, **others),
    }


def texts_of(settings: Settings, found: Mapping[str, dict[ForecastCell, Result]]) -> dict[str, str]:
    """Tables in words; that of GDF's Table II is of the first profile's settings at equal costs and usual noise."""
    texts = {}
    if "settings" in found:
        results = joined(found["settings"], found.get("rankings", {}), seasons_of)
        texts = {"table": table_of(results, settings.profiles[0]), "settings": setting_table(results)}
    if "weights" in found:
        texts["weights"] = weight_table(found["weights"])
    return texts


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    cells = settings.kept(BENCHMARK)
    wanted = {part: members for part, members in cells_of(settings).items() if part in settings.parts}
    found = measure_parts(cells, wanted, measure, Result.read, order)
    console = make_console()
    for name, text in texts_of(settings, found).items():
        console.print(f"\n{name}\n{text}", markup=False)
    if settings.docs is not None:
        cells.keep_page(settings.decisive())
        write_pages(cells, settings.docs)
        if "settings" in found:
            save_picture(draw(found["settings"]), settings.docs, "undergrounding_learning.png")
    return 0


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page of all parts that are kept, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    found = kept_parts(cells, cells_of(settings), Result.read, order)
    tables = [f"## {HEADS[name]}\n\n{text}" for name, text in texts_of(settings, found).items()]
    command = command_of("undergrounding.forecasts", settings, Settings())
    PAGE.write(docs, "\n\n".join([f"Made by `{command}`.", *tables]))
