"""The benchmark of learning where to bury: what it measures, keeps, prints and draws."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.kit.cells import Cells
from benchmarks.kit.regret import Result, joined
from benchmarks.undergrounding.forecasts import command as door
from benchmarks.undergrounding.forecasts.cells import (
    ALL,
    FIT_WEIGHTS,
    RANKED,
    ForecastCell,
    measure,
    ranking_cells,
    seasons_of,
    setting_cells,
    weight_cells,
)
from benchmarks.undergrounding.forecasts.tables import setting_table, share_of, table_of

SMALL = door.SMALL


def test_tables__are_made_of_kept_seeds_and_measured_once(
    tmp_path: Path, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = docs / "results" / "tables" / "undergrounding-forecasts.md"
    options = ["--small", "--seeds", "1", "--profiles", "synthetic:5:0"]
    options += ["--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells")]
    assert door.main([*options, "--docs", str(docs)]) == 0
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "cells").rglob("synthetic-*.json")}
    assert len(kept) == 12 + 12 + len(FIT_WEIGHTS)
    for file in kept:
        content = json.loads(file.read_text())
        result = content["result"]
        assert set(result["cost"]) == set(result["error"]) == set(content["cell"]["agents"])
        assert all(cost >= result["optimum"] - 1e-12 for cost in result["cost"].values())
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert len(lines) == (2 + 3 * (1 + len(ALL) + len(RANKED))) + (2 + 12) + (2 + len(FIT_WEIGHTS))
    assert (docs / "img" / "undergrounding_learning.png").stat().st_size > 10_000
    before = capsys.readouterr().out
    assert door.main(options) == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cells").rglob("synthetic-*.json")} == kept
    assert capsys.readouterr().out == before
    text = page.read_text()
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text


def test_measured__gives_the_same_to_the_bit_and_names_an_unknown_agent(tmp_path: Path) -> None:
    cell = ForecastCell(seed=1, little_noise=True, withheld="temperature_c", **SMALL)  # type: ignore[arg-type]
    first, second = (Cells("forecasts", tmp_path, tmp_path / name).result(cell, measure) for name in ("a", "b"))
    assert first == second == measure(cell)
    with pytest.raises(ValueError, match="no agent 'best'"):
        measure(ForecastCell(seed=1, agents=("best",), **SMALL))  # type: ignore[arg-type]


def test_floor__knows_more_than_what_past_seasons_tell() -> None:
    cell = ForecastCell(seed=0, agents=("static", "floor"), **{**SMALL, "n_test": 60})  # type: ignore[arg-type]
    result = Result.read(measure(cell))
    assert result.error["floor"] < 0.6 * result.error["static"]
    assert result.regret("floor") < 0.6 * result.regret("static")


def test_tables__say_what_the_results_hold() -> None:
    cost = {"static": 4.0, "two-stage": 3.0, "gdf": 2.5, "spo+": 2.75, "floor": 2.25}
    group = [Result(2.0, {k: v + shift for k, v in cost.items()}, {}, dict.fromkeys(cost, 1.5)) for shift in (0.0, 0.0)]
    results = dict(zip((ForecastCell(seed=0), ForecastCell(seed=1)), group, strict=True))
    assert "| GDF (QP) | 1.5 ± 0.0 | 2.50 ± 0.00 | 0.500 ± 0.000 | -0.500 ± 0.000 |" in table_of(results, "ten")
    row = "| ten | usual noise | equal costs | all covariates | 1.000 ± 0.000 | -0.500 ± 0.000 | -50% | -0.250"
    assert row in setting_table(results)
    assert share_of(group, "spo+") == pytest.approx(-0.25)
    assert "listwise" not in setting_table(results)
    ranked = [Result(2.0, {"listwise": 2.6, "so-ebm": 3.0}, {"listwise": 4}, {"listwise": 1.7, "so-ebm": 1.5})] * 2
    more = dict(zip((replace(cell, agents=tuple(RANKED)) for cell in results), ranked, strict=True))
    wide = joined(results, more, seasons_of)
    assert list(wide) == list(results)
    assert "| SO-EBM, listwise | 1.7 ± 0.0 | 2.60 ± 0.00 | 0.600 ± 0.000 | -0.400 ± 0.000 |" in table_of(wide, "ten")
    assert "| -25% | +0.000 ± 0.000 | +0% | -0.400 ± 0.000 | -40% |" in setting_table(wide)
    assert len(setting_cells(("ten",), 2)) == 2 * 12
    assert set(map(seasons_of, ranking_cells(("ten",), 2))) == set(map(seasons_of, setting_cells(("ten",), 2)))
    assert {cell.fit_weight for cell in weight_cells("ten", 1)} == set(FIT_WEIGHTS)
