"""Build the documentation site from docs/ and docstrings, and check its links; no network is used.

    python .ci/site.py                    everything anew, into build/site
    python .ci/site.py --quick            pages that have changed; links from source pages may then be old
    python .ci/site.py --no-notebooks     cells of notebooks as text: they take minutes to execute

A warning of Sphinx is an error (a link to a page, heading or picture that is not there is one), and so is a cell of a
notebook that raises. Afterwards every link in the built pages is followed to its file and its anchor.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
MADE_BY_SCRIPTS = {"#", "#pst-back-to-top"}
"""Anchors that no element carries: the top of the page."""


class Page(HTMLParser):
    """What a page points to, and the anchors that it has."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep links, pictures, scripts and anchors."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.append(value)
            elif name == "id" and value:
                self.anchors.add(value)


def broken_links(site: Path) -> list[str]:
    """A line for every link inside the site that leads nowhere."""
    pages = {file.resolve(): Page(file) for file in sorted(site.rglob("*.html")) if "_static" not in file.parts}
    broken = []
    for file, page in pages.items():
        for target in dict.fromkeys(page.targets):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or target in MADE_BY_SCRIPTS:
                continue
            to = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchor = unquote(parts.fragment)
            if not to.is_file() or (anchor and to in pages and anchor not in pages[to].anchors):
                broken.append(f"{file.relative_to(site.resolve())}: {target}")
    return broken


def main() -> int:
    """Build and check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="folder of the site")
    parser.add_argument("--jobs", default="auto", help="processes side by side")
    parser.add_argument("--quick", action="store_true", help="only pages that have changed")
    parser.add_argument("--no-notebooks", action="store_true", help="execute no notebook")
    options = parser.parse_args()
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", options.jobs, "-b", "html"]
    if not options.quick:
        sphinx += ["-E", "-a"]
        shutil.rmtree(
            options.out / "_modules", ignore_errors=True
        )  # viewcode leaves those that are newer than the source
    if options.no_notebooks:
        # without a kernel nobody says which language cells are in
        sphinx += ["-D", "nb_execution_mode=off", "-D", "suppress_warnings=myst.header,myst-nb.lexer"]
    code = subprocess.run([*sphinx, str(ROOT / "docs"), str(options.out)], check=False).returncode
    if code:
        return code
    broken = broken_links(options.out)
    print(
        "\n".join(broken) or f"{options.out / 'index.html'}: no broken link", file=sys.stderr if broken else sys.stdout
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
