"""Make the lock anew: versions with which the package and all of its extras install together.

    python -m benchmarks.installs.lock             keeps what is locked, as far as it fits, and adds what is missing
    python -m benchmarks.installs.lock --upgrade   takes the newest versions that fit, but for what is held

pip resolves; nothing is installed. Afterwards run the tests: the lock says what was tested together.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.installs.venvs import LOCK, ROOT, project

HELD = {"torch": "2.13.0"}
"""Versions that --upgrade leaves alone; why is in HEADER."""
HEADER = """\
# The tested lock: every version below ran together on Python 3.11 (pip install -c constraints.txt ...), for the package
# and all of its extras. Made by: python -m benchmarks.installs.lock
# torch stays at 2.13.0: a newer one pulls gigabytes of CUDA on machines without a GPU.
"""


def resolve(constraints: str) -> dict[str, str]:
    """Versions by name with which everything installs, under constraints.

    Raises:
        RuntimeError: there are none; with what pip says.
    """
    extras = ",".join(project()["optional-dependencies"])
    with tempfile.TemporaryDirectory() as folder:
        lock, report = Path(folder) / "lock.txt", Path(folder) / "report.json"
        lock.write_text(constraints, encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", "--report", str(report)]
        done = subprocess.run([*pip, "-c", str(lock), f"{ROOT}[{extras}]"], check=False, text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(f"the extras cannot be installed together: {done.stderr.strip()[-3_000:]}")
        found = [part["metadata"] for part in json.loads(report.read_text(encoding="utf-8"))["install"]]
    # a local version ("2.13.0+cpu") is that of one index
    return {part["name"]: part["version"].split("+")[0] for part in found if part["name"] != "stormgym"}


def as_text(versions: dict[str, str]) -> str:
    """The lines of a lock."""
    return "".join(f"{name}=={versions[name]}\n" for name in sorted(versions, key=str.lower))


def main() -> int:
    """Write the lock."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    options = parser.parse_args()
    old = "\n".join(line for line in LOCK.read_text(encoding="utf-8").splitlines() if re.match(r"[\w.-]+==", line))
    found = resolve(as_text(HELD) if options.upgrade else old)
    LOCK.write_text(HEADER + as_text(found), encoding="utf-8")
    print(f"{LOCK}: {len(found)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
