"""What tests of benchmarks may ask for."""

from pathlib import Path

import pytest

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
SUMMARIES = ("restoration", "dispatch", "undergrounding")


@pytest.fixture(scope="session")
def published() -> Path:
    """Folder of the collected results behind the published pages."""
    return RESULTS


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder of docs with the front page of the results, whose small tables benchmarks write."""
    folder = tmp_path / "docs"
    write_front_page(folder)
    return folder


def write_front_page(docs: Path) -> None:
    """Make the front page, with an empty block for each domain."""
    page = docs / "results" / "README.md"
    page.parent.mkdir(parents=True)
    page.write_text("\n".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->" for name in SUMMARIES))


@pytest.fixture(scope="session")
def front_page():  # type: ignore[no-untyped-def]
    """`write_front_page`, for fixtures that live longer than a test."""
    return write_front_page
