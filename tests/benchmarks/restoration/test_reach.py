"""The benchmark of the planner's reach: the forms it plays, what it prints and refuses."""

from pathlib import Path

import pytest

from benchmarks.kit.cells import Cells
from benchmarks.restoration import reach as door

SMALL = ("--city", "synthetic:6:1", "--episodes", "6")


def kept_in(folder: Path) -> list[str]:
    return ["--results", str(folder / "results"), "--cells", str(folder / "cells")]


@pytest.mark.slow
def test_table__has_paired_differences_to_the_planner(
    tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = docs / "results" / "tables" / "restoration-reach.md"
    words = [*SMALL, "--forms", "10 times the scenarios", "no limit", "--docs", str(docs), *kept_in(tmp_path)]
    assert door.main(words) == 0
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in page.read_text().splitlines() if line[:1] == "|"]
    assert lines[0] == list(door.HEADS)
    assert [line[0] for line in lines[2:]] == ["equity-planner", "10 times the scenarios", "no limit"]
    planner, free = float(lines[2][1]), float(lines[4][1])
    assert float(lines[4][2].split(" ")[0]) == pytest.approx(free - planner, abs=0.011)
    assert free <= planner + 0.01  # a limit costs something or nothing

    text = page.read_text()
    monkeypatch.setattr(door, "evaluate", None)  # nothing is played again
    assert door.main(words) == 0
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--forms", "other"), "unknown form 'other'"), (("--episodes", "1"), "--episodes must be at least 2")],
)
def test_wrong_words__end_with_code_2(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main([*SMALL, *kept_in(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err
