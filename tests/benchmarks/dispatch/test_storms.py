"""The benchmark of storms left out: what it measures, keeps and prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.dispatch import storms as door
from benchmarks.kit.cells import Cells


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


@pytest.mark.slow
def test_storms__each_folder_is_left_out_in_turn(
    tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = docs / "results" / "tables" / "dispatch-storms.md"
    kept = ["--results", str(tmp_path / "results"), "--cells", str(tmp_path / "cells")]
    folders = [str(folder_of(tmp_path / "one", 4.0, 10)), str(folder_of(tmp_path / "two", 5.0, 12))]
    words = [*folders, "--n-steps", "60", *kept, "--docs", str(docs)]
    assert door.main(words) == 0
    text = page.read_text()
    head, *tables = text[text.index("Made by") :].split("\n\n")
    assert head == "Made by `python -m benchmarks.dispatch.storms one two`."
    assert [table.count("| one, ") + table.count("| two, ") for table in tables] == [1, 1, 1, 1]
    first = {cells[1].strip(): cells for line in tables[0].splitlines() if len(cells := line.split("|")) == 6}
    error = {name: float(cells[4]) for name, cells in first.items() if cells[4].strip().startswith("0.")}
    assert error["two-stage, other storms"] < 0.5 * error["static plan, simulated family"]  # a storm much like it
    monkeypatch.setattr(door, "fit", None)  # nothing is fitted again
    assert door.main(words) == 0
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text
    capsys.readouterr()
    assert door.main([*folders[:1], *kept]) == 2
    assert "two folders or more" in capsys.readouterr().out
