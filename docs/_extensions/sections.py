"""The order of pages on the site, kept apart from the pages, which stay plain Markdown for whoever reads them there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

DOMAINS = ("restoration", "crews", "dispatch", "undergrounding", "decisions", "offline")
NOTEBOOKS = (
    "first_storm",
    "own_outage_log",
    "fair_or_fast",
    "intervals",
    "generators_ahead",
    "lines_to_bury",
    "decisions_uncertain",
    "your_rl_library",
)
PAGES: dict[str, tuple[str, ...]] = {
    "index": (
        "quick_start",
        "environments/README",
        "agents",
        "Decisions <decisions>",
        "data",
        "results/README",
        "API <api/README>",
        "Your own <your_own>",
        "libraries",
        "commands",
        "metrics",
        "install",
        "citing",
        "changes",
        "contributing",
        "security",
        "benchmarks",
    ),
    "quick_start": ("tour", "notebooks/README"),
    "notebooks/README": tuple(f"notebooks/{name}" for name in NOTEBOOKS),
    "environments/README": tuple(
        f"environments/{name}" for name in ("restoration", "crews", "dispatch", "undergrounding", "decisions")
    ),
    "agents": ("predictors", "planners_trilevel", "offline", "ray"),
    "data": ("feeds", "data_cards", "robustness"),
    "results/README": (*(f"results/{name}" for name in DOMAINS), "board"),
    **{f"results/{name}": (f"results/tables/{name}*",) for name in DOMAINS},
    "api/README": tuple(
        f"api/{name}"
        for name in (
            "environments",
            "making",
            "data",
            "adapters",
            "predictors",
            "agents",
            "planners",
            "learners",
            "training",
            "evaluation",
            "decisions",
        )
    ),
    "your_own": ("your_own_environment",),
    "libraries": ("libraries/*",),
}
"""Pages below a page, relative to docs/; "Title <page>" where the navigation has less room than the page's title."""


FILES = {
    "changes": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security": "SECURITY.md",
    "benchmarks": "benchmarks/README.md",
}
"""Pages that are files of the repository outside docs/, whose own text only says where they are."""
HOME = {"README.md": "index", **{file: page for page, file in FILES.items()}}
"""Page that stands for a file outside docs/, where a page links to it."""
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def below(page: str) -> str:
    """The hidden table of contents that Sphinx reads at a page's end; empty where nothing stands below it."""
    pages = PAGES.get(page, ())
    lines = [name.replace("<", "</") if name.endswith(">") else f"/{name}" for name in pages]
    glob = ":glob:\n" if any("*" in name for name in pages) else ""
    return f"\n\n```{{toctree}}\n:hidden:\n{glob}\n" + "\n".join(lines) + "\n```\n" if pages else ""


def links(text: str, folder: Path, page: Path, root: Path) -> str:
    """A page's text with its links as they are from the page.

    Args:
        text: Markdown of a file.
        folder: where that file is; its links are relative to it.
        page: file of the page that shows it.
        root: the repository.
    """

    def moved(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        name = os.path.relpath(target, root)
        if name in HOME:
            target = root / "docs" / f"{HOME[name]}.md"
        return f"]({os.path.relpath(target, page.parent)}{match[2] or ''})"

    return LINK.sub(moved, text)


def _read(app: Any, page: str, source: list[str]) -> None:
    root = Path(app.srcdir).resolve().parent
    at = root / "docs" / f"{page}.md"
    file = root / FILES[page] if page in FILES else at
    text = file.read_text(encoding="utf-8") if page in FILES else source[0]
    app.env.note_dependency(str(file), docname=page)
    app.env.note_dependency(__file__, docname=page)
    source[0] = links(text, file.parent, at, root) + below(page)


def _known(app: Any, config: Any) -> None:
    missing = [page for page in PAGES if not (Path(app.srcdir) / f"{page}.md").is_file()]
    if missing:
        raise FileNotFoundError(f"sections.py names pages that are not there: {', '.join(missing)}")


def setup(app: Any) -> dict[str, bool]:
    """Connect to the reading of pages."""
    app.connect("config-inited", _known)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
