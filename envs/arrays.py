"""Types of arrays that environments and agents speak in: those of the predictors, and the observation."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import NDArray

from stormgym.predictors.arrays import Bools, Floats, Ints

__all__ = ["Bools", "Floats", "Ints", "Observation", "read_only"]

Observation = dict[str, NDArray[Any]]
"""What an agent sees, by name; a batch of them has a leading axis B in every array."""

T = TypeVar("T", bound=NDArray[Any])


def read_only(array: T) -> T:
    """A copy of an array that nobody can change, for records that leave an environment."""
    copy = array.copy()
    copy.setflags(write=False)
    return copy
