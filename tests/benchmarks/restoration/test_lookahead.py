"""The benchmark of looking ahead: what it plays, prints and refuses."""

from pathlib import Path

import pytest

from benchmarks.kit.cells import Cells
from benchmarks.restoration import lookahead as door

SMALL = ("--city", "synthetic:6:1", "--episodes", "6")


def kept_in(folder: Path) -> list[str]:
    return ["--results", str(folder / "results"), "--cells", str(folder / "cells")]


@pytest.mark.slow
def test_table__has_the_planner_and_every_form_on_the_same_storms(
    tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = docs / "results" / "tables" / "restoration-looking-ahead.md"
    words = [
        *SMALL,
        "--looks",
        "0",
        "1:999",
        "4:2",
        "4:2:3",
        "4:2:3:past",
        "--shock",
        "0.5",
        "--docs",
        str(docs),
        *kept_in(tmp_path),
    ]
    assert door.main(words) == 0
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in page.read_text().splitlines() if line[:1] == "|"]
    assert lines[0] == list(door.HEADS)
    made = (
        "python -m benchmarks.restoration.lookahead --looks 0 1:999 4:2 4:2:3 4:2:3:past "
        "--city synthetic:6:1 --shock 0.5 --episodes 6"
    )
    assert f"Made by `{made}`:" in page.read_text()
    assert door.command(door.Settings()) == "python -m benchmarks.restoration.lookahead"
    assert [line[:4] for line in lines[2:]] == [
        ["equity-planner", "", "", ""],
        ["sta-sac:default", "", "", ""],
        ["sta-sac:default", "1", "once", ""],
        ["sta-sac:default", "4", "2 regions", ""],
        ["sta-sac:default", "4", "2 regions", "3"],
        ["sta-sac:default", "4", "2 regions", "3, one price from the past"],
    ]
    planner, plain = float(lines[2][4]), float(lines[3][4])
    assert float(lines[3][5].split(" ")[0]) == pytest.approx(plain - planner, abs=0.011)

    text = page.read_text()
    monkeypatch.setattr(door, "evaluate", None)  # nothing is played again
    assert door.main(words) == 0
    page.unlink()
    door.write_pages(Cells(door.BENCHMARK, tmp_path / "results", None), docs)
    assert page.read_text() == text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--looks", "8"), "--looks must be 0, ORDERS:EVERY"),
        (("--looks", "0:4"), "--looks must be 0, ORDERS:EVERY"),
        (("--looks", "32:9:0"), "--looks must be 0, ORDERS:EVERY"),
        (("--looks", "32:9:10:cheap"), "--looks must be 0, ORDERS:EVERY"),
        (("--agent", "nearest", "--looks", "4:2"), "nearest cannot look ahead"),
        (("--agent", "nobody"), "unknown agent 'nobody'"),
        (("--episodes", "1"), "--episodes must be at least 2"),
    ],
)
def test_wrong_words__end_with_code_2(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main([*SMALL, *kept_in(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err
