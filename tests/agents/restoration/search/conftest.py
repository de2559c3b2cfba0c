"""What tests of searches share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def map_of() -> Callable[[int, int], np.ndarray]:
    """Makes a map: map_of(n, seed)."""

    def make(n: int, seed: int) -> np.ndarray:
        """Travel hours `[n+1, n+1]` between random points."""
        points = np.random.default_rng(seed).uniform(0, 10, (n + 1, 2))
        return np.linalg.norm(points[:, None] - points[None], axis=-1) / 30

    return make


@pytest.fixture(scope="session")
def instances() -> Callable[..., dict[str, Any]]:
    """Makes planning problems: instances(n_rows, n, n_groups, seed, midway=False)."""

    def make(n_rows: int, n: int, n_groups: int, seed: int, *, midway: bool = False) -> dict[str, Any]:
        """Random arguments of `plan_orders`; midway: with regions restored before, and another map in each row."""
        rng = np.random.default_rng(seed)
        points = rng.uniform(0, 10, (n_rows if midway else 1, n + 1, 2))
        travel = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1) / 30
        group = rng.permutation(np.concatenate([np.arange(n_groups), rng.integers(0, n_groups, n - n_groups)]))
        arguments = {
            "travel_h": travel if midway else travel[0],
            "repair_h": rng.lognormal(0.3, 0.6, (n_rows, n)),
            "group": group,
        }
        if midway:
            n_pairs = n_groups * (n_groups - 1) // 2
            arguments["group_size"] = np.bincount(group) + 3
            arguments["ahead"] = rng.uniform(-0.3, 0.3, (n_rows, n_pairs))
            arguments["accrued_h"] = rng.uniform(0, 1, (n_rows, n_pairs))
        return arguments

    return make
