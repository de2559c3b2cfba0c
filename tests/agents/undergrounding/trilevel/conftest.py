"""What tests of the three-level problem share: instances with known optima, and random ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Arguments = tuple[Any, ...]
"""Weights, costs of protection and of crews, bounds of the storm and of its total."""


@pytest.fixture(params=["n10_uniform", "n14_nonuniform", "n5_uniform", "n8_nonuniform", "tiny2", "tiny3", "tiny4_frac"])
def name(request: pytest.FixtureRequest) -> str:
    """Each instance with a known optimum."""
    return str(request.param)


@pytest.fixture(scope="session")
def load() -> Callable[[Path, str], tuple[Arguments, dict[str, float], dict[str, Any]]]:
    """Reads an instance: its arguments, its limits, and what is known of it."""

    def read(folder: Path, name: str) -> tuple[Arguments, dict[str, float], dict[str, Any]]:
        d = json.loads((folder / "instances" / f"trilevel_{name}.json").read_text())
        data = tuple(d[key] for key in ("h", "b", "c", "L", "T", "L0", "T0"))
        return data, {"budget": d["B"], "crew_budget": d["C"]}, d["expected"]

    return read


@pytest.fixture(scope="session")
def draw() -> Callable[..., tuple[Arguments, dict[str, float]]]:
    """Draws an instance of n regions: draw(n, seed, equal=False) gives its arguments and its limits."""

    def make(n: int, seed: int, *, equal: bool = False) -> tuple[Arguments, dict[str, float]]:
        rng = np.random.default_rng([n, seed])
        h, b = rng.uniform(1, 10, n), rng.integers(100, 500, n).astype(float)
        c = np.ones(n) if equal else rng.uniform(0.5, 3.0, n)
        low = rng.uniform(0, 5, n)
        high = low + rng.uniform(0, 10, n)
        ends = low.sum() + np.sort(rng.uniform(0, 1, 2)) * (high - low).sum()
        limits = {
            "budget": float(rng.uniform(0.2, 0.6) * b.sum()),
            "crew_budget": float(rng.uniform(0.1, 0.4) * c.sum()),
        }
        if equal:
            limits["crew_budget"] = float(np.ceil(limits["crew_budget"]))
        return (h, b, c, low, high, float(ends[0]), float(ends[1])), limits

    return make
