"""Steps per CPU-second of CrewDispatch-v0: the native vector form beside `SyncVectorEnv`, by batch, jobs and crews.

    python -m benchmarks.crews.env_speed --docs docs

The nearest rule plays whole episodes, observations and dense costs included; cases take turns, round by round, and the
table shows the median. A step that only resets an environment is not counted.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when numpy is loaded
    os.environ[_name] = "1"

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from rich.progress import track

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown
from stormgym.agents.terminal import make_console

ENV_ID = "stormgym:CrewDispatch-v0"


@dataclass(frozen=True)
class Settings:
    """Steps per CPU-second of CrewDispatch-v0."""

    seconds: float = 2.0
    """CPU-seconds a case and round, at least."""
    rounds: int = 3
    """Turns of each case."""
    docs: Path | None = None
    """Folder of the docs: the table goes into environments/crews.md."""


@dataclass(frozen=True)
class Case:
    """One form of the environment."""

    name: str
    batch: int
    mode: str = "vector_entry_point"
    city: str = "default"
    n_crews: int = 4
    n_jobs: int | None = None

    def make(self) -> Any:
        """The vector environment."""
        kwargs: dict[str, Any] = {
            "city": self.city,
            "n_crews": self.n_crews,
            "predictor": "none",
            "n_jobs": self.n_jobs,
        }
        return gym.make_vec(ENV_ID, self.batch, vectorization_mode=self.mode, **kwargs)


CASES = (
    Case("native, B = 1", 1),
    Case("native, B = 64", 64),
    Case("native, B = 1024", 1024),
    Case("SyncVectorEnv, B = 64", 64, "sync"),
    Case("native, B = 64, 200 jobs", 64, city="synthetic:200:1"),
    Case("native, B = 64, 1,000 jobs", 64, city="synthetic:200:1", n_jobs=1000),
    Case("native, B = 64, 1 crew", 64, n_crews=1),
    Case("native, B = 64, 16 crews", 64, n_crews=16),
    Case("native, B = 64, 50 crews", 64, n_crews=50),
)


class Player:
    """Steps an environment by the nearest rule, from where the last turn left it."""

    def __init__(self, case: Case) -> None:
        self.env = case.make()
        self.obs, _ = self.env.reset(seed=0)
        self.ended = np.zeros(case.batch, dtype=bool)

    def steps(self, seconds: float) -> float:
        """Steps per CPU-second over at least this long."""
        n, begin = 0, time.process_time()
        while (spent := time.process_time() - begin) < seconds:
            for _ in range(10):
                open_ = self.obs["action_mask"][:, :-1] > 0
                choice = np.where(open_, self.obs["distance_km"], np.inf).argmin(axis=1)
                n += int((~self.ended).sum())
                self.obs, _, terminated, truncated, _ = self.env.step(choice)
                self.ended = terminated | truncated
        return n / spent


def main(args: list[str] | None = None) -> int:
    """Measure, print, write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    players = {case.name: Player(case) for case in track(CASES, description="making")}
    found: dict[str, list[float]] = {name: [] for name in players}
    for _ in track(range(settings.rounds), description="rounds"):
        for name, player in players.items():
            found[name].append(player.steps(settings.seconds))
    rows = [[name, f"{np.median(v):,.0f}", f"{min(v):,.0f} to {max(v):,.0f}"] for name, v in found.items()]
    ratio = np.median(found["native, B = 64"]) / np.median(found["SyncVectorEnv, B = 64"])
    table = markdown(["case", "steps per CPU-second", "range"], rows)
    text = f"{table}\n\nNative against `SyncVectorEnv` at B = 64: {ratio:.1f} times."
    make_console().print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs / "environments" / "crews.md", "crews-speed", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
