"""What is measured at once, and how it is kept: a cell has a key, a result and a stamp.

A benchmark is made of cells: one seed of one setting, one policy on the storms of one city. The key of a cell names all
that decides its result, so what is there under its key is not measured again, and a changed setting is another cell.

A result goes to a small file of its own as soon as it is measured (`runs/cells/BENCHMARK/KEY.json`, which git does not
track), whole or not at all: a benchmark that is killed loses the cell under way and nothing else, and the same command
goes on. `Cells.collect` then puts results into few files that git tracks: `benchmarks/results/BENCHMARK.json`, or
`BENCHMARK-CITY.json` for keys `CITY/...`, a JSON object with one line a cell, sorted by key. Where both have a cell of
one key the small file wins: it was measured later. What a page is made of (settings, keys) is kept in the same way, as
the cell `page`, so that `python -m benchmarks.pages` can write every page again from the collected files alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from stormgym.agents.evaluation.summary import plain
from stormgym.agents.files import write_atomically
from stormgym.agents.versions import run_versions

RESULTS = Path("benchmarks/results")
LOCAL = Path("runs/cells")
PAGE = "page"
"""Key of what a benchmark's page is made of."""
STAMPED = ("python", "stormgym", "numpy", "torch", "stable-baselines3", "commit")
"""Versions that a cell is stamped with."""


def digest(text: str, length: int = 10) -> str:
    """The first hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def key_of(title: str, content: Any) -> str:
    """`TITLE-DIGEST`: what a reader looks for, and a digest of all that decides a result."""
    return f"{title.replace(':', '-')}-{digest(json.dumps(content, sort_keys=True))}"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is measured at once. A subclass has a field for all that decides the result, of what JSON can hold."""

    FORMAT: ClassVar[int] = 1
    """Raise it when what is measured changes while the fields stay the same."""

    @property
    def title(self) -> str:
        """What a reader looks for in the key."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """The cell's name in files."""
        return key_of(self.title, [self.FORMAT, asdict(self)])


C = TypeVar("C", bound=Cell)


@dataclass(frozen=True)
class Kept:
    """A cell as it is kept."""

    cell: dict[str, Any]
    """All that decides the result, for a reader; the key is made of it."""
    result: dict[str, Any]
    made: dict[str, Any] | None
    """Stamp: versions and commit that measured it; None for cells from before there were stamps."""

    def text(self) -> str:
        """The cell as one line; keys keep their order, in which tables show what they name."""
        return json.dumps(asdict(self), separators=(",", ":"), allow_nan=False)


class Cells:
    """The cells of one benchmark: found, kept, collected.

    Args:
        benchmark: its name, as `restoration/table`; no name may be the beginning of another.
        results: folder of the collected files.
        local: folder of the small ones; None finds what is collected, and keeps nothing.
    """

    def __init__(self, benchmark: str, results: Path = RESULTS, local: Path | None = LOCAL) -> None:
        self.benchmark = benchmark
        self.results = results
        self.local = local
        self._collected: dict[Path, dict[str, Kept]] = {}

    def find(self, key: str) -> Kept | None:
        """The cell of this key; None when it has not been measured."""
        if self.local is not None and (file := self._local_file(key)).is_file():
            return _read(file)
        return self._file_of(key).get(key)

    def need(self, key: str) -> Kept:
        """The cell of this key.

        Raises:
            ValueError: it has not been measured.
        """
        kept = self.find(key)
        if kept is None:
            raise ValueError(f"{self.results} holds no cell {key!r} of {self.benchmark}; run the benchmark first")
        return kept

    def keep(self, key: str, cell: dict[str, Any], result: dict[str, Any], made: dict[str, Any] | None = None) -> Kept:
        """Write a cell to its own file, and return it as it will be read.

        Args:
            key: its name.
            cell: all that decides the result.
            result: what was measured.
            made: its stamp; today's when left out.
        """
        kept = Kept(plain(cell), plain(result), plain(made or stamp()))
        write_atomically(self._local_file(key), kept.text() + "\n")
        return _read(self._local_file(key))

    def result(self, cell: C, measure: Callable[[C], dict[str, Any]]) -> dict[str, Any]:
        """The result of a cell: kept, or measured and kept. Either way it is what JSON gives back."""
        kept = self.find(cell.key)
        if kept is None:
            kept = self.keep(cell.key, asdict(cell), measure(cell))
        return kept.result

    def keep_page(self, made_of: dict[str, Any], name: str = PAGE) -> None:
        """Keep and collect what a page is made of: settings, or the keys of its cells."""
        if self.page(name) != plain(made_of):  # the same page is no new one
            self.keep(name, {}, made_of)
        self.collect([name])

    def page(self, name: str = PAGE) -> dict[str, Any] | None:
        """What a page is made of, as it was last asked for; None when it never was."""
        kept = self.find(name)
        return None if kept is None else kept.result

    def all_keys(self) -> list[str]:
        """Keys of all cells, in order."""
        local: list[str] = []
        if self.local is not None:
            folder = self.local / self.benchmark
            local = [file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.json")]
        files = [self._collected_file(None), *self.results.glob(f"{self.benchmark}-*.json")]
        return sorted({*local, *(key for file in files for key in self._file(file))})

    def collect(self, keys: Iterable[str] | None = None) -> list[Path]:
        """Put local cells into the collected files; return the files that changed.

        Args:
            keys: which of them; left out, all.
        """
        self._collected.clear()  # another process may have collected meanwhile
        wanted = self.all_keys() if keys is None else keys
        changed: dict[Path, dict[str, Kept]] = {}
        for key in wanted:
            file = self._collected_file(_city_of(key))
            found, here = self.find(key), changed.get(file, self._file(file))
            if found is not None and here.get(key) != found:
                changed[file] = {**here, key: found}
        for file, cells in changed.items():
            lines = ",\n".join(f"{json.dumps(key)}: {cells[key].text()}" for key in sorted(cells))
            write_atomically(file, f"{{\n{lines}\n}}\n")
            self._collected[file] = cells
        return list(changed)

    def _local_file(self, key: str) -> Path:
        if self.local is None:
            raise ValueError(f"cells of {self.benchmark} are read only here: no folder of local cells is given")
        return self.local / self.benchmark / f"{key}.json"

    def _collected_file(self, city: str | None) -> Path:
        return self.results / (f"{self.benchmark}.json" if city is None else f"{self.benchmark}-{city}.json")

    def _file_of(self, key: str) -> dict[str, Kept]:
        return self._file(self._collected_file(_city_of(key)))

    def _file(self, file: Path) -> dict[str, Kept]:
        """A collected file, read once."""
        if file not in self._collected:
            content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            self._collected[file] = {key: Kept(**cell) for key, cell in content.items()}
        return self._collected[file]


def _city_of(key: str) -> str | None:
    city, slash, _ = key.partition("/")
    return city if slash else None


def _read(file: Path) -> Kept:
    return Kept(**json.loads(file.read_text(encoding="utf-8")))


@lru_cache(maxsize=1)
def stamp() -> dict[str, Any]:
    """What measures today: versions, and the commit of the source tree."""
    found = run_versions()
    return {name: found.get(name) for name in STAMPED}
