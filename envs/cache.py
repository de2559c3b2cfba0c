"""What is costly to make and kept on disk: files of plain arrays in one folder, never code."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LONGEST_WAIT_S = 120.0
"""Longest wait for another process that makes the same; then it is made here as well."""


def cache_folder() -> Path:
    """Folder of the cache: STORMGYM_CACHE, else `$XDG_CACHE_HOME/stormgym`, else `~/.cache/stormgym`."""
    if "STORMGYM_CACHE" in os.environ:
        return Path(os.environ["STORMGYM_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stormgym"


def load_arrays(file: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of a file, by name; None where there is none or it cannot be read, the latter with a warning."""
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # zipfile, zlib and NumPy have a dozen of their own for a damaged file
        warnings.warn(
            f"the cache file {file} cannot be read ({error}); what it held is made again", UserWarning, stacklevel=2
        )
        return None


def store_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays whole or not at all, for several processes at once; a folder that cannot be written is no error."""
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".tmp", delete=False) as stream:
            temporary = Path(stream.name)
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        os.replace(temporary, file)
    except OSError:
        return
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)  # what a full disk leaves of it


class Costly(NamedTuple):
    """Arrays that are costly to make, and what decides them."""

    kind: str
    """First part of a file's name."""
    key: str
    """Says all that decides the arrays but the libraries' versions: the data, the settings and the source."""
    names: Collection[str]
    """Arrays without which a file is not taken."""
    make: Callable[[], Mapping[str, NDArray[Any]]]

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
    """
    from stormgym.envs.shipped import shipped_arrays

    shipped = shipped_arrays(costly.kind, costly.digest)
    if shipped is not None:
        return shipped
    file = costly.file

    def kept() -> Mapping[str, NDArray[Any]] | None:
        stored = load_arrays(file)
        return stored if stored is not None and set(costly.names) <= set(stored) else None

    if (found := kept()) is not None:
        return found
    with _one_at_a_time(file.with_suffix(".lock")) as waited:
        if waited and (found := kept()) is not None:
            return found
        made = costly.make()
        store_arrays(file, made)
    return made


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
