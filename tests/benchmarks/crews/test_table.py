"""The table of crew dispatch: who is in it, on which storms, and what is not played again."""

import pytest

from benchmarks.crews import table as door
from benchmarks.kit.cells import Cells

SMALL = ("--city", "synthetic:6:1", "--episodes", "4", "--agents", "nearest", "rolling-fair")


def kept_in(folder):
    return ["--results", str(folder / "results"), "--cells", str(folder / "cells")]


@pytest.mark.slow
def test_table__has_every_agent_in_every_setting_and_the_same_storms(tmp_path, docs, monkeypatch):
    page = docs / "results" / "tables" / "crews.md"
    words = [*SMALL, "--settings", "default", "shock by group", "--docs", str(docs), *kept_in(tmp_path)]
    assert door.main(words) == 0
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in page.read_text().splitlines() if line[:1] == "|"]
    agents = [line[0] for line in lines if line[0].startswith("`")]
    assert agents == ["`nearest`", "`rolling-fair`", "`nearest`", "`rolling-fair`", f"`{door.UNCORRECTED}`"]
    best = next(line for line in lines if line[0] == "`rolling-fair`")
    other = next(line for line in lines if line[0] == "`nearest`")
    behind = float(other[1].split()[0]) - float(best[1].split()[0])
    assert float(other[2].split()[0]) == pytest.approx(behind, abs=0.011)
    assert best[2] == ""

    text = page.read_text()
    monkeypatch.setattr(door, "evaluate", None)  # nothing is played again
    assert door.main(words) == 0
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text


def test_table__of_another_name_has_a_page_of_its_own(tmp_path, docs):
    words = [*SMALL[:4], "--agents", "nearest", "--docs", str(docs), *kept_in(tmp_path)]
    assert door.main([*words, "--settings", "default"]) == 0
    assert door.main([*words, "--settings", "one assessor", "--table", "crews-information"]) == 0
    tables = docs / "results" / "tables"
    texts = {page.name: page.read_text() for page in tables.iterdir()}
    assert "## Default" in texts["crews.md"]
    assert "## One assessor" in texts["crews-information.md"]
    assert "assessor" not in texts["crews.md"]
    for page in tables.iterdir():
        page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert {page.name: page.read_text() for page in tables.iterdir()} == texts


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--episodes", "1"), "--episodes must be at least 2"),
        (("--agents", "nobody"), "unknown agent 'nobody'"),
        (("--settings", "calm"), "unknown setting 'calm'"),
        (("--runs", "nowhere"), "nowhere"),
    ],
)
def test_wrong_words__end_with_code_2(words, message, tmp_path, capsys):
    assert door.main([*SMALL, "--settings", "default", *words, *kept_in(tmp_path)]) == 2
    assert message in capsys.readouterr().err
