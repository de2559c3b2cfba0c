"""Spaces of observations and actions as JSON, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

LARGEST = 10_000_000
"""Numbers that a space may have: one from a file takes no more memory than such arrays."""
DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """A space as JSON: a Dict of, or one of, Box, Discrete, MultiDiscrete and MultiBinary.

    Raises:
        TypeError: another kind of space, or bounds that are lost on the way.
    """
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": [[key, to_json(part)] for key, part in space.spaces.items()]}
    told: dict[str, Any] = {"kind": type(space).__name__}
    if isinstance(space, spaces.Box):
        told |= {"shape": list(space.shape), "dtype": str(space.dtype)}
        for name in ("low", "high"):
            bound = getattr(space, name)
            one = bound.size > 0 and bool((bound == bound.flat[0]).all())
            told[name] = bound.flat[0].item() if one else bound.ravel().tolist()
    elif isinstance(space, spaces.Discrete):
        told |= {"n": int(space.n), "start": int(space.start)}
    elif isinstance(space, spaces.MultiDiscrete):
        told |= {"nvec": space.nvec.tolist()}
    elif isinstance(space, spaces.MultiBinary):
        told |= {"shape": list(space.shape)}
    if from_json(told) != space:
        raise TypeError(f"a model over the space {space} cannot be saved: it is not what JSON gives back")
    return told


def from_json(told: Any) -> spaces.Space[Any]:
    """A space from JSON.

    Raises:
        KeyError, TypeError, ValueError: it is none, or one of more than `LARGEST` numbers.
    """
    kind = told["kind"]
    if kind == "Dict":
        return spaces.Dict({str(key): from_json(part) for key, part in told["spaces"]})
    if kind == "Box":
        if told["dtype"] not in DTYPES:
            raise ValueError(f"a Box of {str(told['dtype'])[:40]!r}")
        shape = _sized(told["shape"])
        low, high = (np.asarray(told[name], dtype=told["dtype"]) for name in ("low", "high"))
        low, high = (np.full(shape, bound) if bound.ndim == 0 else bound.reshape(shape) for bound in (low, high))
        return spaces.Box(low, high, shape, dtype=low.dtype.type)
    if kind == "Discrete":
        _sized([told["n"]])
        return spaces.Discrete(int(told["n"]), start=int(told["start"]))
    if kind == "MultiDiscrete":
        nvec = np.asarray(told["nvec"], dtype=np.int64)
        _sized([int(nvec.sum())])
        return spaces.MultiDiscrete(nvec)
    if kind == "MultiBinary":
        shape = _sized(told["shape"])
        return spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
    raise TypeError(f"a model over a space of the kind {str(kind)[:40]} cannot be saved or read")


def _sized(shape: Any) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in shape)
    if min(sizes, default=1) < 0 or math.prod(sizes) > LARGEST:
        raise ValueError(f"a space of shape {sizes[:8]}; at most {LARGEST:,} numbers are taken")
    return sizes
