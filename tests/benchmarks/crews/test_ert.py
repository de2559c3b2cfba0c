"""The table of restoration times: who is in it, by which methods, and what is not played again."""

import pytest

from benchmarks.crews import ert as door
from benchmarks.crews import played
from benchmarks.kit.cells import Cells

SMALL = ("--city", "synthetic:12:1", "--agents", "static-plan", "--past", "50", "--storms", "10", "--splits", "all")


def kept_in(folder):
    return ["--results", str(folder / "results"), "--cells", str(folder / "cells")]


@pytest.mark.slow
def test_table__has_all_methods_and_plays_no_storm_twice(tmp_path, docs, monkeypatch):
    monkeypatch.setattr(door, "speed", lambda: {"seconds": 0.01, "jobs": 200.0, "draws": 96.0})
    page = docs / "results" / "tables" / "crews-ert.md"
    words = [*SMALL, "--docs", str(docs), *kept_in(tmp_path)]
    assert door.main(words) == 0
    text = page.read_text()
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]
    methods = [line[0] for line in lines if line[0] in door.METHODS]
    assert methods == [*door.METHODS, *door.METHODS]  # first ERTs, and when a crew is sent
    raw, ours = (next(line for line in lines if line[0] == name) for name in ("simulated plan, as it is", door.OURS))
    assert float(raw[6]) < float(ours[6])  # calibrated intervals are wider, and cover more often
    assert float(raw[1].split()[0]) < float(ours[1].split()[0])

    files = list((tmp_path / "cells" / "crews" / "ert").glob("*.npz"))
    assert len(files) == 3  # two batches of past storms, one of others
    for cell in (tmp_path / "cells" / "crews" / "ert").glob("*.json"):
        cell.unlink()
    for cell in (tmp_path / "results").rglob("*.json"):
        cell.unlink()
    monkeypatch.setattr(played, "play_past", None)  # scored again from what was played
    assert door.main(words) == 0
    assert page.read_text() == text
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text


def test_speed__is_of_two_hundred_jobs_in_under_a_second():
    found = door.speed(repeats=2)
    assert found["jobs"] == 200
    assert found["seconds"] < 1.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--agents", "nobody"), "unknown agent 'nobody'"),
        (("--agents", "nearest", "--past", "5"), "'nearest' keeps no plan"),
        (("--past", "5", "--storms", "2"), "ERTs are calibrated on 40 storms"),
        (("--splits", "calm", "--past", "5"), "split must be one of"),
    ],
)
def test_wrong_words__end_with_code_2(words, message, tmp_path, capsys):
    assert door.main([*SMALL, *words, *kept_in(tmp_path)]) == 2
    assert message in capsys.readouterr().err
