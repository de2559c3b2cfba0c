"""The sdist and the wheel: the same bytes from the same source, and all that the package needs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("envs", "agents", "predictors")
OTHERS = ("src", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "constraints.txt", "train.py", "evaluate.py")
OTHERS += ("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md")


def copy_source(folder: Path, *, private: bool) -> Path:
    """A copy of what is built; `private`: nobody else can read it, and its files are of another time."""
    ignored = shutil.ignore_patterns("__pycache__")
    folder.mkdir()
    for name in (*FLOORS, *OTHERS):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored, symlinks=True)
        else:
            shutil.copy2(ROOT / name, folder / name)
    for file in folder.rglob("*") if private else ():
        if not file.is_symlink():
            file.chmod(0o700 if file.is_dir() else 0o600)
            os.utime(file, (1_234_567_890, 1_234_567_890))
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders with what was built twice, from copies of other modes and times."""
    base = tmp_path_factory.mktemp("built")
    outs = []
    for name in ("first", "second"):
        source = copy_source(base / name, private=name == "second")
        outs.append(base / f"{name}-dist")
        command = [sys.executable, str(ROOT / ".ci" / "build.py"), "--source", str(source), "--no-isolation"]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        done = subprocess.run(
            [*command, "--outdir", str(outs[-1])], check=False, text=True, capture_output=True, env=environment
        )
        assert done.returncode == 0, done.stderr
    return outs


@pytest.mark.slow
def test_build__twice_gives_the_same_bytes(built: list[Path]) -> None:
    digests = [{file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in out.iterdir()} for out in built]
    assert len(digests[0]) == 2
    assert digests[0] == digests[1]


def test_wheel__holds_every_file_of_the_floors_and_the_command(built: list[Path]) -> None:
    (wheel,) = built[0].glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    files = [file for floor in FLOORS for file in (ROOT / floor).rglob("*") if file.is_file()]
    files = [file for file in files if "__pycache__" not in file.parts]  # of Python and of Numba
    wanted = {f"stormgym/{file.relative_to(ROOT).as_posix()}" for file in files}
    assert sorted(wanted - names) == []
    assert not [name for name in names if not name.startswith("stormgym")]
    assert "stormgym = stormgym.__main__:main" in entry_points


def test_sdist__holds_the_command_lines_and_the_lock_and_no_tests(built: list[Path]) -> None:
    (sdist,) = built[0].glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    assert {name for name in OTHERS if name != "src"} <= names
    assert not [name for name in names if name.startswith("tests")]
    assert {(member.uid, member.mtime) for member in members} == {(0, 1_700_000_000)}
