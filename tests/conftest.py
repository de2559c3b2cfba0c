"""What every test may ask for."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

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
# From here on processes begin as this platform begins them. Else TorchRL, where a test imports it, sets "spawn" for all
# tests after it, whose environments in processes then take a second each to begin.
multiprocessing.get_start_method()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count no branches while slow tests run: the others reach nearly all, and counting can double their time."""
    if config.pluginmanager.hasplugin("pytest_cov"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker("no_cover")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real and reference data (environment variable STORMGYM_DATA); skips when it is absent."""
    folder = Path(os.environ.get("STORMGYM_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder}; set STORMGYM_DATA to its folder")
    return folder


@pytest.fixture(scope="module")
def newsvendor() -> Iterator[ModuleType]:
    """The decision problem `tests/agents/newsvendor.py`, registered; what it registers is taken back at the end."""
    import gymnasium as gym

    from stormgym.agents.registry import AGENTS, DOMAINS

    domains, agents = dict(DOMAINS), dict(AGENTS)
    folder = str(ROOT / "tests" / "agents")
    sys.path.insert(0, folder)
    module = import_module("newsvendor")
    module.register()
    yield module
    sys.path.remove(folder)
    DOMAINS.clear()
    DOMAINS.update(domains)
    AGENTS.clear()
    AGENTS.update(agents)
    del gym.registry[module.ENV_ID]
