"""Make the forecasts that come with the package (`envs/shipped`): those of every environment's default arguments.

    python -m benchmarks.installs.shipped_forecasts

fits them anew in about fifteen seconds and writes a file for each and `index.json`. Do so after a change of a
predictor, of the default city or of the default regions; a test says when it is due. Where the index names every file
for today's data, settings and source nothing is written: another processor's fits differ in their last bits, and
published tables stand on these. (Delete `envs/shipped/index.json` to have them made all the same.)
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from stormgym.envs.cache import Costly
from stormgym.envs.cities.forecasts import costly_forecasts
from stormgym.envs.data import resolve_city
from stormgym.envs.shipped import FOLDER, INDEX
from stormgym.envs.undergrounding.forecasts import costly_forecaster
from stormgym.envs.undergrounding.profiles import DEFAULT_PROFILE, resolve_profile


def defaults() -> dict[str, Costly]:
    """What to make, by the name of its file."""
    return {
        "restoration.npz": costly_forecasts(resolve_city("default"), "ecqr", 0.9),
        "undergrounding.npz": costly_forecaster(resolve_profile(DEFAULT_PROFILE)),
    }


def made_with() -> dict[str, str]:
    """What decides the last bits of a fit beside the code: versions of the libraries, and the kernels of the BLAS."""
    kernels = sorted({str(lib.get("architecture", "")) for lib in threadpool_info() if lib["user_api"] == "blas"})
    libraries = {name: version(name) for name in ("numpy", "scipy", "scikit-learn", "quantile-forest")}
    return {"machine": platform.machine(), "blas": " ".join(kernels), **libraries}


def same(a: Mapping[str, NDArray[Any]], b: Mapping[str, NDArray[Any]]) -> bool:
    """Whether two tables of arrays are the same to the bit."""
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and a[name].shape == b[name].shape and a[name].tobytes() == b[name].tobytes()
        for name in a
    )


def read(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file; none where there is none."""
    if not file.is_file():
        return {}
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def main(folder: Path = FOLDER) -> int:
    """Write the files and the index, where anything is due."""
    wanted = defaults()
    files = {f"{costly.kind}-{costly.digest}": name for name, costly in wanted.items()}
    index_file = folder / INDEX
    if index_file.is_file() and json.loads(index_file.read_text(encoding="utf-8"))["files"] == files:
        print("made of today's data, settings and source: nothing to do")
        return 0
    for name, costly in wanted.items():
        made = {array: np.asarray(values) for array, values in costly.make().items()}
        if same(made, read(folder / name)):
            print(f"{name}: as it was")
        else:
            np.savez_compressed(folder / name, allow_pickle=False, **made)  # type: ignore[arg-type]
            print(f"{name}: written, {(folder / name).stat().st_size / 1000:.0f} kB")
    index = {"files": files, "made_with": made_with()}
    index_file.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
