"""Mutation testing of the modules that everything rests on: which changes of a line does no test notice?

    pip install mutmut
    python -m benchmarks.mutants                         all of MODULES, hours
    python -m benchmarks.mutants --modules equity conformal

Mutants are made and tested in a copy of the tree (mutmut follows no links), with the tests that MODULES names.
Survivors are printed as the lines that differ; `--report` keeps them, `--docs docs` the numbers. A survivor is a test
to write, or a change that has no effect.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown, show

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "mutants.json"
"""Numbers of each module, as it was last tested."""
HEADS = ("module", "mutants", "noticed", "survived")
MODULES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "equity": ("envs/equity.py", ("tests/envs/test_equity.py", "tests/envs/test_running_gap.py")),
    "conformal": ("predictors/conformal.py", ("tests/predictors/test_conformal.py",)),
    "multiplier": ("agents/attention/multiplier.py", ("tests/agents/attention/test_multiplier.py",)),
    **{
        name: (f"envs/{name}/process.py", (f"tests/envs/{name}/test_process.py",))
        for name in ("restoration", "dispatch", "undergrounding", "crews")
    },
}
"""Module by name, and the tests that must notice."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Mutation testing."""

    modules: tuple[str, ...] = tuple(MODULES)
    """Names of `MODULES`."""
    processes: int = 1
    """Mutants tested side by side."""
    report: Path | None = None
    """File for the survivors."""
    docs: Path | None = None
    """Folder of the docs: the numbers are kept, and a table of all that are goes into robustness.md."""


def copy_tree(to: Path, module: str, tests: Sequence[str]) -> None:
    """The tree without links, and what mutmut is to do in it."""
    shutil.copytree(ROOT / "src", to / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("tests", "benchmarks", "docs", "examples"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in ("README.md", "train.py", "evaluate.py"):
        shutil.copy(ROOT / name, to / name)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (to / "pyproject.toml").write_text(text.replace("-n auto --dist loadfile", "-p no:xdist"), encoding="utf-8")
    copied = "\n    ".join(("src", "tests", "benchmarks", "docs", "examples", "README.md", "train.py", "evaluate.py"))
    chosen = "\n    ".join(tests)
    (to / "setup.cfg").write_text(
        f"[mutmut]\npaths_to_mutate=src/stormgym/{module}\npytest_add_cli_args_test_selection=\n    {chosen}\n"
        f"also_copy=\n    {copied}\n",
        encoding="utf-8",
    )


def mutmut(folder: Path, *words: str) -> str:
    """Run mutmut in the copy; its output."""
    command = [sys.executable, "-m", "mutmut", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode and words[0] == "run" and "Running mutation testing" not in done.stdout:
        raise SystemExit(f"mutmut could not run: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def survivors(name: str, processes: int) -> tuple[int, list[str]]:
    """Number of mutants of a module, and the lines of each that no test noticed."""
    module, tests = MODULES[name]
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        folder = Path(place)
        copy_tree(folder, module, tests)
        mutmut(folder, "run", "--max-children", str(processes))
        told = [line.strip().rpartition(": ") for line in mutmut(folder, "results", "--all", "true").splitlines()]
        told = [line for line in told if line[0].startswith("stormgym")]
        alive = [mutant for mutant, _, status in told if status in ("survived", "no tests")]
        shown = []
        for mutant in alive:
            lines = mutmut(folder, "show", mutant).splitlines()
            changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("---", "+++")]
            shown.append("\n".join((mutant, *changed)))
    return len(told), shown


def keep(name: str, n: int, survived: int, docs: Path, kept: Path = KEPT) -> None:
    """Keep the numbers of a module, and write the table of all that are kept."""
    numbers = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    numbers[name] = {"mutants": n, "survived": survived}
    kept.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    rows = [
        [f"`{MODULES[m][0]}`", f"{v['mutants']:,}", f"{v['mutants'] - v['survived']:,}", f"{v['survived']:,}"]
        for m, v in ((m, numbers[m]) for m in MODULES if m in numbers)
    ]
    replace_block(docs / "robustness.md", "mutants", markdown(list(HEADS), rows))


def main(arguments: Sequence[str] | None = None) -> int:
    """Test the mutants of each module; print a table and the survivors."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    unknown = [name for name in settings.modules if name not in MODULES]
    if unknown:
        raise SystemExit(f"--modules must be of {', '.join(MODULES)}; got {unknown[0]!r}")
    rows, texts = [], []
    for name in settings.modules:
        n, alive = survivors(name, settings.processes)
        rows.append([name, f"{n:,}", f"{n - len(alive):,}", f"{len(alive):,}"])
        texts += alive
        print(f"{name}: {n} mutants, {len(alive)} survived", file=sys.stderr, flush=True)
        if settings.report is not None:
            settings.report.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
        if settings.docs is not None:
            keep(name, n, len(alive), settings.docs)
    show(list(HEADS), rows)
    print("\n\n".join(texts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
