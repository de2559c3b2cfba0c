"""Write every generated page of the docs again, from the collected results alone; nothing is measured.

    python -m benchmarks.pages

Each benchmark keeps what its pages are made of (see `benchmarks.kit.cells`). A test holds the committed pages to this.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import tyro

from benchmarks import offline
from benchmarks.crews import ert, knowing
from benchmarks.crews import table as crews_table
from benchmarks.decisions.generative import command as decision_generative
from benchmarks.decisions.methods import command as decision_methods
from benchmarks.dispatch import storms
from benchmarks.dispatch.forecasts import command as dispatch_forecasts
from benchmarks.dispatch.risk import command as dispatch_risk
from benchmarks.kit.cells import RESULTS, Cells
from benchmarks.restoration import coverage_price, lookahead, reach, tail_limits, transfer
from benchmarks.restoration.table import command as table
from benchmarks.undergrounding import learners, risk, trilevel_speed
from benchmarks.undergrounding.forecasts import command as undergrounding_forecasts
from benchmarks.undergrounding.plans import command as plans

BENCHMARKS: tuple[ModuleType, ...] = (
    table,
    transfer,
    lookahead,
    tail_limits,
    reach,
    coverage_price,
    dispatch_forecasts,
    dispatch_risk,
    storms,
    plans,
    undergrounding_forecasts,
    learners,
    risk,
    trilevel_speed,
    decision_methods,
    decision_generative,
    offline,
    crews_table,
    ert,
    knowing,
)
"""Benchmarks with pages. Each has `BENCHMARK`, the name of its cells, and `write_pages(cells, docs)`."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write every generated page again."""

    docs: Path = Path("docs")
    """Folder of the docs."""
    results: Path = RESULTS
    """Folder of the collected results."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    for benchmark in BENCHMARKS:
        benchmark.write_pages(Cells(benchmark.BENCHMARK, settings.results, local=None), settings.docs)
        print(benchmark.BENCHMARK)
    return 0


if __name__ == "__main__":
    sys.exit(main())
