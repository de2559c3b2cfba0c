"""What is costly to make and kept on disk: files of plain arrays in one folder, never code."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.whole_files import replace_by

LONGEST_WAIT_S = 120.0
"""Longest wait for another process that makes the same; then it is made here as well."""


def cache_folder() -> Path:
    """Folder of the cache: STORMGYM_CACHE, else `$XDG_CACHE_HOME/stormgym`, else `~/.cache/stormgym`."""
    if "STORMGYM_CACHE" in os.environ:
        return Path(os.environ["STORMGYM_CACHE"])
    if "XDG_CACHE_HOME" in os.environ:
        return Path(os.environ["XDG_CACHE_HOME"]) / "stormgym"
    try:
        return Path.home() / ".cache" / "stormgym"
    except RuntimeError:  # a user without a home, as in some containers: a folder that nobody can make
        return Path(os.devnull) / "stormgym"


def load_arrays(file: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of a file, by name; None where there is none or it cannot be read, the latter with a warning."""
    if not file.is_file():
        return None
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:  # a damaged file is closed too
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # zipfile, zlib and NumPy have a dozen of their own for a damaged file
        reason = "it holds no plain arrays" if "pickle" in str(error) else error
        warnings.warn(
            f"the cache file {file} cannot be read ({reason}); what it held is made again", UserWarning, stacklevel=2
        )
        return None


def store_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays whole or not at all, for several processes at once; what cannot be written costs time alone.

    Warns:
        UserWarning: a folder that cannot be made or written to, or a full disk.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_by(file, lambda stream: np.savez_compressed(stream, allow_pickle=False, **arrays))
    except OSError as error:
        reason = error.strerror or error
        warnings.warn(
            f"{file.name} could not be kept in {file.parent} ({reason}); it is made again each time. Let "
            "STORMGYM_CACHE name a folder that can be written",
            UserWarning,
            stacklevel=2,
        )


class Costly(NamedTuple):
    """Arrays that are costly to make, and what decides them."""

    kind: str
    """First part of a file's name."""
    key: str
    """Says all that decides the arrays but the libraries' versions: the data, the settings and the source."""
    names: Collection[str]
    """Arrays without which a file is not taken."""
    make: Callable[[], Mapping[str, NDArray[Any]]]
    check: Callable[[Mapping[str, NDArray[Any]]], None] | None = None
    """Raises for arrays of a file that cannot be those that were made: of another length, say, or with NaN."""

    @property
    def digest(self) -> str:
        """What stands for the key in the package (24 hex digits)."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:24]

    @property
    def file(self) -> Path:
        """Where the cache keeps it, with these versions of the libraries."""
        versions = map(version, ("scikit-learn", "quantile-forest", "numpy"))
        digest = hashlib.sha256("|".join((self.key, *versions)).encode()).hexdigest()[:24]
        return cache_folder() / f"{self.kind}-{digest}.npz"


def recall_arrays(costly: Costly) -> Mapping[str, NDArray[Any]]:
    """The arrays that come with the package, else those of the cache, else made now and kept.

    Of several processes that want the same at once, one makes it and the others wait for its file.

    Warns:
        UserWarning: the file is damaged, lacks a part, or does not pass the check; it is made again.
    """
    from stormgym.envs.shipped import shipped_arrays

    shipped = shipped_arrays(costly.kind, costly.digest)
    if shipped is not None:
        return shipped
    file = costly.file

    def kept() -> Mapping[str, NDArray[Any]] | None:
        stored = load_arrays(file)
        fault = None if stored is None else _fault(costly, stored)
        if fault is None:
            return stored
        warnings.warn(f"the cache file {file} is not taken ({fault}); it is made again", UserWarning, stacklevel=3)
        return None

    if (found := kept()) is not None:
        return found
    with _one_at_a_time(file.with_suffix(".lock")) as waited:
        if waited and (found := kept()) is not None:
            return found
        made = costly.make()
        store_arrays(file, made)
    return made


def _fault(costly: Costly, stored: Mapping[str, NDArray[Any]]) -> str | None:
    """Why the arrays of a file cannot be those that were made; None where they can."""
    missing = sorted(set(costly.names) - set(stored))
    if missing:
        return f"it lacks {', '.join(missing)}"
    try:
        if costly.check is not None:
            costly.check(stored)
    except Exception as error:  # arrays of any kind and shape may stand there
        return str(error)
    return None


def check_numbers(
    arrays: Mapping[str, NDArray[Any]],
    shapes: Mapping[str, tuple[int | None, ...]],
    *,
    infinite: Collection[str] = (),
) -> None:
    """Raise `ValueError` unless arrays have these shapes (None: any length) and hold finite numbers.

    Args:
        arrays: by name.
        shapes: of those that are checked.
        infinite: names of those that may hold infinity, though no NaN.
    """
    for name, shape in shapes.items():
        array = arrays[name]
        fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
        if not fits:
            want = ", ".join("any" if n is None else str(n) for n in shape)
            raise ValueError(f"{name} must have shape [{want}]; got {list(array.shape)}")
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name} must hold numbers; got {array.dtype}")
        good = ~np.isnan(array) if name in infinite else np.isfinite(array)
        if not good.all():
            raise ValueError(f"{name} must be finite; got {array[~good][0]}")


@contextmanager
def _one_at_a_time(file: Path) -> Iterator[bool]:
    """Hold a lock; yields whether another process held it before. Where no lock is to be had there is no wait."""
    try:
        import fcntl

        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("w")
    except (ImportError, OSError):
        yield False
        return
    waited = False
    try:
        end = time.monotonic() + LONGEST_WAIT_S
        while time.monotonic() < end:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # another process is at it
                waited = True
                time.sleep(0.05)
            except OSError:  # a file system without locks
                break
        yield waited
    finally:
        file.unlink(missing_ok=True)
        stream.close()
