"""Checks of arguments that decision problems share."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np


def check_whole(name: str, value: Any, least: int, why: str = "") -> int:
    """A whole number of at least `least`.

    Raises:
        TypeError: no whole number.
        ValueError: below it; `why` is said beside the rule.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}{why}; got {value!r}")
    return int(value)


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
