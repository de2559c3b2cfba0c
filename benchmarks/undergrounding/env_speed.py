"""Undergrounding-v0 and GeneratorDispatch-v0 in steps a second, worst storms in batches, and how long making takes.

    python -m benchmarks.undergrounding.env_speed --docs docs

Cases take turns, round by round, each in whole vector steps for at least the given time; the table shows the median
over rounds, of processor time on one thread. Environments are played at random among what the mask leaves open, resets
included. Making is timed in new processes with an empty cache, imports included. Ratios say more than numbers: machines
differ.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when numpy is loaded
    os.environ[_name] = "1"

import subprocess
import sys
import tempfile
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
from stormgym.agents.dispatch.decision import WEATHER, simulated_events
from stormgym.agents.terminal import make_console
from stormgym.agents.undergrounding.trilevel.solve import worst_case
from stormgym.envs.dispatch.profiles import resolve_profile as resolve_dispatch
from stormgym.envs.undergrounding.core import SeasonSource
from stormgym.envs.undergrounding.profiles import resolve_profile
from stormgym.envs.undergrounding.worst import worst_storms
from stormgym.predictors.outage_ode import OutageODE

ENV_ID, DISPATCH_ID = "stormgym:Undergrounding-v0", "stormgym:GeneratorDispatch-v0"
Work = Callable[[], int]
"""Does some work and returns how many things were done."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Steps and worst storms a second."""

    profile: str = "ten"
    """Regions, storms and costs."""
    batch: int = 64
    """Environments, or plans whose worst storm is sought."""
    large_batch: int = 1024
    """The same in a large batch, native form."""
    made: tuple[str, ...] = ("ten", "synthetic:40:0", "synthetic:100:0")
    """Profiles of which an environment is made on an empty cache."""
    seconds: float = 2.0
    """Of the processor, for each case and round."""
    rounds: int = 3
    """Turns of each case."""
    docs: Path | None = None
    """Folder of the docs: the table goes to the block undergrounding_speed of its environments/undergrounding.md."""


def vector_steps(settings: Settings, mode: str, storm: str, batch: int | None = None) -> Work:
    """One step of every environment, at random among what is open."""
    n = settings.batch if batch is None else batch
    kwargs: dict[str, Any] = {"profile": settings.profile, "storm": storm}
    env = gym.make_vec(ENV_ID, n, vectorization_mode=mode, **kwargs)
    seen, _ = env.reset(seed=0)
    rng, masks = np.random.default_rng(0), [seen["action_mask"]]

    def step() -> int:
        action = (rng.random(masks[0].shape) * masks[0]).argmax(axis=1)
        masks[0] = env.step(action)[0]["action_mask"]
        return n

    return step


def dispatch_steps(settings: Settings, mode: str, forecast: str) -> Work:
    """One day of every storm of GeneratorDispatch-v0, one generator wanted in each county."""
    env = gym.make_vec(DISPATCH_ID, settings.batch, vectorization_mode=mode, profile="A", forecast=forecast)
    env.reset(seed=0)
    actions = np.ones_like(env.action_space.sample())

    def step() -> int:
        env.step(actions)
        return settings.batch

    return step


def save_forecaster(file: Path) -> None:
    """A forecaster of waves, hardly fitted: it is as slow as any."""
    profile = resolve_dispatch("A")
    events = simulated_events(profile, 40, 0)
    ode = OutageODE(
        profile.population,
        profile.n_periods,
        feature_names=WEATHER,
        steps_per_period=profile.steps_per_period,
        n_steps=1,
    )
    ode.fit(events.X, events.out, events.onset).conformalize(events.X, events.out, events.onset).save(file)


def making_s(profile: str, folder: Path) -> float:
    """Seconds of the processor until an environment is made, in a new process."""
    code = f"import gymnasium as gym, time; gym.make({ENV_ID!r}, profile={profile!r}); print(time.process_time())"
    variables = {**os.environ, "STORMGYM_CACHE": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    return float(done.stdout)


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


def measure(settings: Settings, file: Path) -> dict[tuple[str, str], float]:
    """A second of the processor, by what is done and how: the median over rounds."""
    native, sync, batch = "vector_entry_point", "sync", settings.batch
    cases: dict[tuple[str, str], Work] = {
        ("steps", f"SyncVectorEnv, B = {batch}"): vector_steps(settings, sync, "simulated"),
        ("steps", f"native, B = {batch}"): vector_steps(settings, native, "simulated"),
        ("steps", f"native, B = {settings.large_batch}"): vector_steps(
            settings, native, "simulated", settings.large_batch
        ),
        ("steps, worst storms", f"SyncVectorEnv, B = {batch}"): vector_steps(settings, sync, "adversarial"),
        ("steps, worst storms", f"native, B = {batch}"): vector_steps(settings, native, "adversarial"),
        ("worst storms", "a linear program each"): storms(settings, False),
        ("worst storms", "worst_storms"): storms(settings, True),
    }
    for name, known in (("GeneratorDispatch-v0", "typical"), ("the same, with a learnt forecaster", str(file))):
        cases[name, f"SyncVectorEnv, B = {batch}"] = dispatch_steps(settings, sync, known)
        cases[name, f"native, B = {batch}"] = dispatch_steps(settings, native, known)
    rates: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for (_, how), work in cases.items():
        for _ in range(40 if how.startswith("native") else 1):  # what is made once is not counted, nor that seasons
            work()  # are drawn ahead the further the longer an environment is played
    for _ in range(settings.rounds):
        for case, work in cases.items():
            began, done = time.process_time(), 0
            while (spent := time.process_time() - began) < settings.seconds:
                done += work()
            rates[case].append(done / spent)
    return {case: median(values) for case, values in rates.items()}


def main(args: list[str] | None = None) -> int:
    """Time, print, write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "forecaster.npz"
        save_forecaster(file)
        found = measure(settings, file)
        made = [[name, f"{making_s(name, Path(folder) / name):.1f}"] for name in settings.made]
    first: dict[str, float] = {}
    rows = [
        [what, how, f"{rate:,.0f}", f"{rate / first.setdefault(what, rate):.1f}"] for (what, how), rate in found.items()
    ]
    text = markdown(["what", "how", "a second of the processor", "ratio"], rows)
    text += f"\n\nProfile `{settings.profile}`, {settings.batch} environments or plans at a time where nothing else is "
    text += "said; dispatch on profile A.\n\n"
    text += markdown(["made on an empty cache", "seconds of the processor"], made)
    make_console().print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs / "environments" / "undergrounding.md", "undergrounding_speed", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
