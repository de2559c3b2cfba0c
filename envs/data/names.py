"""What may be a name (of a region, a group, a feature, a job): text that a file gives back as it was."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from stormgym.envs.data.errors import DataError
from stormgym.envs.data.sizes import MAX_NAME
from stormgym.envs.spelling import nearest

NAME_RULE = f"a name must be 1 to {MAX_NAME:,} characters, with no white space at its ends and no control character"


def name_fault(name: str) -> str | None:
    """What is wrong with a name, in words; None where nothing is."""
    if not name.strip():
        return "it is blank"
    if len(name) > MAX_NAME:
        return f"it has {len(name):,} characters"
    if name != name.strip():
        return "white space stands at its end" if name == name.lstrip() else "white space stands at its beginning"
    if name.isprintable():
        return None
    for character in name:
        kind = unicodedata.category(character)
        if kind in ("Cc", "Cs"):
            what = "control character" if kind == "Cc" else "half of a character (lone surrogate)"
            return f"it holds the {what} U+{ord(character):04X}"
    return None


def check_names(names: Iterable[str], what: str) -> None:
    """Raise a `DataError` for the first text that is no name.

    Args:
        names: the texts.
        what: they are, for the message.
    """
    for name in names:
        fault = name_fault(name)
        if fault is not None:
            raise DataError(f"{what}: {NAME_RULE}; got {shown(name)}: {fault}. Rename it.")


def meant(name: str, names: Iterable[str]) -> str:
    """The question "Did you mean 'X'? " with the nearest of `names`; empty where none is near."""
    near = nearest(name, names)
    return "" if near is None else f"Did you mean {near!r}? "


def printable(name: str) -> str:
    """A name in which every control character and lone surrogate is a question mark."""
    return "".join("?" if unicodedata.category(c) in ("Cc", "Cs") else c for c in name)


def shown(value: object, most: int = 200) -> str:
    """A value as Python writes it, cut where it is long: for messages."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"
