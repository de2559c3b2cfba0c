"""Try the package on several Pythons, with the locked versions and with the lowest that pyproject.toml names.

    python -m benchmarks.installs.versions                         Python 3.11 to 3.13, and the lowest versions
    python -m benchmarks.installs.versions --python 3.12 --quick   one of them, without the tests

Each try makes a virtual environment, installs the wheel with what its own tests need (`TESTED_WITH`), plays every
environment (`core_play`) and runs the tests of predictors and environments that need no other extra. Agents are left
out, since torch has no small build for every Python and version; `--extras agents,parquet` tries more where an index
has one. The lowest versions are tried on the lowest Python: newer Pythons have no wheels of them.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.installs.venvs import LOCK, ROOT, Venv, project

PYTHONS = ("3.11", "3.12", "3.13")
TESTED_WITH = ("parquet", "render")
TOOLS = ("pytest", "pytest-xdist", "hypothesis")
TESTED = ("tests/predictors", "tests/envs")
OF_EXTRAS = ("torch", "stable_baselines3", "sb3_contrib", "rich", "tyro", "mapie", "crepes", "cvxpy", "ray", "torchrl")
OF_EXTRAS += ("tianshou", "minari", "skrl", "omnisafe", "gymnasium_robotics", "benchmarks", "stormgym.agents")
"""What a test that needs another extra imports."""


@dataclass(frozen=True)
class Try:
    """One Python with one set of versions."""

    python: str
    versions: str
    """"locked" or "lowest"."""


def lowest_versions() -> str:
    """Constraints that hold every package that pyproject.toml names to its lowest version."""
    settings = project()
    named = [
        *settings["dependencies"],
        *(each for extra in settings["optional-dependencies"].values() for each in extra),
    ]
    bounds = [re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", each) for each in named]
    return "".join(
        sorted({f"{bound[1]}=={bound[2]}\n" for bound in bounds if bound is not None and bound[1] not in TOOLS})
    )


def tests_of_the_core() -> list[str]:
    """Files of tests that import nothing of another extra."""
    files = [file for folder in TESTED for file in sorted((ROOT / folder).rglob("test_*.py"))]
    return [str(file) for file in files if not _imported(file) & {*OF_EXTRAS}]


def _imported(file: Path) -> set[str]:
    """Packages that a file imports, and rooms of stormgym."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        for name in names:
            parts = name.split(".")
            found |= {parts[0], ".".join(parts[:2])}
    return found


def find_python(name: str) -> str | None:
    """The Python of a version ("3.12"), or of a path; None if it does not run (pyenv has names of what it does not)."""
    found = shutil.which(f"python{name}") or shutil.which(name)
    runs = found is not None and not subprocess.run([found, "-c", ""], check=False, capture_output=True).returncode
    return found if runs else None


def attempt(each: Try, wheel: Path, extras: str, folder: Path, quick: bool) -> str:
    """Install and try; returns what to print.

    Raises:
        RuntimeError: something failed; with the end of what it said.
    """
    interpreter = find_python(each.python)
    if interpreter is None:
        return "no such Python here"
    venv = Venv(folder / f"{Path(each.python).name}-{each.versions}", interpreter)
    constraints = LOCK
    if each.versions == "lowest":
        constraints = folder / "lowest.txt"
        constraints.write_text(lowest_versions(), encoding="utf-8")
    seconds = venv.install(f"{wheel}[{extras}]" if extras else str(wheel), constraints=constraints)
    said = f"installed in {seconds:.0f} s CPU"
    cache = {"STORMGYM_CACHE": str(venv.folder / "cache")}
    # with -P the folder of the script, where names of other modules stand, is not searched
    played = venv.run("-P", str(ROOT / "benchmarks" / "installs" / "core_play.py"), **cache)
    if played.returncode:
        raise RuntimeError(played.stderr.strip()[-3_000:])
    said += f"; {len(played.stdout.splitlines())} environments and games played"
    if not quick:
        venv.install(*TOOLS)
        start = time.perf_counter()
        options = (
            "-q",
            "-n",
            "2",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(ROOT),
            "-c",
            str(ROOT / "pyproject.toml"),
        )
        tested = venv.run("-m", "pytest", *options, *tests_of_the_core(), **cache)
        if tested.returncode:
            raise RuntimeError(tested.stdout.strip()[-6_000:])
        said += f"; {tested.stdout.strip().splitlines()[-1]} in {time.perf_counter() - start:.0f} s"
    return said


def main() -> int:
    """Try all; returns how many failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=list(PYTHONS), metavar="X.Y", help="Pythons to try, or paths")
    parser.add_argument("--versions", nargs="+", default=["locked", "lowest"], choices=["locked", "lowest"])
    parser.add_argument("--extras", default=",".join(TESTED_WITH), help="extras to install")
    parser.add_argument("--quick", action="store_true", help="play every environment, and run no tests")
    options = parser.parse_args()
    tries = [Try(python, "locked") for python in options.python if "locked" in options.versions]
    tries += [Try(options.python[0], "lowest")] if "lowest" in options.versions else []
    n_failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, str(ROOT / ".ci" / "build.py"), "--outdir", str(folder / "dist")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = (folder / "dist").glob("*.whl")
        for each in tries:
            try:
                said = attempt(each, wheel, options.extras, folder, options.quick)
            except RuntimeError as error:
                n_failed, said = n_failed + 1, f"FAILED\n{error}"
            print(f"Python {each.python}, {each.versions} versions: {said}", flush=True)
    return n_failed


if __name__ == "__main__":
    sys.exit(main())
