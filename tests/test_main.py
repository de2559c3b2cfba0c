"""The command `stormgym`: what it offers, and that it is train.py and evaluate.py."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import stormgym
from stormgym.__main__ import COMMANDS, main, run
from stormgym.agents.training import pool
from stormgym.envs.data import City

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_help__names_the_commands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)


@pytest.mark.parametrize(("words", "first"), [([], "usage: stormgym COMMAND"), (["tran"], "unknown command 'tran'")])
def test_main__of_no_command_shows_the_usage_as_an_error(
    words: list[str], first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert first in capsys.readouterr().err.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "--env", "Restoration-v0", "--jobs", "2"], "--jobs is for several --seeds"),
        (["evaluate", "--list", "--csv", "plan.csv"], "no use here for --csv"),
    ],
)
def test_commands__are_the_scripts_under_another_name(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"stormgym {words[0]}: {sentence}")
    assert run(words[0], words[1:], prog=f"{words[0]}.py") == 2
    assert capsys.readouterr().err.startswith(f"{words[0]}.py: {sentence}")


def test_version__is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"stormgym {stormgym.__version__}\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert stormgym.__version__ == project["version"]


def test_plan__is_evaluate_with_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    City.synthetic(seed=3, n_regions=6).save(tmp_path)
    words = ["--city", str(tmp_path), "--agents", "nearest"]
    assert main(["plan", *words]) == 0
    plan = capsys.readouterr().out
    assert main(["evaluate", "--plan", *words]) == 0
    assert plan == capsys.readouterr().out
    assert plan.startswith("Plan of nearest")


@pytest.mark.slow
def test_list__is_the_same_from_the_module_and_from_the_script() -> None:
    said = [
        subprocess.run(
            [sys.executable, *command, "--list"], check=True, text=True, capture_output=True, cwd=ROOT
        ).stdout
        for command in (("-m", "stormgym", "evaluate"), ("evaluate.py",))
    ]
    assert said[0] == said[1]
    assert "sta-sac" in said[0]


@pytest.mark.slow
def test_pool__finds_its_script_in_the_source_and_beside_the_installed_package() -> None:
    assert pool.TRAIN == ROOT / "train.py"
    # where `stormgym.agents` is installed, the folder two above it is the package itself
    assert (ROOT / "src" / "stormgym" / pool.TRAIN.name).is_file()
    words = ["--jobs", "2"]
    for script in (pool.TRAIN, ROOT / "src" / "stormgym" / "train.py"):
        done = subprocess.run([sys.executable, str(script), *words], check=False, text=True, capture_output=True)
        assert done.returncode == 2
        assert "--jobs is for several --seeds" in done.stderr
