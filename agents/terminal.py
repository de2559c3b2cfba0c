"""Output to the terminal: consoles, tables that fit 120 columns, and progress bars."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

WIDTH = 120
"""Columns that the tables need; also the width when the output is no terminal."""

NAME_WIDTH = 18
"""Characters of a row's name, at most, that are kept together."""

LINES_S = 10.0
"""Seconds from one line of progress to the next, where there are no bars."""

PRIVILEGED_MARK = "†"
"""Behind the name of a privileged agent, in tables and figures."""


def make_console(**kwargs: Any) -> Console:
    """A console that is at least `WIDTH` wide when its output is a file or a pipe.

    It leaves names as they are: rich would show the city `synthetic:100:1` with an emoji in place of `:100:`, and read
    the `[north]` of a region `ward [north]` as a style.
    """
    plain: dict[str, Any] = {"highlight": False, "emoji": False, "markup": False, **kwargs}
    console = Console(**plain)
    return console if console.is_terminal else Console(**{"width": WIDTH, **plain})


def status_console() -> Console:
    """A console on standard error, where bars and lines of progress go.

    In a notebook it has no spinner: rich would want ipywidgets for it, and warn at each of its turns.
    """
    options: dict[str, Any] = {"stderr": True, "emoji": False, "markup": False}
    console = Console(**options)
    return Console(**options, force_jupyter=False, force_terminal=False) if console.is_jupyter else console


class PlainTable(Table):
    """A table whose texts are shown as they stand, whatever console prints it; a cell with a style is a `Text`."""

    def __init__(self, *heads: str, title: str | None = None, **kwargs: Any) -> None:
        super().__init__(*heads, title=None if title is None else Text(title), **kwargs)

    def add_column(self, header: RenderableType = "", *args: Any, **kwargs: Any) -> None:
        """Add a column; see `rich.table.Table.add_column`."""
        super().add_column(_as_it_stands(header), *args, **kwargs)

    def add_row(self, *cells: RenderableType | None, **kwargs: Any) -> None:
        """Add a row; see `rich.table.Table.add_row`."""
        super().add_row(*map(_as_it_stands, cells), **kwargs)


def _as_it_stands(cell: Any) -> Any:
    return Text(cell) if isinstance(cell, str) else cell


def simple_table(caption: str | None, heads: Sequence[str], first: str = "agent", names: Sequence[str] = ()) -> Table:
    """A table without a frame: the first column to the left, the others to the right.

    The first column has room for `names`, up to `NAME_WIDTH`, before the others get theirs.
    """
    table = PlainTable(
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
    """A bar an agent on a terminal; elsewhere a line when an agent is through, and one each ten seconds until then.

    Yields a function that is called with an agent's name and the number of episodes it has just finished, 0 after a
    step in which none ended.
    """
    console = status_console()
    if not console.is_terminal:
        done, steps, begin = dict.fromkeys(names, 0), dict.fromkeys(names, 0), time.perf_counter()
        told = begin

        def line(name: str, n: int) -> None:
            nonlocal told
            done[name] += n
            steps[name] += 1
            now = time.perf_counter()
            if done[name] >= episodes:
                text = f"{name}: {episodes} episodes"
            elif now - told >= LINES_S:
                text = f"{name}: {done[name]} of {episodes} episodes, {steps[name]} steps"
            else:
                return
            told = now
            print(f"{text} ({now - begin:.0f} s since the start)", file=sys.stderr, flush=True)

        yield line
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
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
