"""Coverage-guided fuzzing of the readers of files: libFuzzer, by way of atheris, looks for bytes that break them.

    pip install atheris
    python -m benchmarks.hostile.fuzz --minutes 60        all readers and files, one after another
    python -m benchmarks.hostile.fuzz --readers city --minutes 5

Each file of each reader is fuzzed by a process of its own, from the good file and 60 edits of it, for an equal share of
the time; what is found of use stays in `--corpus` and is where the next call begins. An error that is a `ValueError`
and names the file is an answer; any other is kept in `--found`, once for each place that raises it, with the bytes that
do it. Exit code 1 if there are any.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.hostile.readers import READERS, Reader
from benchmarks.kit.tables import show


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Coverage-guided fuzzing of readers."""

    minutes: float = 60.0
    """Altogether."""
    readers: tuple[str, ...] = ()
    """Only these readers; all if none is named."""
    corpus: Path = Path("runs/fuzz/corpus")
    """Where inputs of use are kept, one folder a file."""
    found: Path = Path("runs/fuzz/found")
    """Where mistakes are kept, one file each."""
    seed: int = 1
    """Of libFuzzer and the beginnings."""


def name_of(reader: Reader, file: str) -> str:
    """A word for a reader's file."""
    return f"{reader.name}--{file}".replace(" ", "-")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz every file in turn; return the exit code."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    pairs = [(r, f) for r in READERS for f in r.files if r.name in settings.readers or not settings.readers]
    rows = []
    for reader, file in pairs:
        name = name_of(reader, file)
        given = json.dumps({"minutes": settings.minutes / len(pairs), "seed": settings.seed})
        words = [given, str(settings.corpus), str(settings.found), name]
        command = [sys.executable, "-m", "benchmarks.hostile.one_file", *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
        told = settings.corpus / f"{name}.json"
        if not told.exists():
            raise SystemExit(f"{name} could not be fuzzed: {done.stderr.strip()[-2000:]}")
        state = json.loads(told.read_text())
        of_file = list(settings.found.glob(f"{name}--*.txt"))
        rows.append([reader.name, file, f"{state['inputs']:,}", str(len(of_file))])
        print(f"{name}: {state}", file=sys.stderr, flush=True)
    show(["reader", "file", "inputs", "mistakes found"], rows)
    for text in sorted(settings.found.glob("*.txt")):
        print(f"{text.stem}: {text.read_text(errors='replace').strip()[:300]}")
    return 1 if any(settings.found.glob("*.txt")) else 0


if __name__ == "__main__":
    sys.exit(main())
