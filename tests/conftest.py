"""What every test may ask for."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real and reference data (environment variable STORMGYM_DATA); skips when it is absent."""
    folder = Path(os.environ.get("STORMGYM_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder}; set STORMGYM_DATA to its folder")
    return folder
