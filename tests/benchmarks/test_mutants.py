"""The numbers of mutation testing, as the docs have them."""

import json
from pathlib import Path

import pytest

from benchmarks import mutants


def test_keep__adds_a_module_to_those_that_are_kept(tmp_path: Path) -> None:
    page, kept = tmp_path / "robustness.md", tmp_path / "mutants.json"
    page.write_text("before\n<!-- mutants:begin -->\n<!-- mutants:end -->\nafter\n")
    mutants.keep("conformal", 1_200, 30, tmp_path, kept)
    mutants.keep("equity", 40, 4, tmp_path, kept)
    mutants.keep("conformal", 1_200, 12, tmp_path, kept)
    assert json.loads(kept.read_text())["conformal"] == {"mutants": 1_200, "survived": 12}
    text = page.read_text()
    assert text.startswith("before\n<!-- mutants:begin -->\n| module | mutants | noticed | survived |")
    assert "| `envs/equity.py` | 40 | 36 | 4 |\n| `predictors/conformal.py` | 1,200 | 1,188 | 12 |\n<!-- mu" in text


def test_modules__and_their_tests_are_there() -> None:
    for module, tests in mutants.MODULES.values():
        assert (mutants.ROOT / module).is_file()
        assert all((mutants.ROOT / test).is_file() for test in tests)
    with pytest.raises(SystemExit, match=r"--modules must be of equity, .*; got 'nobody'"):
        mutants.main(["--modules", "nobody"])
