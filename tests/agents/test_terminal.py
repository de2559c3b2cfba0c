"""The terminal: consoles and their width, names as they are, tables, and lines of progress."""

import io
import warnings
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from stormgym.agents.terminal import (
    NAME_WIDTH,
    WIDTH,
    PlainTable,
    episode_progress,
    make_console,
    simple_table,
    status_console,
)


def test_console__is_wide_enough_when_piped(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        assert make_console(file=out).width == WIDTH


def test_console__shows_names_as_they_are() -> None:
    text = io.StringIO()
    make_console(file=text).print("synthetic:100:9003")
    assert text.getvalue() == "synthetic:100:9003\n"


def test_status__is_no_output_of_a_notebook(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # a kernel sets it
    assert make_console().is_jupyter  # a table is
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with status_console().status("planning"):
            pass
    assert capsys.readouterr() == ("", "")


def test_console__takes_what_rich_takes() -> None:
    console = make_console(file=io.StringIO(), width=40)
    assert console.width == 40
    console.print("a 3.5", style="bold")
    assert console.file.getvalue() == "a 3.5\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["ward [north]", "[/]", "[bold]a[/bold]", ":100:", "[link=x]y"])
def test_names__are_never_read_as_markup_by_any_console(name: str) -> None:
    table = PlainTable(name, title=name)
    table.add_row(name)
    text = io.StringIO()
    Console(file=text, width=40).print(table)  # a user's own, which reads markup
    assert text.getvalue().count(name) == 3
    text = io.StringIO()
    make_console(file=text).print(name)
    assert text.getvalue() == f"{name}\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_progress__of_an_agent_with_markup_in_its_label(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=60)
    monkeypatch.setattr("stormgym.agents.terminal.status_console", lambda: console)
    with episode_progress(["[/]", "[red]"], 2) as advance:
        advance("[/]", 2)


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


def test_progress__elsewhere_than_on_a_terminal_is_a_line_each_ten_seconds_within_an_agent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 4.0, 9.0, 11.0, 12.0, 20.0, 22.0, 23.0])
    monkeypatch.setattr("stormgym.agents.terminal.time.perf_counter", lambda: next(clock))
    with episode_progress(["nearest"], 10) as tell:
        for n in (0, 3, 0, 0, 0, 1, 6):
            tell("nearest", n)
    assert capsys.readouterr().err.splitlines() == [
        "nearest: 3 of 10 episodes, 3 steps (11 s since the start)",
        "nearest: 4 of 10 episodes, 6 steps (22 s since the start)",
        "nearest: 10 episodes (23 s since the start)",
    ]
