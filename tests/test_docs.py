"""The documentation site: docstrings in Markdown, links of pages, the check of links, and pages in a real browser.

Tests in a browser look at a site that was built before: python .ci/site.py, or STORMGYM_SITE=FOLDER.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(os.environ.get("STORMGYM_SITE", ROOT / "build" / "site"))
CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), None)
ALONE = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
"""Chromium with nobody to talk to."""


def load(file: Path) -> ModuleType:
    """A script that is no part of the package, as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pytest.importorskip("docutils", reason="Sphinx is not installed: the extra docs")
api_links = load(ROOT / "docs" / "_extensions" / "api_links.py")
docstrings = load(ROOT / "docs" / "_extensions" / "markdown_docstrings.py")
sections = load(ROOT / "docs" / "_extensions" / "sections.py")
site = load(ROOT / ".ci" / "site.py")


@pytest.mark.parametrize(
    ("markdown", "rst"),
    [
        ("Largest |A x - b| of `[B]` *all*.", r"Largest \|A x - b\| of \ ``[B]``\  \*all\*."),
        (
            "Ends in a_ or `b_`, see `group_pairs`.",
            "Ends in a\\_ or \\ :py:obj:`b_`\\ , see \\ :py:obj:`group_pairs`\\ .",
        ),
        ("[NumPy](https://numpy.org) arrays", "`NumPy <https://numpy.org>`__ arrays"),
    ],
)
def test_docstrings__characters_of_restructuredtext_are_escaped(markdown: str, rst: str) -> None:
    assert docstrings.as_rst([markdown]) == [rst]


def test_docstrings__headings_tables_lists_and_code_are_rewritten_and_sections_left() -> None:
    text = """One line.

    code = 1
    more = 2

Steps:
- first
- second

## Arguments
| key | unit |
| --- | --- |
| `x_km` | km |

Args:
    city: a name.
        Or a folder.

>>> 1 + 1
2"""
    rst = "\n".join(docstrings.as_rst(text.split("\n")))
    assert ".. code-block:: text\n\n    code = 1\n    more = 2\n" in rst
    assert "Steps:\n\n- first\n- second" in rst
    assert ".. rubric:: Arguments" in rst
    assert (
        ".. list-table::\n   :header-rows: 1\n\n   * - key\n     - unit\n   * - \\ :py:obj:`x_km`\\\n     - km" in rst
    )
    assert "Args:\n    city: a name.\n        Or a folder." in rst
    assert ">>> 1 + 1\n2" in rst


def test_signatures__have_names_of_types_and_no_addresses() -> None:
    text = "(a: Mapping[str, TypeAliasForwardRef('Floats')] = <factory>, b: int = 3, rule=<function f at 0x7f12>)"
    assert api_links.readable(text) == "(a: Mapping[str, Floats] = ..., b: int = 3, rule=...)"


def test_source_pages__link_back_only_to_where_a_name_is_described() -> None:
    link = '<a class="viewcode-back" href="../api/{page}.html#{name}">[docs]</a>'
    good = link.format(page="making", name="m.gap")
    body = good + link.format(page="making", name="m.unknown") + link.format(page="data", name="m.gap") + "<p>def</p>"
    assert api_links.without_strays(body, {"m.gap": "api/making.html"}) == good + "<p>def</p>"


def test_docstrings__no_environment_has_markdown_left_after_rewriting() -> None:
    from stormgym.envs.crews.env import CrewDispatchEnv
    from stormgym.envs.restoration.env import RestorationEnv

    for env in (RestorationEnv, CrewDispatchEnv):
        rst = docstrings.as_rst((env.__doc__ or "").split("\n"))
        assert not [line for line in rst if re.match(r"\s*(#|\|)", line)]


def test_links__of_files_elsewhere_lead_to_their_pages() -> None:
    text = (
        "[a](docs/agents.md#evaluate) [b](SECURITY.md) [c](https://x.org/README.md) [d](README.md) [e](examples/x.py)"
    )
    page = ROOT / "docs" / "contributing.md"
    assert sections.links(text, ROOT, page, ROOT) == (
        "[a](agents.md#evaluate) [b](security.md) [c](https://x.org/README.md) [d](index.md) [e](../examples/x.py)"
    )


def test_sections__every_page_of_the_docs_has_its_place() -> None:
    listed = {name.split("<")[-1].rstrip(">") for names in sections.PAGES.values() for name in names}
    pages = {str(file.relative_to(ROOT / "docs").with_suffix("")) for file in (ROOT / "docs").rglob("*.md")}
    homeless = {page for page in pages if not any(Path(page).match(pattern) for pattern in listed)}
    assert homeless == {"index"}


def test_api__has_every_module_that_the_guides_name() -> None:
    described = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "docs" / "api").glob("*.md"))
    modules = set(re.findall(r"auto(?:module|class):: (stormgym[\w.]+)", described))
    guides = [file for file in (ROOT / "docs").rglob("*.md") if file.parent.name != "api"]
    imported = {
        name
        for file in guides
        for name in re.findall(r"^from (stormgym[\w.]+) import", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(imported) > 20
    assert {name for name in imported if not any(m.startswith(name) or name.startswith(m) for m in modules)} == set()


def test_citing__is_what_citation_cff_says() -> None:
    page, cff = ((ROOT / name).read_text(encoding="utf-8") for name in ("docs/citing.md", "CITATION.cff"))
    for title in re.findall(r'title: "(?!Proceedings)(.+)"', cff):
        assert f"title = {{{title}}}" in page
    version = re.search(r"^version: (.+)$", cff, re.MULTILINE)
    assert version is not None
    assert f"version = {{{version[1]}}}" in page


def test_link_check__finds_missing_files_and_anchors(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="here"></p><a href="#here"></a><a href="b.html#there"></a><img src="c.png">'
    )
    (tmp_path / "b.html").write_text('<a href="a.html#gone"></a><a href="https://x.org/y"></a><a href="a.html#here">')
    assert site.broken_links(tmp_path) == ["a.html: b.html#there", "a.html: c.png", "b.html: a.html#gone"]


PAGES = {
    "index": (".sd-card", "img[src*='restoration.gif']"),
    "quick_start": ("pre", "#train-an-agent"),
    "notebooks/first_storm": (".cell_input", ".cell_output table.dataframe", ".cell_output img", "a.download"),
    "notebooks/own_outage_log": (".cell_output pre", ".cell_output img"),
    "environments/README": ("table", "img[src*='crews.gif']"),
    "environments/crews": ("table", "#version-history"),
    "agents": ("table", "#evaluate"),
    "data": ("#checking-a-folder",),
    "results/README": ("table",),
    "metrics": ("table",),
    "changes": ("#unreleased",),
    "citing": ("pre",),
    "api/environments": ("dl.py.class", "a[href*='_modules/stormgym/envs/restoration/env.html']", "table"),
    "api/making": ("dl.py.function", ".field-list"),
}
"""Main pages, and what must be on them."""


@pytest.mark.parametrize("name", sections.NOTEBOOKS)
def test_notebooks__are_executed_small_and_can_be_downloaded(name: str) -> None:
    file = SITE / "notebooks" / f"{name}.html"
    if not file.is_file():
        pytest.skip("the site is not built: python .ci/site.py, or name it by STORMGYM_SITE")
    text = file.read_text(encoding="utf-8")
    if "cell_output" not in text:
        pytest.skip("the site was built without notebooks")
    assert 'class="output stderr' not in text  # no warning of a library
    (download,) = re.findall(r'href="([^"]+\.ipynb)"', text)
    cells = json.loads((file.parent / download).read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    last = [cell for cell in cells if cell["cell_type"] == "code"][-1]
    assert any("image/png" in output.get("data", {}) for output in last["outputs"]), "no picture at its end"
    assert 0 < max(map(len, pictures)) * 3 // 4 < 100_000
    assert len(text) < 100_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, where there is one."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    if not (SITE / "index.html").is_file():
        pytest.skip("the site is not built: python .ci/site.py, or name it by STORMGYM_SITE")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ALONE.split())
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages__have_their_parts_and_say_no_error(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    for name, parts in PAGES.items():
        page.goto((SITE / f"{name}.html").as_uri())
        for part in parts:
            assert page.locator(f"article {part}").count() > 0, (name, part)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, (name, width)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        shot = page.screenshot(path=tmp_path / f"{Path(name).name}.png")
        assert len(shot) > 10_000  # no blank page
    context.close()
    assert said == []


def test_search__finds_a_page(browser: Any) -> None:
    page = browser.new_page()
    page.goto((SITE / "search.html").as_uri() + "?q=undergrounding")
    results = page.locator("#search-results li > a")
    results.first.wait_for(timeout=20_000)  # they come one by one, the best first
    assert results.first.inner_text().startswith("Undergrounding-v0")
    page.close()


def test_navigation__opens_on_a_phone(browser: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto((SITE / "environments" / "restoration.html").as_uri())
    page.locator("button.primary-toggle").click()
    entry = page.locator("#pst-primary-sidebar-modal a, dialog a", has_text="CrewDispatch-v0").first
    entry.wait_for(state="visible", timeout=10_000)
    entry.click()
    page.wait_for_url("**/crews.html")
    context.close()
