"""Measure cells in turn, on one thread, with a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.kit.cells import Cell, Cells
from stormgym.agents.terminal import make_console

C = TypeVar("C", bound=Cell)
R = TypeVar("R")


def measure_parts(
    cells: Cells,
    parts: Mapping[Any, Iterable[C]],
    measure: Callable[[C], dict[str, Any]],
    read: Callable[[dict[str, Any]], R],
    order: Callable[[C], Any] | None = None,
) -> dict[str, dict[C, R]]:
    """Every cell of every part, measured where it is not kept yet; then collect them.

    Args:
        cells: where they are kept.
        parts: cells by part; one that stands there twice is measured once.
        measure: measures one.
        read: makes a result of what is kept.
        order: sorts the cells of a part, so that those that share something costly are in a row.
    """
    torch.set_num_threads(1)
    found: dict[str, dict[C, R]] = {}
    with bar() as progress:
        for part, members in parts.items():
            unique = list(dict.fromkeys(members))
            ordered = unique if order is None else sorted(unique, key=order)
            task = progress.add_task(part, total=len(ordered))
            found[part] = {}
            for cell in ordered:
                found[part][cell] = read(cells.result(cell, measure))
                progress.advance(task)
    cells.collect(cell.key for part in found.values() for cell in part)
    return found


def kept_parts(
    cells: Cells,
    parts: Mapping[str, Iterable[C]],
    read: Callable[[dict[str, Any]], R],
    order: Callable[[C], Any] | None = None,
) -> dict[str, dict[C, R]]:
    """The parts of which every cell is kept, in the order in which `measure_parts` gives them; nothing is measured."""
    found: dict[str, dict[C, R]] = {}
    for part, members in parts.items():
        unique = list(dict.fromkeys(members))
        kept = {cell: cells.find(cell.key) for cell in (unique if order is None else sorted(unique, key=order))}
        if all(kept.values()):
            found[part] = {cell: read(one.result) for cell, one in kept.items() if one is not None}
    return found


@contextmanager
def bar(**options: Any) -> Iterator[Progress]:
    """A bar on standard error: what is being done, how much is done, since when."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=make_console(stderr=True), **options) as progress:
        yield progress
