"""How readers stand hostile inputs: edits of good files by class, and what came of each.

    python -m benchmarks.hostile                          1,500 inputs, two tables
    python -m benchmarks.hostile --inputs 20000 --docs docs    writes the tables into docs/robustness.md too

Every reader meets every class of edits equally often. The same seed gives the same inputs. Exit code 1 if one input was
answered by an error that names no file, by another error, or not in time.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from benchmarks.hostile.edits import CLASSES
from benchmarks.hostile.playing import MISTAKES, OUTCOMES, Outcome, outcome_of, read, spoil
from benchmarks.hostile.readers import READERS, Reader
from benchmarks.kit.tables import markdown, show

PAGE = "robustness.md"
BEGIN, END = "<!-- hostile: begin -->", "<!-- hostile: end -->"
N_INPUTS, SEED = 1500, 0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How readers stand hostile inputs."""

    inputs: int = N_INPUTS
    """Number of inputs, rounded up to the same number for each reader and class."""
    seed: int = SEED
    """Decides the edits."""
    readers: tuple[str, ...] = ()
    """Only these readers; all if none is named."""
    docs: Path | None = None
    """Folder of the docs; writes robustness.md's tables."""


@dataclass(frozen=True)
class Tried:
    """One input and what became of it."""

    reader: str
    kind: str
    number: int
    file: str
    outcome: Outcome


def try_reader(reader: Reader, n_each: int, seed: int) -> list[Tried]:
    """Give a reader `n_each` inputs of every class."""
    tried = []
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name)
        reader.write(folder)
        whole = {file: (folder / file).read_bytes() for file in reader.files}
        good = read(reader, folder)
        for k, kind in enumerate(CLASSES):
            for i in range(n_each):
                rng = np.random.default_rng((seed, READERS.index(reader), k, i))
                file = spoil(reader, whole, folder, kind, rng)
                tried.append(Tried(reader.name, kind, i, file, outcome_of(reader, folder, good)))
    return tried


def table(tried: Sequence[Tried], by: str) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: inputs and outcomes by `reader` or `kind`."""
    names = list(dict.fromkeys(getattr(one, by) for one in tried))
    count = Counter((getattr(one, by), one.outcome.kind) for one in tried)
    heads = ["reader" if by == "reader" else "class of edits", "inputs", *OUTCOMES]
    rows = []
    for name in (*names, "all"):
        found = [sum(count[n, kind] for n in names if name in (n, "all")) for kind in OUTCOMES]
        rows.append([name, f"{sum(found):,}", *(f"{n:,}" for n in found)])
    return heads, rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print the tables and the mistakes; return the exit code."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    chosen = [reader for reader in READERS if reader.name in settings.readers or not settings.readers]
    if not chosen or settings.inputs < 1:
        known = ", ".join(reader.name for reader in READERS)
        raise SystemExit(f"--readers must be of {known}, and --inputs at least 1; got {settings.readers}")
    n_each = -(-settings.inputs // (len(chosen) * len(CLASSES)))
    tried: list[Tried] = []
    for reader in track(chosen, "readers", console=Console(stderr=True), transient=True):
        tried += try_reader(reader, n_each, settings.seed)
    tables = {by: table(tried, by) for by in ("kind", "reader")}
    for heads, rows in tables.values():
        show(heads, rows)
    wrong = [one for one in tried if one.outcome.kind in MISTAKES]
    for one in wrong:
        print(f"{one.outcome.kind}: {one.reader}, {one.file}, {one.kind} {one.number}: {one.outcome.told[:300]!r}")
    if settings.docs is not None:
        _write_docs(settings.docs / PAGE, settings, tables)
    return 1 if wrong else 0


def _write_docs(page: Path, settings: Settings, tables: dict[str, tuple[list[str], list[list[str]]]]) -> None:
    seed = "" if settings.seed == SEED else f" --seed {settings.seed}"
    command = f"Made by `python -m benchmarks.hostile --inputs {settings.inputs}{seed} --docs docs`."
    body = "\n\n".join((command, *(markdown(heads, rows) for heads, rows in tables.values())))
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{body}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
