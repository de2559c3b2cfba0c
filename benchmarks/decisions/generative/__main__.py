"""Gen-DFL and its baselines: regret against the true law at three risks, by task, method and generator.

    python -m benchmarks.decisions.generative --docs docs

Each seed draws its own data. All plans at a risk are solved exactly on the samples of a law; regret is that of the true
CVaR in percent of what the best plans cost in the mean, one denominator for all risks. Seeds that are kept are not
measured again, so a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tyro

from benchmarks.decisions.generative.bench import FAMILIES
from benchmarks.decisions.generative.cells import DataCell, LawCell, PointCell, TunedCell
from benchmarks.kit.measure import measure_parts
from benchmarks.kit.settings import Keeping

BENCHMARK = "decisions/generative"


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Tables of Gen-DFL."""

    families: tuple[str, ...] = tuple(FAMILIES)
    """Which tasks."""
    seeds: int = 10
    """Data sets of each."""
    kinds: tuple[str, ...] = ("points", "laws", "tuned", "tuned at 0.5")
    """Which tables."""
    first: int = 0
    """The first seed, to share the work among processes."""
    small: bool = False
    """A small form for trials. Its numbers mean nothing."""


GAUSSIAN_KINDS = ("likelihood alone", "SPO+ of the mean", "SPO+ of the tail")
HALF_KINDS = ("likelihood alone", "contrastive, q = a flow", "SPO+ of the mean", "SPO+ of the tail")
"""What is tuned at risk 0.5, between two risks at which all is."""


def cells_of(kind: str, family: str, seeds: range, small: bool) -> list[DataCell]:
    """The cells of a table."""
    makers: Mapping[str, Callable[..., list[DataCell]]] = {
        "points": lambda **data: [PointCell(**data)],
        "laws": lambda **data: [LawCell(**data)],
        "tuned": _tuned,
        "tuned at 0.5": _half,
    }
    found = [makers[kind](family=family, seed=seed, small=small) for seed in seeds]
    return [cell for cells in found for cell in cells]


def _tuned(**data: Any) -> list[DataCell]:
    if data["family"] == "energy":  # its days are what they are
        data["arguments"] = ()
    return [
        *(TunedCell(generator="flow", risk=risk, **data) for risk in (1.0, 0.1)),
        *(TunedCell(generator="gaussian", risk=risk, kinds=GAUSSIAN_KINDS, **data) for risk in (1.0, 0.1)),
    ]


def _half(**data: Any) -> list[DataCell]:
    return [TunedCell(generator="flow", risk=0.5, kinds=HALF_KINDS, **data)]


def parts_of(settings: Settings) -> dict[str, list[DataCell]]:
    """Cells of every task, by table."""
    seeds = range(settings.first, settings.first + settings.seeds)
    return {
        f"{family}, {kind}": cells_of(kind, family, seeds, settings.small)
        for kind in settings.kinds
        for family in settings.families
    }


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    cells = settings.kept(BENCHMARK)
    measure_parts(cells, parts_of(settings), lambda cell: cell.measure(), lambda kept: kept)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
