"""Undergrounding-v0 in steps a second, and worst storms in batches beside a linear program each, in one run.

    python -m benchmarks.undergrounding.env_speed --docs docs

Cases take turns, round by round, each in whole vector steps for at least the given time; the table shows the median
over rounds, of processor time on one thread. Environments are played at random among what the mask leaves open, resets
included. Ratios say more than numbers: machines differ.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when numpy is loaded
    os.environ[_name] = "1"

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import tyro

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown
from stormgym.agents.terminal import make_console
from stormgym.agents.undergrounding.trilevel.solve import worst_case
from stormgym.envs.undergrounding.core import SeasonSource
from stormgym.envs.undergrounding.profiles import resolve_profile
from stormgym.envs.undergrounding.worst import worst_storms

ENV_ID = "stormgym:Undergrounding-v0"
Work = Callable[[], int]
"""Does some work and returns how many things were done."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Steps and worst storms a second."""

    profile: str = "ten"
    """Regions, storms and costs."""
    batch: int = 64
    """Environments, or plans whose worst storm is sought."""
    seconds: float = 2.0
    """Of the processor, for each case and round."""
    rounds: int = 3
    """Turns of each case."""
    docs: Path | None = None
    """Folder of the docs: the table goes to the block undergrounding_speed of its environments/undergrounding.md."""


def vector_steps(settings: Settings, mode: str, storm: str) -> Work:
    """One step of every environment, at random among what is open."""
    kwargs: dict[str, Any] = {"profile": settings.profile, "storm": storm}
    env = gym.make_vec(ENV_ID, settings.batch, vectorization_mode=mode, **kwargs)
    seen, _ = env.reset(seed=0)
    rng, masks = np.random.default_rng(0), [seen["action_mask"]]

    def step() -> int:
        action = (rng.random(masks[0].shape) * masks[0]).argmax(axis=1)
        masks[0] = env.step(action)[0]["action_mask"]
        return settings.batch

    return step


def storms(settings: Settings, batched: bool) -> Work:
    """Worst storms of B plans, each within its own set: at once, or by a linear program each."""
    profile = resolve_profile(settings.profile)
    source = SeasonSource(profile, "ncp", "marginal", 0.99, 0.5)
    sets = source.draw([np.random.default_rng([1, i]) for i in range(settings.batch)])[2].sets()
    plans = np.random.default_rng(0).random((settings.batch, profile.n_counties)) < 0.3
    h, crews = profile.population, profile.n_crews

    def at_once() -> int:
        worst_storms(plans, h, sets, crews)
        return settings.batch

    def one_by_one() -> int:
        for plan, i in zip(plans, range(settings.batch), strict=True):
            worst_case(plan, h, 1.0, *sets[i].bounds, crew_budget=float(crews))
        return settings.batch

    return at_once if batched else one_by_one


def main(args: list[str] | None = None) -> int:
    """Time, print, write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    cases: dict[tuple[str, str], Work] = {
        ("steps", "SyncVectorEnv"): vector_steps(settings, "sync", "simulated"),
        ("steps", "native VectorEnv"): vector_steps(settings, "vector_entry_point", "simulated"),
        ("steps, worst storms", "SyncVectorEnv"): vector_steps(settings, "sync", "adversarial"),
        ("steps, worst storms", "native VectorEnv"): vector_steps(settings, "vector_entry_point", "adversarial"),
        ("worst storms", "a linear program each"): storms(settings, False),
        ("worst storms", "worst_storms"): storms(settings, True),
    }
    rates: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for work in cases.values():
        work()  # what is made once is not counted
    for _ in range(settings.rounds):
        for case, work in cases.items():
            began, done = time.process_time(), 0
            while (spent := time.process_time() - began) < settings.seconds:
                done += work()
            rates[case].append(done / spent)
    rows, base = [], 1.0
    for i, ((what, how), values) in enumerate(rates.items()):
        rate = median(values)
        base = rate if i % 2 == 0 else base
        rows.append([what, how, f"{rate:,.0f}", "1" if i % 2 == 0 else f"{rate / base:.1f}"])
    text = markdown(["what", "how", "a second of the processor", "ratio"], rows)
    text += f"\n\nProfile `{settings.profile}`, {settings.batch} environments or plans at a time."
    make_console().print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs / "environments" / "undergrounding.md", "undergrounding_speed", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
