"""Digests of source files: what is kept of a fit is never taken for that of other code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent


def digest_of(modules: Iterable[str], folder: Path = FOLDER) -> str:
    """Hash (64 hex digits) of the source of modules of this package.

    Args:
        modules: their names, without the package's.
        folder: where they are.
    """
    return hashlib.sha256(b"\0".join((folder / f"{name}.py").read_bytes() for name in modules)).hexdigest()
