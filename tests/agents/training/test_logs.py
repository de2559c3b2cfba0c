"""The log of a run as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

import stormgym  # noqa: F401
from stormgym.agents.training.logs import CsvLog


def test_csv_log__grows_columns_and_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "progress.csv"
    log = CsvLog(file)
    log.write({"a": 1.0}, {"a": None}, 10)  # type: ignore[dict-item]
    log.write({"a": 2.0, "b": 3}, {"a": None, "b": None}, 20)  # type: ignore[dict-item]
    log.write({"b": 4}, {"b": None}, 30)  # type: ignore[dict-item]
    assert file.read_text() == "time/total_timesteps,a,b\n10,1,\n20,2,3\n30,,4\n"
    resumed = CsvLog(file, from_step=20)
    resumed.write({"a": 5.0}, {"a": None}, 25)  # type: ignore[dict-item]
    rows = list(csv.DictReader(file.open()))
    assert [row["time/total_timesteps"] for row in rows] == ["10", "20", "25"]
    assert rows[-1]["a"] == "5"
