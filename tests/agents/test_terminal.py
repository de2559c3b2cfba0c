"""The terminal: consoles and their width, names as they are, tables, and lines of progress."""

import io
from pathlib import Path

import pytest
from rich.table import Table

from stormgym.agents.terminal import NAME_WIDTH, WIDTH, episode_progress, make_console, simple_table


def test_console__is_wide_enough_when_piped(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        assert make_console(file=out).width == WIDTH


def test_console__shows_names_as_they_are() -> None:
    text = io.StringIO()
    make_console(file=text).print("synthetic:100:9003")
    assert text.getvalue() == "synthetic:100:9003\n"


def test_console__takes_what_rich_takes() -> None:
    console = make_console(file=io.StringIO(), width=40)
    assert console.width == 40
    console.print("[bold]a[/bold] 3.5")
    assert console.file.getvalue() == "a 3.5\n"  # type: ignore[attr-defined]


def printed(table: Table, width: int) -> list[str]:
    text = io.StringIO()
    make_console(file=text, width=width).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_table__has_names_to_the_left_numbers_to_the_right_and_no_frame() -> None:
    table = simple_table("Costs", ["gap\nh", "steps"])
    table.add_row("nearest", "1.5", "9")
    caption, *lines = printed(table, 40)
    assert caption == "Costs"
    assert [line.split() for line in lines] == [["gap"], ["agent", "h", "steps"], ["─" * 19], ["nearest", "1.5", "9"]]
    assert lines[-1].endswith("    9")


@pytest.mark.parametrize(("name", "kept"), [("equity-planner", True), ("n" * (NAME_WIDTH + 4), False)])
def test_table__keeps_names_together_up_to_a_width(name: str, kept: bool) -> None:
    table = simple_table(None, ["a number that is wide"], names=[name])
    table.add_row(name, "1")
    assert any(name in line for line in printed(table, 30)) == kept


def test_progress__elsewhere_than_on_a_terminal_is_a_line_when_an_agent_is_through(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with episode_progress(["nearest", "tsp"], 10) as tell:
        tell("nearest", 6)
        assert capsys.readouterr().err == ""
        tell("nearest", 4)
        tell("tsp", 10)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" (")[0] for line in lines] == ["nearest: 10 episodes", "tsp: 10 episodes"]
