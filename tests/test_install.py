"""The core alone, installed from a wheel in a fresh environment: light, it plays every id, it names what extras add."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.installs.venvs import LOCK, ROOT, Venv, project

OTHERS = {"cffi", "cloudpickle", "farama-notifications", "jinja2", "joblib", "markupsafe", "narwhals", "pycparser"}
OTHERS |= {"threadpoolctl", "typing-extensions", "packaging"}
"""What the core's packages bring; narwhals and packaging with some versions of theirs."""


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """An environment with the wheel and nothing that it does not ask for."""
    folder = tmp_path_factory.mktemp("core")
    build = [sys.executable, str(ROOT / ".ci" / "build.py"), "--no-isolation", "--outdir", str(folder / "dist")]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(build, check=True, capture_output=True, env=environment)
    (wheel,) = (folder / "dist").glob("*.whl")
    venv = Venv(folder / "venv")
    if venv.run(
        "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "-c", str(LOCK), "pettingzoo"
    ).returncode:
        pytest.skip("no package index can be reached")
    venv.install(str(wheel))
    return venv


@pytest.mark.slow
def test_core__is_light(core: Venv) -> None:
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in core.packages()}
    own = {dependency.split(">")[0] for dependency in project()["dependencies"]}
    assert own | {"stormgym"} <= names
    assert sorted(names - own - OTHERS - {"stormgym"}) == []
    assert core.megabytes() < 400


@pytest.mark.slow
def test_core__plays_every_id_from_another_folder(core: Venv, tmp_path: Path) -> None:
    script = str(ROOT / "benchmarks" / "installs" / "core_play.py")
    played = core.run("-P", script, STORMGYM_CACHE=str(tmp_path / "cache"))
    assert played.returncode == 0, played.stderr


@pytest.mark.slow
def test_core__has_the_command_which_names_the_extra(core: Venv) -> None:
    asked = subprocess.run([str(core.bin / "stormgym"), "train"], check=False, text=True, capture_output=True)
    assert asked.returncode == 2
    assert asked.stderr.strip().endswith('which the extra "agents" brings: pip install "stormgym[agents]"')
