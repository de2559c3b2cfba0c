"""Network inputs for a way through a grid, chosen move by move: one walker, and the arcs that it can take next.

Where the walker is follows from the moves so far. An arc is told by its place in the grid (one of n, row by row, first
those to the right) and by that place times the features of the case, so that a first linear layer can learn a price for
each arc. Shapes: B cases, p features, g nodes a side, n = 2 g (g - 1) arcs, k moves so far.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.agents.attention.reading import Tokens, TokenSizes
from stormgym.envs.arrays import Bools, Ints, Observation

RIGHT, DOWN = 0, 1
"""The two choices of a move."""
N_CHOICES = 2
MOVES = "moves"
"""Name of the moves so far `[B, k]` in an observation that asks for the next one."""
ALL_MOVES = "all_moves"
"""Name of the environment's own mask `[B, 4 (g - 1)]` in it, whose `action_mask` is that of the move."""


class Walk(NamedTuple):
    """Where B walkers are after their moves so far."""

    grid: int
    """g"""
    row: Ints
    """`[B]`"""
    column: Ints
    """`[B]`"""

    @property
    def is_open(self) -> Bools:
        """Moves `[B, 2]` that stay on the grid."""
        return np.stack([self.column < self.grid - 1, self.row < self.grid - 1], axis=1)

    @property
    def arcs(self) -> Ints:
        """Numbers `[B, 2]` of the arcs to the right and down; what is not open has one that is not to be read."""
        g = self.grid
        return np.stack([self.row * (g - 1) + self.column, g * (g - 1) + self.row * g + self.column], axis=1)


def fits(space: spaces.Space[Any]) -> bool:
    """Whether an observation space has one row of features and a mask, and nothing else.

    A flow and shares of assets look alike; the action space tells them apart (`Reading.check_actions`).
    """
    if not (isinstance(space, spaces.Dict) and set(space.spaces) == {"features", "action_mask"}):
        return False
    return len(space["features"].shape or ()) == len(space["action_mask"].shape or ()) == 1


def sizes_of(space: spaces.Dict) -> TokenSizes:
    """Sizes of the tokens of an observation space."""
    p = (space["features"].shape or (0,))[0]
    g = grid_of((space["action_mask"].shape or (0,))[0])
    return TokenSizes(n_choices=N_CHOICES, n_actors=1, choice=2 * g * (g - 1) * (p + 1), actor=1 + g * g, common=p)


def grid_of(n_mask: int) -> int:
    """Nodes a side of a grid, from the length of the mask of all its moves: two choices for each of 2 (g - 1)."""
    return n_mask // (2 * N_CHOICES) + 1


def n_moves_of(observation: Observation) -> int:
    """Moves of a whole way, from a batched observation of the environment or one that asks for a move."""
    return 2 * (_grid(observation) - 1)


def _grid(observation: Observation) -> int:
    return grid_of(_all_moves(observation).shape[1])


def _all_moves(observation: Observation) -> Any:
    return np.asarray(observation.get(ALL_MOVES, observation["action_mask"]))


def walk_of(observation: Observation, moves: Ints) -> Walk:
    """Where the walkers are after moves `[B, k]`."""
    down = np.asarray(moves).sum(axis=1, dtype=np.int64)
    return Walk(_grid(observation), row=down, column=np.shape(moves)[1] - down)


def ask(observation: Observation, moves: Ints) -> Observation:
    """The observation in which the next move is chosen, after moves `[B, k]`.

    Its mask is over right, down, and a choice more, which is never open: a move is always made.
    """
    walk = walk_of(observation, moves)
    mask = np.concatenate([walk.is_open, np.zeros((len(walk.row), 1), dtype=bool)], axis=1)
    own = {MOVES: moves, ALL_MOVES: _all_moves(observation), "action_mask": mask.astype(np.int8)}
    return {**observation, **own}


def tokens_of(observation: Observation) -> Tokens:
    """The tokens of a batched observation of the environment, in which the first move is asked, or of one by `ask`."""
    moves = observation.get(MOVES, np.zeros((len(observation["features"]), 0), dtype=np.int64))
    walk = walk_of(observation, moves)
    features = np.asarray(observation["features"], dtype=np.float32)
    b, g = len(features), walk.grid
    actors = np.zeros((b, 1, 1 + g * g), dtype=np.float32)
    actors[..., 0] = 1.0
    actors[np.arange(b), 0, 1 + walk.row * g + walk.column] = 1.0
    return Tokens(
        choices=_arc_features(walk, features),
        is_open=walk.is_open,
        actors=actors,
        common=features,
        limit=np.ones(b),  # nothing is limited
        unit=np.full(b, 2.0 * (g - 1)),  # arcs of a way, which cost about one each
    )


def _arc_features(walk: Walk, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[B, 2, n (p + 1)]`, 0 for moves off the grid."""
    b, p = features.shape
    known = np.concatenate([np.ones((b, 1), dtype=np.float32), features], axis=1)  # [B, p + 1]
    result = np.zeros((b, N_CHOICES, 2 * walk.grid * (walk.grid - 1), p + 1), dtype=np.float32)
    row, choice = np.nonzero(walk.is_open)
    result[row, choice, walk.arcs[row, choice]] = known[row]
    return result.reshape(b, N_CHOICES, -1)
