"""What is said before agents play: how much there is to play, and what would make it shorter."""

from __future__ import annotations

from collections.abc import Collection

from stormgym.agents.registry import domain_of
from stormgym.predictors.extras import is_installed

COMPILER = "numba"
"""The package of the extra `fast`."""


def final_table(env_id: str, agents: Collection[str], episodes: int, n_own: int = 1) -> list[str]:
    """Lines before the table that ends a training.

    Args:
        env_id: the environment.
        agents: names of all who play; the first `n_own` of them were trained.
        episodes: that each plays.
        n_own: see there.
    """
    names = list(agents)
    others = names[n_own:]
    beside = f" beside {', '.join(others)}" if others else ""
    shorter = "--final-episodes 0 skips it, N plays fewer"
    shorter += "; --compare NAMES takes these others alone, or none" if others else ""
    line = f"Final table: {', '.join(names[:n_own])}{beside}, on {episodes:,} held-out scenarios each ({shorter})"
    return [line, *compiler_missing(env_id, names)]


def compiler_missing(env_id: str, agents: Collection[str]) -> list[str]:
    """A line about the extra `fast` where agents would plan sooner with it and it is not installed; else none."""
    slow = [name for name in domain_of(env_id).compiled if name in agents]
    if not slow or is_installed(COMPILER):
        return []
    return [f'Note: {", ".join(slow)} plan several times faster with Numba: pip install "stormgym[fast]"']
