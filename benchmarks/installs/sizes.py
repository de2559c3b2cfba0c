"""What the core and every extra weigh: packages, megabytes, CPU seconds to install and to import.

    python -m benchmarks.installs.sizes                      the core, and each extra on its own
    python -m benchmarks.installs.sizes --extras agents dev  only these, and the core
    python -m benchmarks.installs.sizes --docs docs          writes the table into docs/install.md too

Each is installed from a wheel with the lock, in a virtual environment of its own, one at a time. Downloads come on top
of pip's CPU seconds; those of an import are the least of three fresh processes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.installs.venvs import ROOT, Venv, project

IMPORTS = {
    "": "stormgym",
    "agents": "stormgym.agents.lineup",
    "render": "matplotlib.figure",
    "parquet": "pandas",
    "ray": "ray.tune",
    "rllib": "ray.rllib",
    "torchrl": "torchrl.envs",
    "tianshou": "tianshou",
    "minari": "minari",
    "skrl": "skrl",
    "zoo": "rl_zoo3",
    "supersuit": "supersuit",
}
"""What is imported of each extra."""
BEGIN, END = "<!-- sizes: begin (python -m benchmarks.installs.sizes --docs docs) -->", "<!-- sizes: end -->"


class Size(NamedTuple):
    """What one installation is."""

    extra: str
    n_packages: int
    megabytes: float
    install_cpu_s: float
    import_cpu_s: float | None


def measure(wheel: Path, extra: str, folder: Path) -> Size:
    """Install one extra (none: the core) in a new environment, and weigh it."""
    venv = Venv(folder / (extra or "core"))
    seconds = venv.install(f"{wheel}[{extra}]" if extra else str(wheel))
    module = IMPORTS.get(extra)
    cpu = None if module is None else min(import_seconds(venv, module) for _ in range(3))
    return Size(extra, len(venv.packages()), venv.megabytes(), seconds, cpu)


def import_seconds(venv: Venv, module: str) -> float:
    """CPU seconds of an import in a fresh process, the interpreter's own start left out."""
    code = f"import time; t = time.process_time(); import {module}; print('took', time.process_time() - t)"
    done = venv.run("-c", code)
    if done.returncode:
        raise RuntimeError(f"{module} cannot be imported: {done.stderr.strip()[-2_000:]}")
    return float(done.stdout.rpartition("took ")[2])


def as_table(sizes: Sequence[Size]) -> str:
    """The table of docs/install.md."""
    lines = [
        "| `pip install` | packages | MB | CPU s of pip | imports | CPU s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for size in sizes:
        name = f"`stormgym[{size.extra}]`" if size.extra else "`stormgym`"
        cpu = "" if size.import_cpu_s is None else f"{size.import_cpu_s:.1f}"
        module = f"`{IMPORTS[size.extra]}`" if size.extra in IMPORTS else ""
        line = f"| {name} | {size.n_packages} | {size.megabytes:,.0f} | {size.install_cpu_s:.0f} | {module} | {cpu} |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def write_docs(page: Path, table: str) -> None:
    """Put a table between the two marks of a page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", nargs="*", default=None, help="extras to measure beside the core; left out: all")
    parser.add_argument("--docs", type=Path, default=None, help="folder of the pages; writes install.md's table")
    options = parser.parse_args()
    extras = list(project()["optional-dependencies"]) if options.extras is None else options.extras
    sizes = []
    with tempfile.TemporaryDirectory() as name:
        build = [sys.executable, str(ROOT / ".ci" / "build.py"), "--outdir", f"{name}/dist"]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = Path(name, "dist").glob("*.whl")
        for extra in ("", *extras):
            with tempfile.TemporaryDirectory() as folder:
                sizes.append(measure(wheel, extra, Path(folder)))
            print(sizes[-1], file=sys.stderr, flush=True)
    table = as_table(sizes)
    print(table)
    if options.docs is not None:
        write_docs(options.docs / "install.md", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
