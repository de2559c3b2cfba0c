"""What every test may ask for."""

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _name_benchmarks() -> None:
    """Let tests import `benchmarks`, and nothing else of the repository's root, whose names others have as well."""
    spec = spec_from_file_location("benchmarks", ROOT / "benchmarks" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["benchmarks"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["benchmarks"])


_name_benchmarks()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real and reference data (environment variable STORMGYM_DATA); skips when it is absent."""
    folder = Path(os.environ.get("STORMGYM_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder}; set STORMGYM_DATA to its folder")
    return folder
