"""Tables and JSON: bounds, numbers, and errors of the libraries below turned into sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stormgym.envs.data import DataError, tables
from stormgym.envs.data.tables import frozen_array, is_number, is_odd_number, read_json, read_table, write_table


def file_of(tmp_path: Path, text: str, name: str = "a.csv") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n" + "\n" * 30, "a table must have at most 20 lines, blank ones among them"),
        ("\n" * 30, "the file is empty"),
        (",".join(f"c{i}" for i in range(9)) + "\n", "line 1: a table must have at most 5 columns; got 9"),
        (f"a,b\n1,{'x' * 140_000}\n", r"line 2: a cell must have at most 131,072 characters \(is a quote not closed"),
        ('a,b\n1,"2\n' + "3,4\n" * 40_000, r"line 2: a cell must have at most 131,072 characters"),
        ("a,a\n1,2\n", "line 1: column 'a' stands twice"),
    ],
)
def test_table__beyond_its_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr(tables, "MAX_LINES", 20)
    monkeypatch.setattr(tables, "MAX_COLUMNS", 5)
    with pytest.raises(DataError, match=f"a.csv.*{message}"):
        read_table(file_of(tmp_path, text))


@pytest.mark.parametrize(
    "cell", ["1_000", "\u0661\u0662", "1\uff10", "0x10", "1,000", "\u22121", "1e400", "9" * 400, "inf", "1 000", "true"]
)
def test_numbers__that_programs_do_not_write_alike_are_refused(tmp_path: Path, cell: str) -> None:
    table = read_table(file_of(tmp_path, f'a,b\n1,2\n"{cell}",3\n'))
    with pytest.raises(DataError, match=r"line 3, column 'a': a cell must be a finite number; got '"):
        table.numbers("a")


@pytest.mark.parametrize("cell", ["1", "-1.5", "+2", "1e3", ".5", "007", "  4 "])
def test_numbers__that_are(tmp_path: Path, cell: str) -> None:
    assert read_table(file_of(tmp_path, f"a\n{cell}\n")).numbers("a")[0] == float(cell)


def test_odd_numbers__are_told_from_text() -> None:
    assert all(map(is_odd_number, ["1,000", "1_000.5", "-12 345", "1'000'000", "\u0663"]))
    assert not any(map(is_odd_number, ["1000", "", "nan", "1201_2", "A1", "2018-01-01", "1,2", "ünï"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": ' + "[" * 100_000, "nested hundreds deep"),
        ('{"a": ' + "1" * 5000 + "}", "a number of thousands of digits"),
        ('{"a": {"b": 1, "b": 2}}', "key 'b' stands twice in one object"),
        ('{"a": ["\\ud800"]}', r"half of a character, \\ud800, in a text"),
        ("", "line 1, column 1: not JSON"),
        ("3", "must hold a JSON object .*got int"),
    ],
)
def test_json__that_is_no_file_of_ours_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"a.json.*{message}"):
        read_json(file_of(tmp_path, text, "a.json"))


def test_json__whole_characters_in_halves_are_text(tmp_path: Path) -> None:
    assert read_json(file_of(tmp_path, '{"a": "\\ud83d\\ude00"}', "a.json")) == {"a": "😀"}


def test_is_number__takes_what_a_float_holds() -> None:
    assert all(map(is_number, [0, -1.5, 2**63, 10**30, np.float32(1), np.int64(3)]))
    assert not any(map(is_number, [10**400, float("nan"), float("inf"), True, "1", None, [1]]))


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([10**30], np.int64, "must be an array of int64"),
        (np.array([2**63], dtype=np.uint64), np.int64, "must hold whole numbers; got 9223372036854775808"),
        ([1e300], np.int64, r"must hold whole numbers; got 1e\+300"),
        ([10**400], np.float64, "must be an array of float64"),
        ([[1.0], [1.0, 2.0]], np.float64, "must be an array of float64"),
    ],
)
def test_frozen_array__numbers_out_of_range_are_errors_and_no_warnings(
    values: object, kind: type, message: str, recwarn: pytest.WarningsRecorder
) -> None:
    with pytest.raises(DataError, match=f"thing {message}"):
        frozen_array(values, kind, (None,), "thing")  # type: ignore[arg-type]
    assert not recwarn


def test_write_table__that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    file = file_of(tmp_path, "old\n1\n")
    with pytest.raises(ValueError, match="zip"):
        write_table(file, {"a": [1, 2], "b": [1]})
    assert file.read_text() == "old\n1\n"
    assert list(tmp_path.iterdir()) == [file]
