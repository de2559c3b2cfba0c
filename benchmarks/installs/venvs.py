"""Fresh virtual environments, and what is in them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "constraints.txt"


def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])


class Venv:
    """A virtual environment in a folder.

    Args:
        folder: where it is made.
        interpreter: path of the Python that makes it.
    """

    def __init__(self, folder: Path, interpreter: str = sys.executable) -> None:
        self.folder = folder
        subprocess.run([interpreter, "-m", "venv", str(folder)], check=True)
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = str(self.bin / "python")

    def install(self, *what: str, constraints: Path | None = LOCK) -> float:
        """Install with pip; returns its processor seconds, which depend less on the network than the clock's.

        Raises:
            RuntimeError: pip fails; with the end of what it said.
        """
        lock = () if constraints is None else ("-c", str(constraints))
        before = os.times()
        done = self.run("-m", "pip", "install", "-q", *lock, *what)
        if done.returncode:
            said = (line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("WARNING"))
            raise RuntimeError("\n".join((f"pip cannot install {' '.join(what)}:", *said))[-3_000:])
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run this environment's Python, away from the repository."""
        return subprocess.run(
            [self.python, *arguments],
            check=False,
            text=True,
            capture_output=True,
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )

    def packages(self) -> dict[str, str]:
        """Versions of what is installed beside pip and setuptools, by name."""
        lines = self.run("-m", "pip", "list", "--format=freeze", "--disable-pip-version-check").stdout.split()
        found = dict(line.split("==", 1) for line in lines if "==" in line)
        return {name: version for name, version in found.items() if name not in ("pip", "setuptools")}

    def megabytes(self) -> float:
        """Size of the files, without pip and setuptools."""
        left_out = ("pip", "setuptools", "_distutils_hack", "pkg_resources")
        asked = self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout
        site = Path(asked.strip())
        files = (
            file
            for file in site.rglob("*")
            if file.is_file() and file.relative_to(site).parts[0].split("-")[0] not in left_out
        )
        return sum(file.stat().st_size for file in files) / 1e6
