"""Names of before on this floor: a module whose names have left it hands them on, with a `DeprecationWarning`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any


def forward(module: str, *places: str, **renamed: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module whose names have moved.

    Args:
        module: its `__name__`.
        *places: modules that hold the names now; the first that has a name gives it.
        **renamed: new names of what is called otherwise now, by the old ones.
    """

    def find(name: str) -> Any:
        wanted = renamed.get(name, name)
        for place in () if name.startswith("_") else places:
            found = getattr(import_module(place), wanted, None)
            if found is not None:
                text = f"{module}.{name} has moved: write from {place} import {wanted}"
                warnings.warn(text, DeprecationWarning, stacklevel=2)
                return found
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find
