"""Versions of Python, packages and source tree, kept with every run and every evaluation."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "stormgym",
    "gymnasium",
    "numpy",
    "scipy",
    "scikit-learn",
    "quantile-forest",
    "torch",
    "stable-baselines3",
    "sb3-contrib",
)
"""Packages that results depend on."""


def package_versions() -> dict[str, str | None]:
    """Versions of Python and of `PACKAGES`; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def run_versions() -> dict[str, str | None]:
    """The same with the platform, and the commit of the source tree where there is one."""
    return {**package_versions(), "platform": platform.platform(), "commit": _commit()}


def _commit() -> str | None:
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(("git", *arguments), cwd=here, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        commit, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}{' with changes' if changed else ''}"
