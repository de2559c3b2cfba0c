"""Fuzz one file of one reader in this process; `benchmarks.hostile.fuzz` starts it."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris  # no stub and no dependency: see benchmarks.hostile.fuzz
import numpy as np

INSTRUMENTED = (
    "stormgym.envs.data",
    "stormgym.envs.dispatch.folder",
    "stormgym.agents.runs",
    "stormgym.agents.storage",
)
with atheris.instrument_imports(include=list(INSTRUMENTED)):  # libFuzzer sees branches of these only
    from benchmarks.hostile.edits import CLASSES
    from benchmarks.hostile.fuzz import Settings, name_of
    from benchmarks.hostile.playing import MISTAKES, outcome_of, read
    from benchmarks.hostile.readers import READERS, Reader
    from stormgym.agents.files import write_atomically

N_BEGINNINGS = 60
MOST_BYTES = 20_000
OF_BYTES = 0.2
"""Share of inputs that libFuzzer makes of another by bytes alone; the others are edits of a table or of JSON."""


def fuzz(reader: Reader, file: str, settings: Settings) -> None:
    """Fuzz one file of a reader in this process; does not return."""
    corpus = settings.corpus / name_of(reader, file)
    corpus.mkdir(parents=True, exist_ok=True)
    settings.found.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    reader.write(folder)
    whole = (folder / file).read_bytes()
    good = read(reader, folder)
    (corpus / "good").write_bytes(whole)
    for i in range(N_BEGINNINGS):
        edit = list(CLASSES.values())[i % len(CLASSES)]
        (corpus / f"edit-{i}").write_bytes(edit(whole, np.random.default_rng((settings.seed, i)))[:MOST_BYTES])
    state: dict[str, Any] = {"inputs": 0, "outcomes": {}}

    def once(data: bytes) -> None:
        (folder / file).write_bytes(data)
        outcome = outcome_of(reader, folder, good)
        state["inputs"] += 1
        state["outcomes"][outcome.kind] = state["outcomes"].get(outcome.kind, 0) + 1
        if outcome.kind in MISTAKES:
            _keep(settings.found, name_of(reader, file), outcome.kind, outcome.told, data)
        if state["inputs"] % 500 == 0:
            write_atomically(corpus.parent / f"{corpus.name}.json", json.dumps(state))

    seconds = int(60 * settings.minutes)
    options = (f"-max_total_time={seconds}", f"-seed={settings.seed}", f"-max_len={MOST_BYTES}", "-verbosity=0")
    atheris.Setup([sys.argv[0], *options, str(corpus)], once, custom_mutator=mutate)
    atheris.Fuzz()


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """Another input, made of one: an edit of one of the classes, or what libFuzzer does to bytes."""
    rng = np.random.default_rng(seed)
    if rng.random() > OF_BYTES:
        edit = list(CLASSES.values())[int(rng.integers(len(CLASSES)))]
        try:
            return edit(data, rng)[:most]
        except (ValueError, IndexError, RecursionError, TypeError, KeyError):  # neither a table nor JSON any more
            pass
    made: bytes = atheris.Mutate(data, most)
    return made


def _keep(found: Path, name: str, kind: str, told: str, data: bytes) -> None:
    """Keep a mistake, the first of its place."""
    place = told.split(":")[0] if kind == "unclear" else ":".join(told.split(":")[:2])
    file = found / f"{name}--{''.join(c if c.isalnum() else '-' for c in place)[:80]}"
    if not file.with_suffix(".txt").exists():
        file.with_suffix(".txt").write_text(f"{kind}: {told}\n", encoding="utf-8", errors="replace")
        file.with_suffix(".bytes").write_bytes(data)


if __name__ == "__main__":
    given = Settings(**{**json.loads(sys.argv[1]), "corpus": Path(sys.argv[2]), "found": Path(sys.argv[3])})
    fuzz(*next((r, f) for r in READERS for f in r.files if name_of(r, f) == sys.argv[4]), given)
