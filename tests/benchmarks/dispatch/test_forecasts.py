"""The benchmark of forecasts for plans: what it measures, keeps, prints and draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.dispatch.forecasts import command as door
from benchmarks.dispatch.forecasts.cells import (
    ALL,
    OPEN_LOOP,
    ForecastCell,
    energy_cells,
    measure,
    storms_of,
    sweep_cells,
    table_cells,
    withheld_cells,
)
from benchmarks.dispatch.forecasts.tables import energy_table, table_of, varied
from benchmarks.kit.cells import Cells
from benchmarks.kit.regret import Result, headroom

SMALL = door.SMALL


@pytest.mark.slow
def test_table__is_made_of_kept_seeds_and_measured_once(
    tmp_path: Path, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = docs / "results" / "tables" / "dispatch-forecasts.md"
    options = ["--small", "--seeds", "1", "--parts", "table", "cities"]
    options += ["--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells")]
    assert door.main([*options, "--docs", str(docs)]) == 0
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "cells").rglob("B-*.json")}
    assert len(kept) == 3
    content = json.loads(next(iter(kept)).read_text())["result"]
    assert set(content["cost"]) == set(ALL)
    assert all(cost >= content["optimum"] for cost in content["cost"].values())
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3 * (1 + len(ALL))
    for name in ("dispatch_table.png", "dispatch_cities.png"):
        assert (docs / "img" / name).stat().st_size > 10_000
    before = capsys.readouterr().out
    assert door.main(options) == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cells").rglob("B-*.json")} == kept
    assert capsys.readouterr().out == before
    text = page.read_text()
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text
    assert "## Costs of a trip" in text
    assert "## Covariates withheld" not in text  # a part that was not asked for


def test_measure__a_cell_gives_the_same_to_the_bit(tmp_path: Path) -> None:
    agents = ("two-stage", "gdf", "sampled", "so-ebm")
    cell = ForecastCell(seed=1, transport_cost=100.0, agents=agents, **SMALL)  # type: ignore[arg-type]
    assert Cells("forecasts", tmp_path, tmp_path / "cells").result(cell, measure) == measure(cell)
    with pytest.raises(ValueError, match="no agent 'best'"):
        measure(ForecastCell(seed=1, agents=("best",), **SMALL))  # type: ignore[arg-type]


def test_tables__headroom_and_sweeps_are_what_they_say() -> None:
    group = [Result(10.0, {"two-stage": 30.0, "sampled": 20.0, "floor": 14.0}, {})]
    assert headroom(group, "sampled") == pytest.approx(10 / 16)
    assert group[0].regret("two-stage") == 20.0
    text = table_of({ForecastCell(seed=0, transport_cost=100.0): group[0]})
    assert "| sampled forecast | 20 | 10 | -10 | 62% |" in text
    cells = energy_cells("B", 2)
    assert {storms_of(cell) for cell in cells} == {
        storms_of(cell) for cell in [*table_cells("B", 2), *withheld_cells("B", 2)]
    }
    energy = {cell: Result(10.0, {"sampled": 20.0, "so-ebm": 19.5}, {"so-ebm": cell.seed}) for cell in cells}
    assert "| all covariates | 500 | 10 ± 0 | 10 ± 0 | -0.5 ± 0.0 | 50% |" in energy_table(energy)
    wide = door.with_energy({"table": {table_cells("B", 1)[0]: group[0]}, "energy": energy})
    text = table_of(wide["table"])
    assert "| sampled forecast, SO-EBM | 20 | 10 | -10 | 66% |" in text
    assert "| sampled forecast | 20 | 10 | -10 | 62% |" in text  # of its own cell, not of the other
    assert [varied(cell) for cell in sweep_cells("B", 1)][:2] == [
        ("interruption_cost", 1.0),
        ("interruption_cost", 2.0),
    ]
    assert {varied(cell)[0] for cell in sweep_cells("B", 1)} == {
        "interruption_cost",
        "transport_cost",
        "operating_cost",
        "generators",
    }
    assert len({cell.key for cell in [*table_cells("B", 2), *sweep_cells("B", 2)]}) == 3 * 2 + 16 * 2
    assert set(OPEN_LOOP) <= set(ALL)
