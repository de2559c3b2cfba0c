"""Numbers as they are written elsewhere: decimal commas, marks between thousands. Here it is digits and a point."""

from __future__ import annotations

import re

_SIGN = r"(?P<sign>[+-]?)"
_THOUSANDS = re.compile(_SIGN + r"(?P<whole>[0-9]{1,3}(?:[,_' \u00a0\u202f\u2019][0-9]{3})+)(?P<rest>(?:\.[0-9]*)?)")
_COMMA = re.compile(_SIGN + r"(?P<whole>[0-9]+),(?P<rest>[0-9]+)")
_POINTS_AND_COMMA = re.compile(_SIGN + r"(?P<whole>[0-9]{1,3}(?:[. '\u00a0\u202f\u2019][0-9]{3})+),(?P<rest>[0-9]+)")


def marks_thousands(cell: str) -> bool:
    """Whether a cell is a number with marks between its thousands; `1,2` may be two numbers, and is none."""
    return any(form.fullmatch(cell) for form in (_THOUSANDS, _POINTS_AND_COMMA))


def as_written_here(cell: str) -> str:
    """A sentence on how such a number is written here; empty for any other cell."""
    thousands, comma, both = (form.fullmatch(cell) for form in (_THOUSANDS, _COMMA, _POINTS_AND_COMMA))
    if thousands and comma:  # 1,234
        one = f"{comma['sign']}{comma['whole']}{comma['rest']}"
        return f"Write {one} if the comma marks thousands, {cell.replace(',', '.')} if it is a decimal comma."
    if comma:
        return f"It has a decimal comma: write {cell.replace(',', '.')}."
    if both:
        whole = re.sub("[^0-9]", "", both["whole"])
        return f"It has a decimal comma and marks between thousands: write {both['sign']}{whole}.{both['rest']}."
    if thousands:
        whole = re.sub("[^0-9]", "", thousands["whole"])
        return f"It has marks between thousands: write {thousands['sign']}{whole}{thousands['rest']}."
    return ""
