"""Every generated page of the docs is what the collected results give, to the letter."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.kit.cells import Cells
from benchmarks.pages import BENCHMARKS
from benchmarks.pages import main as write_all

ROOT = Path(__file__).resolve().parents[2]
DOCS, RESULTS = ROOT / "docs", ROOT / "benchmarks" / "results"
PAGES = {file.name for file in (DOCS / "results" / "tables").iterdir()}


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """Names of the pages that the benchmarks have written so far -> by which."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda module: module.BENCHMARK)
def test_pages__are_those_of_the_collected_results(
    benchmark: ModuleType, tmp_path: Path, written: dict[str, str]
) -> None:
    docs = tmp_path / "docs"
    front = docs / "results" / "README.md"
    front.parent.mkdir(parents=True)
    shutil.copy(DOCS / "results" / "README.md", front)
    benchmark.write_pages(Cells(benchmark.BENCHMARK, RESULTS, None), docs)
    assert front.read_text() == (DOCS / "results" / "README.md").read_text()
    made = {file.name: file.read_bytes() for file in (docs / "results" / "tables").iterdir()}
    assert made
    for name, content in made.items():
        assert content == (DOCS / "results" / "tables" / name).read_bytes(), f"{name}: run python -m benchmarks.pages"
    assert not made.keys() & written.keys()
    written.update(dict.fromkeys(made, benchmark.BENCHMARK))


def test_pages__all_of_them_are_generated(written: dict[str, str]) -> None:
    if len(set(written.values())) < len(BENCHMARKS):
        pytest.skip("needs the tests above")
    assert set(written) == PAGES


def test_pages__of_benchmarks_that_never_ran_are_left_out(docs: Path, tmp_path: Path) -> None:
    assert write_all(["--docs", str(docs), "--results", str(tmp_path)]) == 0
    assert not (docs / "results" / "tables").exists()
