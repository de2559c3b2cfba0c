"""Errors about a name that nobody knows: what it may have been meant to be, and what there is."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest to `name`, case and the number of blanks apart; None where none is near."""
    by_plain = {but_for_case(other): other for other in known}
    plain = but_for_case(name)
    close = [plain] if plain in by_plain else get_close_matches(plain, by_plain, n=1)
    return by_plain[close[0]] if close else None


def but_for_case(name: str) -> str:
    """A name in which neither case nor the number of blanks tells: two names with the same are alike but for these."""
    return " ".join(name.casefold().split())


def unknown(said: str, name: str, known: Iterable[str], rest: str) -> str:
    """The text of an error: `said`, the known name that is nearest to `name` where one is near, then `rest`.

    `unknown("no 'gapp'", "gapp", ["gap"], "known: gap")` is "no 'gapp'; did you mean 'gap'? Known: gap".
    """
    near = nearest(name, known)
    return f"{said}; {rest}" if near is None else f"{said}; did you mean {near!r}? {rest[:1].upper()}{rest[1:]}"
