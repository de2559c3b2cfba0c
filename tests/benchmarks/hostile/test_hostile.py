"""Hostile inputs: no reader answers by anything but a value, a flag or a sentence that names the file."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.hostile.__main__ import BEGIN, END, main
from benchmarks.hostile.edits import CLASSES
from benchmarks.hostile.playing import MISTAKES, outcome_of, read
from benchmarks.hostile.readers import READERS, Read, Reader


@pytest.mark.parametrize("reader", READERS, ids=[reader.name for reader in READERS])
def test_reader__reads_its_good_files_twice_the_same(reader: Reader, tmp_path: Path) -> None:
    reader.write(tmp_path)
    assert read(reader, tmp_path) == read(reader, tmp_path)
    assert all((tmp_path / file).is_file() for file in reader.files)


@pytest.mark.slow
def test_readers__stand_every_class_of_edits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "robustness.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    code = main(["--inputs", "600", "--docs", str(tmp_path)])
    shown = capsys.readouterr().out
    assert code == 0, shown
    text = page.read_text()
    assert "python -m benchmarks.hostile --inputs 600 --docs docs" in text
    assert "| all | 624 |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize(
    "whole", ["a,b,t\n1,x,2020-01-01\n2,y,2020-01-02\n", '{"a": 1, "b": ["x", 2], "c": {"d": null}}']
)
def test_edits__are_repeated_by_their_generator_and_change_most_files(kind: str, whole: str) -> None:
    made = [CLASSES[kind](whole.encode(), np.random.default_rng(i)) for i in range(20)]
    assert made == [CLASSES[kind](whole.encode(), np.random.default_rng(i)) for i in range(20)]
    assert sum(one != whole.encode() for one in made) > 10


def of(read_folder) -> Reader:
    return Reader("toy", ("toy.csv",), lambda folder: None, read_folder)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("toy.csv, line 1: a number must be above 0; got -1. Correct it."), "refused"),
        (ValueError("toy.csv"), "unclear"),
        (ValueError("could not convert string to float: 'x', and no file is named"), "unclear"),
        (TypeError("toy.csv, line 1: unsupported operand"), "broken"),
        (RecursionError("toy.csv"), "broken"),
        (RuntimeWarning("toy.csv: overflow"), "broken"),
        (FileNotFoundError(2, "No such file", "toy.csv"), "refused"),
    ],
)
def test_outcome__of_an_error(error: Exception, kind: str, tmp_path: Path) -> None:
    def read_folder(folder: Path) -> Read:
        raise error

    found = outcome_of(of(read_folder), tmp_path, Read(""))
    assert found.kind == kind
    assert (found.kind in MISTAKES) == (kind != "refused")


@pytest.mark.parametrize(
    ("found", "kind"), [(Read("a", 1), "the same"), (Read("b", 1), "other values"), (Read("b", 2), "flagged")]
)
def test_outcome__of_what_is_read(found: Read, kind: str, tmp_path: Path) -> None:
    assert outcome_of(of(lambda folder: found), tmp_path, Read("a", 1)).kind == kind


def test_reader__that_runs_away_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.hostile.playing.SLOW_S", 1)

    def forever(folder: Path) -> Read:
        while True:
            json.dumps({})

    assert "more than 1 s" in outcome_of(of(forever), tmp_path, Read("")).told


def test_command__unknown_readers_are_named() -> None:
    with pytest.raises(SystemExit, match="--readers must be of city, open jobs"):
        main(["--readers", "town"])
