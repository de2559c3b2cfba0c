"""The package itself: light import, public names, doctests."""

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stormgym.predictors as predictors


def test_import__loads_no_scikit_learn_or_pandas():
    code = (
        "import sys, stormgym.predictors; "
        "sys.exit([m for m in ('sklearn', 'quantile_forest', 'pandas', 'torch') if m in sys.modules] or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_names__every_public_name_is_there():
    for name in predictors.__all__:
        assert getattr(predictors, name).__module__.startswith("stormgym.predictors.")
    assert set(predictors.__all__) <= set(dir(predictors))


def test_names__a_function_is_not_hidden_by_its_module():
    code = "from stormgym.predictors import CrossFit, cross_fit; assert callable(cross_fit), cross_fit"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "first",
    ["import stormgym.predictors.cross_fit", "from stormgym.predictors.cross_fit import PREDICTORS", "import stormgym"],
)
def test_cross_fit__is_the_function_whatever_loaded_its_module_before(first: str) -> None:
    code = f"{first}; from stormgym.predictors import cross_fit; assert callable(cross_fit), cross_fit"
    code += "; import stormgym.predictors as p; assert p.cross_fit is cross_fit"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names__unknown_name_lists_the_known():
    with pytest.raises(AttributeError, match=r"no attribute 'LSTM'; it offers CQR, ECQR"):
        predictors.LSTM  # noqa: B018  reading the attribute is the test


@pytest.mark.parametrize("module", ["checks", "conformal", "coverage", "cross_fit", "quantile_models"])
def test_docstrings__examples_run(module):
    found = doctest.testmod(importlib.import_module(f"stormgym.predictors.{module}"))
    assert found.failed == 0
    if module in ("conformal", "coverage"):
        assert found.attempted > 0


@pytest.mark.slow
def test_docs__python_blocks_run(capsys):
    page = Path(__file__).resolve().parents[2] / "docs" / "predictors.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {})  # our own documentation
    assert "coverage" in capsys.readouterr().out
