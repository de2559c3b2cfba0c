"""Replay buffers as arrays: what is in them, and what continues them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer

from stormgym.agents.storage.container import UnreadableFile, n_bytes, open_file, readable, write_file

KIND = "replay buffer"
ROOM = 64 * 2**20
"""Bytes that a buffer's file may have beyond the arrays of the buffer."""
GROWTH = 16
"""Times that episodes in a buffer may be longer than it was made for."""


def write_buffer(buffer: ReplayBuffer, file: Path) -> Path:
    """Write what a buffer holds; a buffer of another kind says so by `state_dict()`, which is taken in its place."""
    state = buffer.state_dict() if hasattr(buffer, "state_dict") else ring_state(buffer)
    return write_file(file, KIND, {"state": state})


def read_buffer(buffer: ReplayBuffer, file: Path) -> None:
    """Fill an empty buffer, just made for its environments, with what a file holds.

    Raises:
        FileNotFoundError: there is nothing of that name.
        UnreadableFile: another file, or one of a buffer of another size or kind.
    """
    contents = open_file(file, KIND, largest=GROWTH * _bytes_of(buffer) + ROOM)
    if n_bytes(contents.arrays) > GROWTH * _bytes_of(buffer) + ROOM:
        raise UnreadableFile(f"{file} does not fit: it holds more than the run's buffer can")
    with readable(file, "the replay buffer of this run"):
        state = contents.tree("state")
        if hasattr(buffer, "load_state_dict"):
            buffer.load_state_dict(state)
        else:
            load_ring_state(buffer, state)


def ring_state(buffer: ReplayBuffer, further: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a ring of transitions of Stable-Baselines3 holds: the rows that are filled, and where the next one goes."""
    size = buffer.size()
    rows = {name: array[:size] for name, array in _rings(buffer, further).items()}
    return {"pos": buffer.pos, "full": buffer.full, "rows": rows}


def load_ring_state(buffer: ReplayBuffer, state: dict[str, Any], further: tuple[str, ...] = ()) -> None:
    """Go on from `ring_state`.

    Raises:
        ValueError: another kind of buffer, or one of another size.
    """
    rings = _rings(buffer, further)
    pos, full, size = ring_place(state, buffer.buffer_size)
    fill(rings, state["rows"], size)
    if isinstance(buffer.action_space, spaces.Discrete):
        first = int(buffer.action_space.start)
        check_range("actions", buffer.actions[:size], first, first + int(buffer.action_space.n) - 1)
    buffer.pos, buffer.full = pos, full


def ring_place(state: dict[str, Any], capacity: int) -> tuple[int, bool, int]:
    """Next row, whether all are filled, and how many are, of a ring with so many rows; raises `ValueError`."""
    pos, full = state["pos"], state["full"]
    if type(pos) is not int or type(full) is not bool or not 0 <= pos < capacity:
        raise ValueError(f"row {pos!r} of a ring of {capacity}")
    return pos, full, capacity if full else pos


def fill(rings: dict[str, NDArray[Any]], rows: dict[str, Any], size: int) -> None:
    """Put `size` rows into the beginning of each array, if they fit it in kind and shape; raises `ValueError`."""
    for name in set(rows) ^ set(rings):
        raise ValueError(f"{name[:80]!r} is {'missing' if name in rings else 'too much'} in it")
    for name, ring in rings.items():
        given = np.asarray(rows[name])
        if given.dtype != ring.dtype or given.shape != (size, *ring.shape[1:]):
            raise ValueError(f"{name} is {given.dtype} {given.shape}, not {ring.dtype} {(size, *ring.shape[1:])}")
        ring[:size] = given


def check_range(name: str, values: NDArray[Any], low: int, high: int) -> None:
    """Raise `ValueError` for a number outside of [low, high]."""
    if values.size and not (low <= values.min() and values.max() <= high):
        raise ValueError(f"{name} are from {values.min()} to {values.max()}, not from {low} to {high}")


def _rings(buffer: ReplayBuffer, further: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The arrays of a buffer by name, each with a leading axis of its rows."""
    names = ["observations", "actions", "rewards", "dones", *further]
    names += [name for name in ("next_observations", "timeouts") if hasattr(buffer, name)]
    rings: dict[str, NDArray[Any]] = {}
    for name in names:
        value = getattr(buffer, name)
        rings |= {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
    return rings


def _bytes_of(buffer: Any) -> int:
    """Bytes of all arrays of a buffer."""
    found, waiting = 0, [vars(buffer)]
    while waiting:
        for value in waiting.pop().values():
            if isinstance(value, np.ndarray):
                found += value.nbytes
            elif isinstance(value, dict):
                waiting.append(value)
            elif type(value).__module__.startswith("stormgym."):
                waiting.append(vars(value))
    return found
