"""The benchmark of what intervals are worth to a plan: its cells, verdicts and refusals."""

from pathlib import Path

import pytest

from benchmarks.kit.cells import Cells
from benchmarks.restoration import coverage_price as door

SMALL = ("--cities", "synthetic:6:1", "--episodes", "6", "--kinds", "cvar", "--sources", "ecqr")


def kept_in(folder: Path) -> list[str]:
    return ["--results", str(folder / "results"), "--cells", str(folder / "cells")]


@pytest.mark.slow
def test_table__has_points_and_each_source_on_the_same_storms(
    tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = docs / "results" / "tables" / "restoration-coverage-price.md"
    words = [*SMALL, "--docs", str(docs), *kept_in(tmp_path)]
    assert door.main(words) == 0
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in page.read_text().splitlines() if line[:1] == "|"]
    assert lines[0] == list(door.HEADS)
    assert [line[1] for line in lines[2:]] == ["point", "ecqr"]
    point, ecqr = lines[2:]
    assert float(ecqr[7].split(" ")[0]) == pytest.approx(float(ecqr[6]) - float(point[6]), abs=0.011)
    assert 0 <= float(ecqr[3]) <= float(ecqr[2]) <= 100  # the group worst off is covered no better than all
    assert ecqr[9] == ("yes" if float(ecqr[8]) <= float(ecqr[0].split(" ")[-2]) else "no")

    text = page.read_text()
    monkeypatch.setattr(door, "evaluate", None)  # nothing is played again
    assert door.main(words) == 0
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text


def test_verdict__is_neutral_free_or_costly() -> None:
    assert door.verdict(0.01, 5.0) == "neutral"
    assert door.verdict(0.3, -0.1) == "free"
    assert door.verdict(0.3, 0.1) == "costly"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kinds", "median"), "--kinds must be among mean, cvar, chance; got 'median'"),
        (("--sources", "guess"), "--sources must be among"),
        (("--episodes", "1"), "--episodes must be at least 2"),
        (("--limit-share", "1.5"), r"--limit-share must be in \(0, 1\]; got 1.5"),
    ],
)
def test_wrong_words__end_with_code_2(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main([*SMALL, *kept_in(tmp_path), *words]) == 2
    assert message.replace("\\", "") in capsys.readouterr().err
