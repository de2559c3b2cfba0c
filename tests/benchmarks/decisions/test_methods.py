"""The benchmark of methods: what it measures once, keeps, joins, prints and writes again."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.decisions.methods import command as door
from benchmarks.decisions.methods.cells import (
    EXACT,
    LOADS,
    PROBLEMS,
    REFERENCE,
    SAMPLED,
    DrawnCell,
    MethodCell,
    cells_of,
    joined,
    measure,
)
from benchmarks.decisions.methods.tables import problem_table, summary_table
from benchmarks.kit.cells import Cells
from stormgym.envs.decisions.load_data import synthetic_load

BASE = {"usual", "two-stage", REFERENCE, "policy-net"}
METHODS = {
    "town": {*BASE, *EXACT, "true-distribution"},
    "security": {*BASE, *SAMPLED},
    "pjm-published": {*BASE, *EXACT, *LOADS},
}
"""Rows of each table."""


@pytest.fixture
def docs(docs: Path) -> Path:
    """The docs, with the block of decisions on their front page."""
    front = docs / "results" / "README.md"
    if "decisions:begin" not in front.read_text():
        front.write_text(front.read_text() + "\n<!-- decisions:begin -->\n<!-- decisions:end -->\n")
    return docs


@pytest.fixture
def loads(tmp_path: Path) -> Path:
    """A folder of a user's loads: sixty made-up days."""
    folder = tmp_path / "loads"
    folder.mkdir()
    days = synthetic_load(62)
    time = pd.date_range("2012-01-01", periods=24 * 60, freq="h", tz="Etc/GMT+5").astype("int64") // 10**9
    table = pd.DataFrame({"time": time, "load": days.load.ravel(), "temperature": days.temperature.ravel()})
    table.to_csv(folder / "loads.csv", index=False)
    return folder


def rows_of(text: str) -> list[str]:
    """First columns of a table's rows, under its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [line.split("|")[1].strip() for line in lines[2:]]


def named(method: str) -> str:
    return {"usual": "one decision always", "true-distribution": "floor: true law"}.get(method, method)


@pytest.mark.slow
def test_tables__are_made_of_kept_seeds_that_are_measured_once(
    tmp_path: Path, docs: Path, loads: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--small", "--seeds", "1", "--problems", "town", "security", "pjm-published", "--data", str(loads)]
    options += ["--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells")]
    assert door.main([*options, "--docs", str(docs)]) == 0
    files = [*(tmp_path / "cells").rglob("*-0-*.json")]
    kept = {file: file.stat().st_mtime_ns for file in files}
    assert len(kept) == 4  # energies on the expected cost have cells of their own
    found: dict[str, set[str]] = {}
    for file in kept:
        content = json.loads(file.read_text())
        result = content["result"]
        assert all(numbers["cost"] >= result["optimum"] - 1e-9 for numbers in result["methods"].values())
        found.setdefault(content["cell"]["problem"], set()).update(result["methods"])
    assert found == METHODS
    before = capsys.readouterr().out
    page = docs / "results" / "tables" / "decisions-methods.md"
    text = page.read_text()
    for name, table in zip(METHODS, re.split(r"^## ", text, flags=re.MULTILINE)[1:], strict=True):
        assert table.lower().startswith(PROBLEMS[name].name.lower())
        assert sorted(rows_of(table)) == sorted(map(named, METHODS[name]))
        assert "1 seed, " in table
    front = (docs / "results" / "README.md").read_text()
    assert rows_of(front.partition("decisions:begin")[2]) == [PROBLEMS[name].name for name in METHODS]
    assert "Mean cost of a decision; 1 seed, ± 95 % over seeds." in front

    assert door.main(options) == 0  # measures nothing
    assert {file: file.stat().st_mtime_ns for file in files} == kept
    assert capsys.readouterr().out == before

    page.unlink()  # and the page comes back without the loads
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text
    (loads / "loads.csv").unlink()
    digest = json.loads((tmp_path / "cells" / "decisions" / "methods" / "page.json").read_text())["result"]["loads"]
    without = [word for word in options if word not in ("--data", str(loads))]
    assert door.main([*without, "--loads", digest]) == 0
    assert capsys.readouterr().out == before
    assert "--data FOLDER" in text


def test_command__leaves_out_problems_whose_loads_are_not_known(
    tmp_path: Path, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells"), "--docs", str(docs)]
    assert door.main(["--small", "--problems", "pjm", "pjm-time", "--seeds", "2", *where]) == 0
    assert not capsys.readouterr().out.strip()
    assert not [*(tmp_path / "cells").rglob("*-0-*.json")]
    page = (docs / "results" / "tables" / "decisions-methods.md").read_text()
    assert "--data FOLDER" not in page
    with pytest.raises(SystemExit, match="unknown problem 'rain'; there are pjm-published, "):
        door.main(["--problems", "rain"])


@pytest.mark.slow
def test_measured__gives_the_same_but_for_times(tmp_path: Path) -> None:
    cell = MethodCell(problem="town", seed=1, small=True)
    both = [Cells("methods", tmp_path, tmp_path / name).result(cell, partial(measure, folder=None)) for name in "ab"]
    for result in both:
        for numbers in result["methods"].values():
            numbers.pop("seconds", None)
    assert both[0] == both[1]
    methods = both[0]["methods"]
    assert methods[REFERENCE]["difference"] == 0.0
    assert [name for name, numbers in methods.items() if "factor" in numbers] == [REFERENCE]
    assert methods["usual"]["difference"] == pytest.approx(methods["usual"]["cost"] - methods[REFERENCE]["cost"])


def test_cells__are_told_apart_by_problem_seed_data_size_and_kind() -> None:
    cells = [cell for name in PROBLEMS for small in (False, True) for cell in cells_of(name, 2, "digest", small)]
    keys = {cell.key for cell in cells}
    assert len(keys) == len(cells)
    assert {cell.data for cell in cells if cell.problem == "town"} == {""}
    assert {cell.data for cell in cells if cell.problem == "pjm"} == {"digest"}
    drawn = {cell.problem for cell in cells if isinstance(cell, DrawnCell)}
    assert drawn == {name for name, family in PROBLEMS.items() if family.drawn}


def result(cost: float, **methods: dict[str, Any]) -> dict[str, Any]:
    """A result whose methods cost so much more than the calibrated one."""
    base = {name: {"cost": cost, "difference": 0.0, "error": 0.1} for name in BASE}
    changed = {name: {**base.get(name, base["usual"]), **numbers} for name, numbers in methods.items()}
    changed.setdefault("dfl", base["usual"])
    changed.setdefault("so-ebm", base["usual"])
    return {"optimum": 1.0, "n_test": 1_000, "methods": {**base, **changed}}


def test_tables__say_what_the_results_hold() -> None:
    seeds = [
        result(
            cost,
            dfl={"cost": cost - 0.5, "difference": -0.5, "best_epoch": epoch, "seconds": 2.4},
            **{REFERENCE: {"factor": factor}},
        )
        for cost, epoch, factor in ((4.0, 3, 0.7), (6.0, 0, 0.8))
    ]
    table = problem_table(PROBLEMS["town"], seeds)
    assert rows_of(table)[0] == "dfl"  # the cheapest first
    wide = 12.706  # half-width in standard errors, of two seeds
    assert f"| dfl | 4.500 ± {wide:.3f} | 3.500 ± {wide:.3f} | -0.500 ± 0.000 | ± 0.196 | 1 of 2 |  | 2 |" in table
    assert f"| {REFERENCE} | 5.000 ± {wide:.3f} | 4.000 ± {wide:.3f} |  |  | x 0.7, 0.8 |  |  |" in table
    assert "2 seeds, 1,000 test cases each, ± 95 % over seeds; in hindsight 1.000." in table
    cells = {MethodCell(problem="town", seed=i): one for i, one in enumerate(seeds)}
    summary = summary_table({"town": cells})
    assert f"| synthetic loads | 5.000 ± {wide:.3f} | 5.000 ± {wide:.3f} | -0.500 ± 0.000 | +0.000 ± 0.000 |" in summary
    assert "Mean cost of a decision; 2 seeds" in summary


def test_joined__is_one_result_a_seed_with_the_methods_of_both_kinds() -> None:
    drawn = {"optimum": 1.0, "n_test": 1_000, "methods": {"energy": {"cost": 2.0, "difference": -1.0, "error": 0.1}}}
    cells = {
        MethodCell(problem="beds", seed=0): result(3.0),
        DrawnCell(problem="beds", seed=0): drawn,
        MethodCell(problem="beds", seed=1): result(4.0),
    }
    first, second = joined(cells)
    assert set(first["methods"]) == {*BASE, "dfl", "so-ebm", "energy"}
    assert set(second["methods"]) == {*BASE, "dfl", "so-ebm"}
    assert "energy" not in cells[MethodCell(problem="beds", seed=0)]["methods"]  # what is kept is not written to


def test_small__town_has_a_floor_below_every_method() -> None:
    family = PROBLEMS["town"]
    assert family.make(0, None, True).problem.knows_truth
    assert len(family.make(0, None, True).problem.cases("test")) == 40
    assert np.isfinite(family.make(1, None, True).problem.best_costs("test")).all()
