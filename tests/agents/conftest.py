"""What tests of agents share."""

import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def main_of(script: str) -> Callable[..., int]:
    """The `main(words)` of a command line at the repository's root, which returns the exit code."""
    name = f"stormgym_command_line_{script.removesuffix('.py')}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, ROOT / script)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_from_spec(spec)  # dataclasses and tyro look their module up by name
        spec.loader.exec_module(sys.modules[name])
    main: Callable[..., int] = sys.modules[name].main
    return main


@pytest.fixture(scope="session")
def evaluate_main() -> Callable[..., int]:
    """The command line `evaluate.py`."""
    return main_of("evaluate.py")


@pytest.fixture(scope="session")
def train_main() -> Callable[..., int]:
    """The command line `train.py`."""
    return main_of("train.py")
