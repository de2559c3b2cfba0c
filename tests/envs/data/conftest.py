"""What tests of data share."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the city folder `town`, of three regions and four records."""
    return Path(shutil.copytree(Path(__file__).parent / "town", tmp_path / "town"))
