"""Errors about a name that nobody knows: what it may have been meant to be, and what there is."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(said: str, name: str, known: Iterable[str], rest: str) -> str:
    """The text of an error: `said`, the known name that is nearest to `name` where one is near, then `rest`.

    `unknown("no 'gapp'", "gapp", ["gap"], "known: gap")` is "no 'gapp'; did you mean 'gap'? Known: gap".
    """
    near = get_close_matches(name, list(known), n=1)
    return f"{said}; did you mean {near[0]!r}? {rest[:1].upper()}{rest[1:]}" if near else f"{said}; {rest}"
