"""Whether incomes divide places into groups."""

from __future__ import annotations

import warnings

import numpy as np

from stormgym.envs.arrays import Floats, Ints


def warn_of_ties(income: Floats, group: Ints, source: str, what: str = "counties", stacklevel: int = 3) -> None:
    """Warn where places of one income stand in different groups: which of them is then decided by their order.

    Args:
        income: `[K]`.
        group: `[K]` terciles of it.
        source: the file.
        what: the places are.
        stacklevel: of the warning, seen from here.
    """
    tied = [value for value in np.unique(income) if np.unique(group[income == value]).size > 1]
    if tied:
        n = int((income == tied[0]).sum())
        warnings.warn(
            f"{source}: {n} of {income.size} {what} have the same income, {tied[0]:g}, and stand in different terciles "
            "by the order of their rows, so that gaps between groups say little. Are the incomes right?",
            stacklevel=stacklevel,
        )
