"""Settings of benchmarks: what decides a table, the command that makes it, and where results go."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.kit.cells import LOCAL, RESULTS
from benchmarks.kit.settings import SMALL, Keeping, command_line, command_of


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Some benchmark's."""

    cities: tuple[str, ...] = ("default",)
    seeds: int | None = None
    eval_seed: int = 7
    limits: tuple[float, ...] = ()
    frontier: bool = False
    shuffle: bool = True
    jobs: int = 1
    small: bool = False

    HOW: ClassVar[tuple[str, ...]] = ("jobs",)


def test_decisive__leaves_out_how_and_where_and_comes_back_through_json() -> None:
    settings = Settings(cities=("a", "b"), jobs=4, docs=Path("docs"), results=Path("elsewhere"), limits=(4.0,))
    decisive = settings.decisive()
    assert set(decisive) == {"cities", "seeds", "eval_seed", "limits", "frontier", "shuffle", "small"}
    assert Settings.told(json.loads(json.dumps(decisive))) == Settings(cities=("a", "b"), limits=(4.0,))


def test_command__names_what_differs_from_the_defaults_as_the_command_line_takes_it() -> None:
    def shown(option: str, value: Any) -> str:
        return f"{value:g}" if option == "limits" else Path(str(value)).name

    chosen = Settings(cities=("default", "/some where/our city"), eval_seed=8, frontier=True, shuffle=False, jobs=3)
    assert command_of("x.table", Settings(), Settings()) == "python -m benchmarks.x.table"
    assert command_of("x.table", replace(chosen, limits=(4.0, 0.35)), Settings(), shown) == (
        "python -m benchmarks.x.table --cities default 'our city' --eval-seed 8 --limits 4 0.35 --frontier --no-shuffle"
    )
    assert command_of("x.table", Settings(), Settings(), always=("cities",)) == (
        "python -m benchmarks.x.table --cities default"
    )
    assert command_line("x.table", {"test_share": 0.2}) == "python -m benchmarks.x.table --test-share 0.2"


def test_small__keeps_its_results_apart_unless_told_where() -> None:
    cells = Settings().kept("x/table")
    assert (cells.benchmark, cells.results, cells.local) == ("x/table", RESULTS, LOCAL)
    cells = Settings(small=True).kept("x/table")
    assert (cells.results, cells.local) == (SMALL / "results", SMALL / "cells")
    cells = Settings(small=True, results=Path("there")).kept("x/table")
    assert (cells.results, cells.local) == (Path("there"), SMALL / "cells")
    assert SMALL.parts[0] == LOCAL.parts[0] == "runs"  # which git does not track
