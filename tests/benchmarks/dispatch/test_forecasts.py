"""The benchmark of forecasts for plans, and of storms left out: what they measure, keep, print and draw."""

from __future__ import annotations

import json
from pathlib import Path

import dispatch_learning
import dispatch_storms
import numpy as np
import pandas as pd
import pytest
from dispatch_results.cells import ALL, OPEN_LOOP, Cell, measured, sweep_cells, table_cells
from dispatch_results.tables import table_of, varied
from learning_cells import Result, headroom, measure

SMALL = dispatch_learning.SMALL


def test_table__is_made_of_kept_seeds_and_measured_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- dispatch_table:begin -->\n<!-- dispatch_table:end -->\n")
    options = ["--small", "--seeds", "1", "--parts", "table", "cities", "--results", str(tmp_path / "kept")]
    assert dispatch_learning.main([*options, "--docs", str(page), "--folder", str(tmp_path)]) == 0
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "kept").iterdir()}
    assert len(kept) == 3
    content = json.loads(next(iter(kept)).read_text())
    assert set(content["cost"]) == set(ALL)
    assert all(cost >= content["optimum"] for cost in content["cost"].values())
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3 * (1 + len(ALL))
    for name in ("dispatch_table.png", "dispatch_cities.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    before = capsys.readouterr().out
    assert dispatch_learning.main(options) == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "kept").iterdir()} == kept
    assert capsys.readouterr().out == before


def test_measure__a_cell_gives_the_same_to_the_bit(tmp_path: Path) -> None:
    cell = Cell(seed=1, transport_cost=100.0, agents=("two-stage", "gdf", "sampled"), **SMALL)  # type: ignore[arg-type]
    assert measure(cell, tmp_path / "a", measured) == measure(cell, tmp_path / "b", measured)
    with pytest.raises(ValueError, match="no agent 'best'"):
        measured(Cell(seed=1, agents=("best",), **SMALL))  # type: ignore[arg-type]


def test_tables__headroom_and_sweeps_are_what_they_say() -> None:
    group = [Result(10.0, {"two-stage": 30.0, "sampled": 20.0, "floor": 14.0}, {})]
    assert headroom(group, "sampled") == pytest.approx(10 / 16)
    assert group[0].regret("two-stage") == 20.0
    text = table_of({Cell(seed=0, transport_cost=100.0): group[0]})
    assert "| sampled forecast | 20 | 10 | -10 | 62% |" in text
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


def folder_of(folder: Path, peak: float, n_periods: int) -> Path:
    """Four counties in one storm of the past whose wave is highest in period `peak`."""
    folder.mkdir()
    customers, codes = [4_000, 9_000, 2_500, 6_000], ["01001", "01003", "01005", "01007"]
    place = {"income_usd": [30, 60, 45, 50], "lat": [30.0, 31.0, 30.5, 30.2], "lon": [-88.0, -87.0, -85.0, -86.0]}
    pd.DataFrame({"fips_code": codes, "customers": customers, **place}).to_csv(folder / "counties.csv", index=False)
    time = pd.date_range("2021-08-28", periods=n_periods * 24 + 1, freq="15min")
    share = 0.5 * np.exp(-(((np.arange(len(time)) / 24 - peak) / 2.0) ** 2))
    parts = [
        pd.DataFrame(
            {
                "fips_code": code,
                "county": "somewhere",
                "state": "Alabama",
                "customers_out": np.floor(share * n),
                "run_start_time": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
        )
        for code, n in zip(codes, customers, strict=True)
    ]
    pd.concat(parts).to_csv(folder / "outages.csv", index=False)
    window = {"name": folder.name, "start": str(time[0]), "end": str(time[-1])}
    settings = {
        "name": folder.name,
        "period_hours": 6,
        "windows": [window],
        "generators": 12,
        "customers_per_generator": 500,
        "transport_cost": 300.0,
        "interruption_cost": 6.0,
        "operating_cost": 60.0,
        "rate": 2.0,
    }
    (folder / "profile.json").write_text(json.dumps(settings))
    return folder


def test_storms__each_folder_is_left_out_in_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- dispatch_storms:begin -->\n<!-- dispatch_storms:end -->\n")
    folders = [str(folder_of(tmp_path / "one", 4.0, 10)), str(folder_of(tmp_path / "two", 5.0, 12))]
    assert dispatch_storms.main([*folders, "--n-steps", "60", "--docs", str(page)]) == 0
    tables = page.read_text().split("\n\n")
    assert [table.count("| one, ") + table.count("| two, ") for table in tables] == [1, 1, 1, 1]
    first = {cells[1].strip(): cells for line in tables[0].splitlines() if len(cells := line.split("|")) == 6}
    error = {name: float(cells[4]) for name, cells in first.items() if cells[4].strip().startswith("0.")}
    assert error["two-stage, other storms"] < 0.5 * error["static plan, simulated family"]  # a storm much like it
    capsys.readouterr()
    assert dispatch_storms.main(folders[:1]) == 2
    assert "two folders or more" in capsys.readouterr().out
