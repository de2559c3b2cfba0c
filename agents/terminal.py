"""Output to the terminal: consoles, tables that fit 120 columns, and progress bars."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

WIDTH = 120
"""Columns that the tables need; also the width when the output is no terminal."""

NAME_WIDTH = 18
"""Characters of a row's name, at most, that are kept together."""

PRIVILEGED_MARK = "†"
"""Behind the name of a privileged agent, in tables and figures."""


def make_console(**kwargs: Any) -> Console:
    """A console that is at least `WIDTH` wide when its output is a file or a pipe.

    It leaves names as they are: rich would show the city `synthetic:100:1` with an emoji in place of `:100:`.
    """
    plain: dict[str, Any] = {"highlight": False, "emoji": False, **kwargs}
    console = Console(**plain)
    return console if console.is_terminal else Console(**{"width": WIDTH, **plain})


def status_console() -> Console:
    """A console on standard error, where bars and lines of progress go."""
    return Console(stderr=True, emoji=False)


def simple_table(caption: str | None, heads: Sequence[str], first: str = "agent", names: Sequence[str] = ()) -> Table:
    """A table without a frame: the first column to the left, the others to the right.

    The first column has room for `names`, up to `NAME_WIDTH`, before the others get theirs.
    """
    table = Table(
        title=caption,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    width = min(max(map(len, names), default=0), NAME_WIDTH)
    table.add_column(first, overflow="fold", vertical="top", min_width=width or None)
    for head in heads:
        table.add_column(head, justify="right", no_wrap="\n" in head)
    return table


@contextmanager
def episode_progress(names: list[str], episodes: int) -> Iterator[Callable[[str, int], None]]:
    """A bar an agent on a terminal; elsewhere one line when an agent is through.

    Yields a function that is called with an agent's name and the number of episodes it has just finished.
    """
    console = status_console()
    if not console.is_terminal:
        done, begin = dict.fromkeys(names, 0), time.perf_counter()

        def line(name: str, n: int) -> None:
            done[name] += n
            if done[name] >= episodes:
                seconds = time.perf_counter() - begin
                print(f"{name}: {episodes} episodes ({seconds:.0f} s since the start)", file=sys.stderr, flush=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks = {name: progress.add_task(name, total=episodes, start=False) for name in names}
        if names:
            progress.start_task(tasks[names[0]])

        def advance(name: str, n: int) -> None:
            progress.advance(tasks[name], n)
            following = names.index(name) + 1
            if progress.tasks[tasks[name]].finished and following < len(names):
                progress.start_task(tasks[names[following]])

        yield advance
