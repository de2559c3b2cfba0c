"""Checks of arguments that decision problems share."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

MOST_WHOLE = 1_000_000
"""What a size or a count may be."""
MOST_DAYS = 100_000
"""Days of a synthetic record, 270 years."""
MOST_CELLS = 200_000_000
"""Numbers that the data of one problem may hold (1.6 GB)."""


def check_whole(name: str, value: Any, least: int, why: str = "", most: float = MOST_WHOLE) -> int:
    """A whole number of at least `least` and at most `most`.

    Raises:
        TypeError: no whole number.
        ValueError: out of range; `why` is said beside the lower end.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}{why}; got {value!r}")
    if int(value) > most:
        raise ValueError(f"{name} must be at most {most:,}; got {value!r}")
    return int(value)


def check_cells(cells: int, what: str) -> None:
    """Raise `ValueError` where sizes, each in its range, make more numbers than fit; `what` says which multiply."""
    if cells > MOST_CELLS:
        raise ValueError(f"{what} must come to at most {MOST_CELLS:,} numbers; got {cells:,}. Make one smaller")


def check_number(name: str, value: Any, above: float | None = None) -> float:
    """A finite number of at least 0, or above another.

    Raises:
        TypeError: no number.
        ValueError: out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {value!r}")
    number = float(value)
    if above is not None and not above < number < np.inf:
        raise ValueError(f"{name} must be above {above} and finite; got {value!r}")
    if not 0 <= number < np.inf:
        raise ValueError(f"{name} must be at least 0 and finite; got {value!r}")
    return number
