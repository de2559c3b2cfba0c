"""Forecasts of the default environments, which come with the package: nobody who plays them has to fit anything.

`python -m benchmarks.installs.shipped_forecasts` makes the files, and a test makes them again and compares. They are
taken only for the very data, settings and source that they were made of; else forecasts are fitted as for any other
city. So the defaults are the same with every version of the libraries.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
INDEX = "index.json"


def shipped_arrays(kind: str, digest: str, folder: Path = FOLDER) -> dict[str, NDArray[Any]] | None:
    """The arrays of a kind that were made of what `digest` stands for; None if there are none."""
    index = folder / INDEX
    if not index.is_file():
        return None
    name = json.loads(index.read_text(encoding="utf-8"))["files"].get(f"{kind}-{digest}")
    if name is None:
        return None
    with np.load(folder / name, allow_pickle=False) as stored:
        return {array: stored[array] for array in stored.files}
