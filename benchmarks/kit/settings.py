"""Options that every benchmark with cells has, and the command that made a table."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from benchmarks.kit.cells import LOCAL, RESULTS, Cells

SMALL = Path("runs/small")
"""Where the small form (`--small`) of a benchmark keeps its results, so that none is collected among the others."""


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """Where results and pages go. A benchmark's Settings is a subclass with its own fields."""

    results: Path = RESULTS
    """Folder of the collected results, few files that git tracks."""
    cells: Path = LOCAL
    """Folder where each result is kept as soon as it is measured, one small file each."""
    docs: Path | None = None
    """Folder of the docs: tables go to its results/tables, pictures to its img. Left out, tables are printed only."""

    HOW: ClassVar[tuple[str, ...]] = ()
    """Options of the subclass that say how the work is done and not what: no table depends on them."""

    def kept(self, benchmark: str) -> Cells:
        """The benchmark's cells."""
        results, cells = self.results, self.cells
        if getattr(self, "small", False):
            results = SMALL / "results" if results == RESULTS else results
            cells = SMALL / "cells" if cells == LOCAL else cells
        return Cells(benchmark, results, cells)

    def decisive(self) -> dict[str, Any]:
        """The options that decide the table, with which `told` makes the same settings again."""
        how = (*self.HOW, *(field.name for field in fields(Keeping)))
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in how}

    @classmethod
    def told(cls, decisive: dict[str, Any], **others: Any) -> Self:
        """Settings from what `decisive` gave, by way of JSON."""
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in decisive.items()}
        return cls(**values, **others)  # type: ignore[arg-type]


Shown = Callable[[str, Any], str]


def command_of(
    module: str, settings: Keeping, default: Keeping, shown: Shown | None = None, always: tuple[str, ...] = ()
) -> str:
    """The command line that makes a table: every decisive option that differs from the default.

    Args:
        module: after `python -m benchmarks.`.
        settings: what the table was made with.
        default: what is left out where `settings` agrees.
        shown: name of an option and its value, or one of a tuple -> how a reader is shown it.
        always: names of options that are shown in any case.
    """
    usual = default.decisive()
    chosen = {name: value for name, value in settings.decisive().items() if value != usual[name] or name in always}
    return command_line(module, chosen, shown)


def command_line(module: str, options: Mapping[str, Any], shown: Shown | None = None) -> str:
    """`python -m benchmarks.MODULE` with these options, by the names that their fields have."""

    def text(value: Any) -> str:
        return shlex.quote(str(value) if shown is None else shown(name, value))

    words = [f"python -m benchmarks.{module}"]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, tuple):
            words += [option, *map(text, value)]
        else:
            words += [option, text(value)]
    return " ".join(words)
