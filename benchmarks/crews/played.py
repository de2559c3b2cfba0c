"""Storms that a planner played with what was simulated at each decision, kept batch by batch, so that runs resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.kit.cells import digest
from stormgym.agents.crews.ert.past_storms import PastStorms, play_past, side_by_side
from stormgym.agents.lineup import resolve_agents
from stormgym.envs.cache import load_arrays, store_arrays

ENV_ID = "CrewDispatch-v0"
BATCH = 25
"""Storms of a file."""


def played(
    agent: str,
    env_kwargs: Mapping[str, Any],
    seeds: tuple[int, ...],
    folder: Path,
    on_progress: Callable[[int], None] | None = None,
) -> PastStorms:
    """Storms as an agent plays them, from files of `BATCH` storms each, or played now and kept.

    Args:
        agent: its name.
        env_kwargs: arguments of the environment.
        seeds: of the storms.
        folder: of the files.
        on_progress: called with the number of storms that are there.
    """
    parts = []
    for first in range(0, len(seeds), BATCH):
        batch = seeds[first : first + BATCH]
        file = folder / f"{agent}-{digest(repr((sorted(env_kwargs.items()), batch)))}.npz"
        arrays: Mapping[str, Any] | None = load_arrays(file)
        if arrays is None:
            make = resolve_agents([agent], ENV_ID)[agent].make
            arrays = play_past(make, ENV_ID, env_kwargs, batch).arrays()
            store_arrays(file, dict(arrays))
        parts.append(PastStorms.of_arrays(arrays))
        if on_progress is not None:
            on_progress(len(batch))
    return side_by_side(parts)
