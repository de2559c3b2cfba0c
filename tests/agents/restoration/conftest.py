"""What tests of Restoration-v0's agents share."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stormgym.envs.data import City, resolve_city


@pytest.fixture(scope="session")
def play() -> Callable[..., tuple[Any, Any, Any]]:
    """Plays episodes: play(env, policy, seed=0, steps=None)."""

    def run(env: Any, policy: Any, seed: int = 0, steps: int | None = None) -> tuple[Any, Any, Any]:
        """Play one episode a row; returns the last observation and state, and the final metrics."""
        observation, info = env.reset(seed=seed)
        state, start, n = None, np.ones(env.num_envs, bool), env.unwrapped.city.n_regions
        for _ in range(n if steps is None else steps):
            action, state = policy.predict(observation, state=state, episode_start=start, deterministic=True)
            start = np.zeros(env.num_envs, bool)
            observation, _, _, _, info = env.step(action)
        return observation, state, info.get("metrics")

    return run


@pytest.fixture(scope="module")
def city() -> City:
    """A synthetic city of nine regions."""
    return resolve_city("synthetic:9:1")


@pytest.fixture(scope="session")
def write_jobs() -> Callable[[Path, list[dict[str, Any]]], Path]:
    """Writes rows as a CSV file of jobs, and gives the file."""

    def write(file: Path, rows: list[dict[str, Any]]) -> Path:
        with file.open("w", newline="") as out:
            writer = csv.DictWriter(out, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return file

    return write


@pytest.fixture
def jobs_file(
    city: City, tmp_path: Path, write_jobs: Callable[[Path, list[dict[str, Any]]], Path]
) -> Callable[..., Path]:
    """Writes a job in each of some regions: jobs_file(regions, drop=column, **columns)."""

    def write(regions: list[str], drop: str | None = None, **extra: Any) -> Path:
        varying = {"damage_class": 2, "night_shift": 1, **extra}
        varying.pop(drop or "", None)
        return write_jobs(tmp_path / "open.csv", [{"region": r, **varying} for r in regions])

    return write
