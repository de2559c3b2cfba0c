"""Packages that only an extra brings: what lacks one says so in one sentence, with the command that brings it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec


class MissingExtraError(ModuleNotFoundError):
    """A package of an extra is not installed; the message says what needs it and how to install it."""


def require(what: str, packages: str | Sequence[str], extra: str) -> None:
    """Raise unless packages can be imported; nothing is imported.

    Args:
        what: what needs them, as the subject of a sentence.
        packages: names to import.
        extra: the extra of stormgym that brings them.

    Raises:
        MissingExtraError: a package is not installed.
    """
    names = [packages] if isinstance(packages, str) else packages
    missing = [name for name in names if not is_installed(name)]
    if missing:
        raise MissingExtraError(
            f'{what} needs {", ".join(missing)}, which the extra "{extra}" brings: pip install "stormgym[{extra}]"',
            name=missing[0],
        )


def is_installed(package: str) -> bool:
    """Whether a package can be found."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # a parent is missing; a name set to None in sys.modules
        return False
