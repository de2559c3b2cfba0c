"""Where benchmarks put their tables: pages that are generated whole, and blocks of pages that are written by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stormgym.agents.evaluation.figures import save_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE = "<!-- Generated and written whole: change the benchmark, not this page. -->"


@dataclass(frozen=True)
class Page:
    """A generated page of tables, `DOCS/results/tables/NAME.md`."""

    name: str
    title: str
    domain: str
    """The page of `docs/results` that says what the tables mean, without its ending."""

    def file(self, docs: Path) -> Path:
        """Where it is."""
        return docs / "results" / "tables" / f"{self.name}.md"

    def write(self, docs: Path, body: str) -> Path:
        """Write the page and return its file; `body` begins with the command that made the tables."""
        file = self.file(docs)
        file.parent.mkdir(parents=True, exist_ok=True)
        head = f"{NOTE}\n\n# {self.title}\n\nWhat it means: [{self.domain}](../{self.domain}.md)."
        file.write_text(f"{head}\n\n{body.strip()}\n", encoding="utf-8")
        return file


PICTURES = "../../img"
"""Where pictures are, as a generated page names it."""


def save_picture(figure: Figure, docs: Path, name: str, dpi: int = 150) -> None:
    """Write a picture, `DOCS/img/NAME`; the folder is made when it is missing."""
    file = docs / "img" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    save_png(figure, file, dpi=dpi)


def write_summary(docs: Path, name: str, text: str) -> None:
    """Put a domain's small table into its block of `DOCS/results/README.md`."""
    replace_block(docs / "results" / "README.md", name, text)


def replace_block(page: Path, name: str, text: str) -> None:
    """Put `text` between `<!-- name:begin -->` and `<!-- name:end -->` of a page.

    Raises:
        SystemExit: the page lacks a marker.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    old = page.read_text(encoding="utf-8")
    head, found_begin, rest = old.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found_begin and found_end):
        raise SystemExit(f"{page} needs the lines {begin} and {end}, in this order, where the table belongs")
    page.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}", encoding="utf-8")
