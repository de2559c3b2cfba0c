"""Models that are fitted once and then recalled: from memory, or from a file of plain arrays."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.cache import cache_folder, load_arrays, store_arrays

M = TypeVar("M")
MOST_KEPT = 64
"""Models that memory keeps; of more the one that was asked for longest ago goes."""
SOURCES = (
    "agents/dfl",
    "agents/decisions",
    "agents/dispatch",
    "envs/decisions",
    "envs/dispatch",
    "envs/storms.py",
    "predictors",
    "envs/risk*.py",
)
"""Folders, and patterns of files, whose code decides what a fit gives: a model of other code is not recalled."""


class Storable(Protocol):
    """A model whose weights are plain arrays."""

    def state(self) -> Mapping[str, NDArray[Any]]:
        """All that fitting decided, by name."""
        ...

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become what `state` says.

        Raises:
            KeyError, ValueError: names or shapes that are not this model's.
        """
        ...


_kept: OrderedDict[Hashable, Any] = OrderedDict()  # by key, the last one asked for at the end


def fit_or_recall(
    key: Hashable, fit: Callable[[], M], *, blank: Callable[[], M] | None = None, notice: str | None = None
) -> M:
    """The model of this key, fitted only if it is not kept. It is shared: copy it before you change it.

    Args:
        key: all that decides the fit. With `blank` its `repr` must say all of it, in every process alike.
        fit: makes and fits the model.
        blank: makes the model unfitted (`Storable`); then it is kept on disk as well (`stormgym.envs.cache`).
        notice: what is told on standard error before a slow fit: what is fitted, and about how long it takes.
    """
    if key in _kept:
        _kept.move_to_end(key)
        kept: M = _kept[key]
        return kept
    file = None if blank is None else _file(key)
    found = None if file is None or blank is None else _restored(file, blank)
    if found is None:
        if notice is not None:
            where = "" if file is None else f" (kept in {file.parent})"
            print(f"{notice}, once{where}", file=sys.stderr, flush=True)
        found = fit()
        if file is not None:
            state: Mapping[str, NDArray[Any]] = found.state()  # type: ignore[attr-defined]  # Storable, with `blank`
            store_arrays(file, state)
    _kept[key] = found
    while len(_kept) > MOST_KEPT:
        _kept.popitem(last=False)
    return found


def forget() -> None:
    """Forget what memory keeps, so that the next call reads files or fits again."""
    _kept.clear()


def _restored(file: Path, blank: Callable[[], M]) -> M | None:
    state = load_arrays(file)
    if state is None:
        return None
    model = blank()
    try:
        bad = [name for name, values in state.items() if values.dtype.kind == "f" and not np.isfinite(values).all()]
        if bad:
            raise ValueError(f"{bad[0]} is not finite")
        model.restore(state)  # type: ignore[attr-defined]  # Storable, as `blank` is given
    except Exception as error:  # arrays of any name, kind and shape may stand there
        warnings.warn(
            f"the model in {file} cannot be restored ({error}); it is fitted again", UserWarning, stacklevel=3
        )
        return None
    return model


def _file(key: Hashable) -> Path:
    text = "|".join((repr(key), source_digest(), version("torch"), version("numpy")))
    return cache_folder() / f"model-{hashlib.sha256(text.encode()).hexdigest()[:24]}.npz"


@lru_cache(maxsize=1)
def source_digest() -> str:
    """A digest of the code that fits models."""
    root = Path(__file__).resolve().parents[2]
    files = sorted(
        file
        for source in SOURCES
        for file in (root.glob(source) if source.endswith(".py") else (root / source).rglob("*.py"))
    )
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
