"""Decisions per CPU-second of the planners of CrewDispatch-v0, with the search compiled and by NumPy.

    python -m benchmarks.crews.plan_speed --docs docs

Both forms play the same storms and choose the same (checked); they take turns, round by round, and the table shows the
median. Steps of the environment are not counted. The compiled form needs `pip install 'stormgym[fast]'`.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when numpy is loaded
    os.environ[_name] = "1"

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from rich.progress import track

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown
from stormgym.agents.crews.search import annealing, problem
from stormgym.agents.lineup import make_policy
from stormgym.agents.terminal import make_console

ENV_ID = "stormgym:CrewDispatch-v0"
PLANNERS = ("static-plan", "rolling-planner", "rolling-fair")
SIZES: dict[str, tuple[int, dict[str, Any]]] = {
    "alone": (1, {}),
    "16 storms": (16, {}),
    "alone, 200 jobs, 12 crews": (1, {"city": "synthetic:200:1", "n_crews": 12}),
}
"""Storms side by side, and arguments of the environment."""


@dataclass(frozen=True)
class Settings:
    """Decisions per CPU-second of the planners of CrewDispatch-v0."""

    decisions: int = 60
    """Of each storm, planner and round."""
    rounds: int = 3
    """Turns of each form."""
    planners: tuple[str, ...] = PLANNERS
    """Names of agents."""
    sizes: tuple[str, ...] = tuple(SIZES)
    """Of the cases."""
    docs: Path | None = None
    """Folder of the docs: the table goes into environments/crews.md."""


@contextmanager
def by_numpy() -> Iterator[None]:
    """The search without its compiled loops."""
    before = annealing.compiled
    try:
        for module in (annealing, problem):
            module.compiled = lambda: None  # type: ignore[attr-defined]
        yield
    finally:
        for module in (annealing, problem):
            module.compiled = before  # type: ignore[attr-defined]


def play(planner: str, batch: int, arguments: dict[str, Any], decisions: int) -> tuple[float, list[list[int]]]:
    """CPU-seconds that a planner took for its decisions, and what it chose."""
    env: Any = gym.make_vec(
        ENV_ID, batch, vectorization_mode="vector_entry_point", **{"predictor": "none", **arguments}
    )
    policy = make_policy(planner, env)
    observation, _ = env.reset(seed=0)
    state, start, spent, chosen = None, np.ones(batch, dtype=bool), 0.0, []
    for _ in range(decisions):
        begin = time.process_time()
        action, state = policy.predict(observation, state, start, deterministic=True)
        spent += time.process_time() - begin
        chosen.append(action.tolist())
        observation, _, terminated, truncated, _ = env.step(action)
        start = terminated | truncated
    env.close()
    return spent, chosen


def measure(settings: Settings) -> list[list[str]]:
    """Rows of the table.

    Raises:
        RuntimeError: Numba is not there, or the two forms chose differently.
    """
    if annealing.compiled() is None:
        raise RuntimeError("Numba is not installed, so there is one form only: pip install 'stormgym[fast]'")
    rows = []
    cases = [(size, planner) for size in settings.sizes for planner in settings.planners]
    for size, planner in track(cases, description="planners"):
        batch, arguments = SIZES[size]
        play(planner, batch, arguments, 1)  # loads what is compiled
        spent: dict[str, list[float]] = {"compiled": [], "numpy": []}
        for _ in range(settings.rounds):
            seconds, chosen = play(planner, batch, arguments, settings.decisions)
            with by_numpy():
                slower, same = play(planner, batch, arguments, settings.decisions)
            if chosen != same:
                raise RuntimeError(f"{planner}, {size}: the compiled search chose differently from NumPy's")
            spent["compiled"].append(seconds)
            spent["numpy"].append(slower)
        n = settings.decisions * batch
        fast, slow = (float(np.median(spent[form])) for form in ("compiled", "numpy"))
        ms = f"{1e3 * fast / n:.1f}"
        rows.append([f"`{planner}`, {size}", f"{n / fast:,.0f}", f"{n / slow:,.0f}", f"{slow / fast:.1f}", ms])
    return rows


def main(args: list[str] | None = None) -> int:
    """Measure, print, write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    heads = ["planner", "compiled: decisions per CPU-second", "NumPy", "ratio", "compiled: ms a decision"]
    text = markdown(heads, measure(settings))
    make_console().print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs / "environments" / "crews.md", "crews-plan-speed", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
