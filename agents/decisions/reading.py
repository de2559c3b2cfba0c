"""How STA-SAC reads a way through a grid: each move is a choice, and moves off the grid are closed."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.agents.attention.parts import Parts
from stormgym.agents.attention.reading import Reading, TokenLayout
from stormgym.agents.decisions.tokens import (
    DOWN,
    N_CHOICES,
    RIGHT,
    ask,
    fits,
    grid_of,
    n_moves_of,
    sizes_of,
    tokens_of,
    walk_of,
)
from stormgym.envs.arrays import Ints, Observation


def _prepare(observation: Observation) -> Observation:
    return observation


def _join(observation: Observation, choices: Ints) -> Ints:
    del observation
    return choices


def _split(observation: Observation, action: NDArray[Any]) -> Ints:
    """A move off the grid is the other one, as the environment makes it."""
    moves = np.array(action, dtype=np.int64)
    for k in range(moves.shape[1]):
        is_open = walk_of(observation, moves[:, :k]).is_open
        moves[:, k] = np.where(is_open[np.arange(len(moves)), moves[:, k]], moves[:, k], RIGHT + DOWN - moves[:, k])
    return moves


def _remaining(observation: Observation) -> Ints:
    """Its one step."""
    return np.ones(len(observation["features"]), dtype=np.int64)


def _layout(space: spaces.Dict, action_space: spaces.MultiDiscrete) -> TokenLayout:
    """Raises `ValueError` for choices that are no moves through a grid."""
    n_mask = int((space["action_mask"].shape or (0,))[0])
    moves = spaces.MultiDiscrete([N_CHOICES] * (2 * (grid_of(n_mask) - 1)))
    if n_mask < 2 * N_CHOICES or action_space != moves:
        raise ValueError(
            f"STA-SAC reads one row of features as those of a way through a grid, with actions {moves}; got "
            f"{action_space} and a mask of {n_mask}"
        )
    return TokenLayout.of(sizes_of(space), tokens_of, episode_steps=1, n_parts=len(moves.nvec))


READING = Reading(
    fits=fits,
    layout=_layout,
    policy="stormgym.agents.sta_sac.token_policy:TokenPolicy",
    needs='Dict of features alone with moves as actions (ShortestPath-v0 with actions="moves")',
    tokens=tokens_of,
    sizes=sizes_of,
    n_groups=lambda space: 0,
    parts=Parts(n_parts=n_moves_of, prepare=_prepare, ask=ask, join=_join, split=_split),
    remaining=_remaining,
)
