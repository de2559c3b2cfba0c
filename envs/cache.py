"""What is costly to make and kept on disk: files of plain arrays in one folder, never code."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
