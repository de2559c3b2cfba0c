"""The log of a run as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import stormgym  # noqa: F401
from stormgym.agents.storage.container import UnreadableFile
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


HEAD = "time/total_timesteps,a\n"


@pytest.mark.parametrize("tail", ["3", "30", "30,", "30,1.2", "20,1.2", "\0\0\0"])
def test_csv_log__whose_last_line_was_cut_off_is_mended_with_a_warning(tail: str, tmp_path: Path) -> None:
    file = tmp_path / "progress.csv"
    file.write_text(f"{HEAD}10,1\n20,2\n{tail}")
    with pytest.warns(UserWarning, match=r"progress\.csv: its last line was cut off .*, and is left out"):
        CsvLog(file, from_step=40)
    assert file.read_text() == f"{HEAD}10,1\n20,2\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "its first column is not time/total_timesteps"),
        (f"{HEAD}10,1\n20\n30,3\n", "line 3 has another number of columns than the header"),
        (f"{HEAD}10,1,2\n", "line 2 has another number of columns than the header"),
        (f"{HEAD}ten,1\n", "invalid literal"),
    ],
)
def test_csv_log__that_is_garbled_stays_as_it_is_and_names_the_cure(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "progress.csv"
    file.write_text(text)
    with pytest.raises(UnreadableFile, match=f"{file} cannot be read as the log of a run: {reason}.*Move the file"):
        CsvLog(file, from_step=40)
    assert file.read_text() == text
