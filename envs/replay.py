"""Episodes under way as plain data: the generators before their resets, and the actions since.

All that is random in an episode is drawn at its reset, so a core that is reset with the same generators and takes the
same actions is where it was, to the bit. That is small, holds no code, and knows nothing of a core's insides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Bools, Ints
from stormgym.envs.core import Core

GENERATOR = "PCG64"
"""The kind of generator that Gymnasium seeds."""


class EpisodeLog:
    """What brings B episodes back to where they are.

    Args:
        batch: B.
    """

    def __init__(self, batch: int) -> None:
        self._before: list[list[dict[str, Any]] | None] = [None] * batch  # states of each row's generators
        self._began = np.zeros(batch, dtype=np.int64)  # step at which each row's episode begins
        self._actions: list[NDArray[Any]] = []  # of all rows, from step `_first` on
        self._first = 0

    def begin(self, core: Core, rows: Ints, generators: list[np.random.Generator], *, known: bool = True) -> None:
        """Episodes of these rows begin with the next step; call it before they are drawn.

        Args:
            core: that will draw them.
            rows: `[k]`.
            generators: of these rows.
            known: False where the reset has options, which are not logged.
        """
        side = core.side_generators(generators, rows)
        for i, row in enumerate(rows.tolist()):
            own = [generators[i], *side[i : i + 1]]
            self._before[row] = [dict(each.bit_generator.state) for each in own] if known else None
        self._began[rows] = self._first + len(self._actions)
        done = int(self._began.min()) - self._first  # steps of episodes that are all over
        if done:
            del self._actions[:done]
            self._first += done

    def add(self, actions: Any) -> None:
        """One step of all rows, actions `[B, ...]` as they were given."""
        self._actions.append(np.array(actions))

    def state_dict(self) -> dict[str, Any] | None:
        """Generators, actions `[T, B, ...]` and lengths `[B]` of the episodes; None where a reset had options."""
        if any(state is None for state in self._before):
            return None
        lengths = self._first + len(self._actions) - self._began
        return {"generators": list(self._before), "lengths": lengths, "actions": _stacked(self._actions)}


def replay(core: Core, state: dict[str, Any], log: EpisodeLog) -> list[np.random.Generator]:
    """Bring a core's episodes to where `EpisodeLog.state_dict` found them; return the generators of its rows.

    Episodes that are shorter begin later, so that all arrive together. What rows do until their own episode begins
    does not count.

    Raises:
        LookupError, TypeError, ValueError, OverflowError: the state is not one of such a core.
    """
    lengths, actions = np.asarray(state["lengths"]), np.asarray(state["actions"])
    steps, batch = len(actions), core.batch
    fits = lengths.shape == (batch,) and lengths.dtype == np.int64 and len(state["generators"]) == batch
    if not fits or lengths.min() < 0 or lengths.max() != steps or (steps and actions.shape[1:2] != (batch,)):
        raise ValueError(f"a log of {len(state['generators'])} episodes and {steps} steps does not fit {batch} rows")
    before = state["generators"]
    generators = [generator_of(kept[0]) for kept in before]
    core.reset([generator_of(kept[0]) for kept in before])  # every row must be somewhere
    for t in range(steps + 1):
        rows = np.flatnonzero(lengths == steps - t)
        if rows.size:
            for row, side in zip(rows, core.side_generators([generators[row] for row in rows], rows), strict=False):
                side.bit_generator.state = generator_of(before[row][1]).bit_generator.state
            begin(core, rows, generators, log)
        if t < steps:
            log.add(actions[t])
            _step(core, actions[t], lengths >= steps - t, before)
    return generators


def begin(core: Core, rows: Ints, generators: list[np.random.Generator], log: EpisodeLog | None) -> None:
    """Draw new episodes in some rows, given the generators of all, and log it."""
    own = [generators[row] for row in rows]
    if log is not None:
        log.begin(core, rows, own)
    core.reset(own, None if rows.size == core.batch else rows)


def generator_of(state: Any) -> np.random.Generator:
    """A generator in a state that `bit_generator.state` gave.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: it is none, or one of another kind.
    """
    if state["bit_generator"] != GENERATOR:
        raise ValueError(f"generators are of the kind {GENERATOR}; got {str(state['bit_generator'])[:40]!r}")
    generator = np.random.Generator(np.random.PCG64())
    generator.bit_generator.state = state
    return generator


def _step(core: Core, actions: NDArray[Any], live: Bools, before: list[list[dict[str, Any]]]) -> None:
    """One step of the rows whose episode has begun; of the others, those that end are where they began again."""
    if live.all():
        core.step(core.validate_actions(actions, None))
        return
    step = core.step(core.validate_actions(actions, ~live), live)
    again = np.flatnonzero((step.terminated | step.truncated) & ~live)
    if again.size:
        core.reset([generator_of(before[row][0]) for row in again], again)


def _stacked(actions: list[NDArray[Any]]) -> NDArray[Any]:
    return np.stack(actions) if actions else np.zeros((0, 0), dtype=np.int64)
