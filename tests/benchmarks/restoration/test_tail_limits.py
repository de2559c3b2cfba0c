"""The benchmark of limits on the tail: what it plays, prints, keeps and refuses."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kit.cells import Cells
from benchmarks.restoration import tail_limits as door

SMALL = ("--city", "synthetic:6:1", "--episodes", "6", "--limit", "4")


def kept_in(folder: Path) -> list[str]:
    return ["--results", str(folder / "results"), "--cells", str(folder / "cells")]


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


@pytest.mark.slow
def test_table__has_every_kind_of_limit_on_the_same_storms_and_is_written_again_from_what_is_kept(
    tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = docs / "results" / "tables" / "restoration-tail-limits.md"
    agents = ("--agents", "nearest", "equity-planner", "sta-sac:default@2")
    words = [*SMALL, *agents, "--level", "0.8", "--docs", str(docs), *kept_in(tmp_path)]
    assert door.main(words) == 0
    text = page.read_text()
    assert (
        "Made by `python -m benchmarks.restoration.tail_limits --agents nearest equity-planner sta-sac:default@2 "
        "--level 0.8 --limit 4.0 --city synthetic:6:1 --episodes 6`: 6 held-out storms of seed 2026"
    ) in text
    head, _, *lines = (cells_of(line) for line in text.splitlines() if line[:1] == "|")
    assert head == list(door.HEADS)
    kinds = ["mean", "CVaR 0.2", "80 % of storms"]
    limited = [[name, kind] for name in ("equity-planner", "sta-sac:default@2") for kind in kinds]
    assert [line[:2] for line in lines] == [["nearest", ""], *limited]
    for line in lines:
        compared = line[1] in kinds[1:]
        assert bool(line[3]) == compared
        assert line[7] in (("yes", "no") if line[1] else ("",))
        if compared:
            mean = next(other for other in lines if other[0] == line[0])
            by = float(line[2].split(" ")[0]) - float(mean[2].split(" ")[0])
            assert float(line[3].split(" ")[0]) == pytest.approx(by, abs=0.011)
    cells = Cells(door.BENCHMARK, tmp_path / "results", None)
    kept = [cells.need(key) for key in cells.need("tail-limits").result["keys"]]
    gaps = np.array(kept[3].result["gap_h"])
    assert kept[3].cell["kind"] == "chance"
    assert lines[3][6].startswith(f"{100 * (gaps > 4.0).mean():.1f} %")
    assert lines[3][7] == ("yes" if (gaps <= 4.0).mean() >= 0.8 else "no")

    monkeypatch.setattr(door, "evaluate", None)  # nothing is played again
    assert door.main(words) == 0
    page.unlink()
    door.write_pages(cells, docs)
    assert page.read_text() == text


def test_rows__differ_by_what_decides_them_and_free_agents_have_one() -> None:
    settings = door.Settings(agents=("repairman", "equity-planner"), city="synthetic:6:1", shock=0.35)
    rows = door.rows_of(settings)
    assert [(row.name, row.kind, row.level) for row in rows] == [
        ("repairman", "", None),
        ("equity-planner", "mean", None),
        ("equity-planner", "cvar", 0.9),
        ("equity-planner", "chance", 0.9),
    ]
    assert len({row.key for row in rows}) == 4
    assert door.command(door.Settings()) == "python -m benchmarks.restoration.tail_limits"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kinds", "mean", "tail"), "cost_limit_kind must be one of mean, cvar, chance; got 'tail'"),
        (("--level", "90"), r"cost_limit_level must be in \(0, 1\)"),
        (("--agents", "nobody"), "unknown agent 'nobody'"),
        (("--episodes", "1"), "--episodes must be at least 2"),
        (("--limit", "-1"), "cost_limit must be a positive number of hours"),
    ],
)
def test_wrong_words__end_with_code_2(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main([*SMALL, "--agents", "equity-planner", *kept_in(tmp_path), *words]) == 2
    assert re.search(message, capsys.readouterr().err)
