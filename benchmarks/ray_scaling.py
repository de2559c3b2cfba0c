"""What a Ray cluster adds on one machine: evaluations and trainings with one worker and with more, in one run.

    python -m benchmarks.ray_scaling --docs docs

Work of two sizes is timed; the slope is the rate, and what is left is the start of processes. Each time is the least of
`--repeats`. About ten minutes on two cores, which should have nothing else to do.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks.kit.pages import replace_block
from stormgym.agents.cluster import Workers, connect
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.terminal import make_console
from stormgym.agents.training.pool import TrainingJob, train_all
from stormgym.agents.training.workers import trainer_for

ENV_ID = "Restoration-v0"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Rates with one worker and with more."""

    city: str = "synthetic:30:1"
    """City of all trials."""
    agent: str = "equity-planner"
    """What is evaluated."""
    batches: tuple[int, int] = (4, 16)
    """Batches of 64 episodes of the smaller and the larger evaluation."""
    timesteps: tuple[int, int] = (5_000, 20_000)
    """Steps of the shorter and the longer training."""
    runs: int = 2
    """Runs that are trained, one seed each."""
    workers: tuple[int, ...] = (1, 2)
    """Numbers of workers to try."""
    repeats: int = 2
    """The least time of so many counts."""
    docs: Path | None = None
    """Folder of the docs, whose ray.md gets the table; left out, it is printed only."""


@dataclass(frozen=True)
class Rate:
    """Work a second once all has started, and what the start takes."""

    per_s: float
    start_s: float


def rate(take: Callable[[int], float], sizes: tuple[int, int], repeats: int, unit: int = 1) -> Rate:
    """Time work of two sizes, each `repeats` times in turn.

    Args:
        take: seconds of work of a size.
        sizes: the smaller and the larger.
        repeats: how often.
        unit: what one of the size counts.

    Raises:
        RuntimeError: the larger work took no longer.
    """
    small, large = sizes
    times = [(take(small), take(large)) for _ in range(repeats)]
    first, second = (min(column) for column in zip(*times, strict=True))
    if second <= first:
        raise RuntimeError(f"work of size {large} took {second:.1f} s, and of {small} {first:.1f} s; take larger sizes")
    per_s = unit * (large - small) / (second - first)
    return Rate(per_s, max(first - unit * small / per_s, 0.0))


def evaluating(settings: Settings, workers: Workers | None) -> Rate:
    """Episodes a second."""
    entrants, kwargs = resolve_agents(settings.agent, ENV_ID), {"city": settings.city}

    def take(batches: int) -> float:
        begin = time.perf_counter()
        evaluate(ENV_ID, entrants, episodes=64 * batches, env_kwargs=kwargs, latency_episodes=1, workers=workers)
        return time.perf_counter() - begin

    return rate(take, settings.batches, settings.repeats, unit=64)


def training(settings: Settings, workers: Workers) -> Rate:
    """Environment steps a second, of all runs together."""

    def take(timesteps: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            jobs = [_job(settings, Path(folder), seed, timesteps) for seed in range(settings.runs)]
            trainer, n_workers = trainer_for(workers)
            begin = time.perf_counter()
            outcome = train_all(jobs, n_workers=n_workers, console=Console(quiet=True), trainer=trainer)
            if outcome.exit_code:
                raise RuntimeError(f"a training failed: {outcome.failed}")
            return time.perf_counter() - begin

    return rate(take, settings.timesteps, settings.repeats, unit=settings.runs)


def _job(settings: Settings, folder: Path, seed: int, timesteps: int) -> TrainingJob:
    words = ["--env", ENV_ID, "--agent", "maskable-ppo", "--city", settings.city, "--seed", str(seed)]
    words += ["--timesteps", str(timesteps), "--eval-freq", str(timesteps), "--eval-episodes", "64"]
    return TrainingJob(
        name=f"seed {seed}",
        env_id=ENV_ID,
        agent="maskable-ppo",
        seed=seed,
        timesteps=timesteps,
        options=words,
        runs_dir=folder / "runs",
        folder=folder / "jobs" / str(seed),
    )


def table(settings: Settings) -> str:
    """The rates in Markdown."""
    on_ray = [Workers(n, on_ray=True) for n in settings.workers]
    lines = ["| work | where | per second | against one worker | start (s) |", "| --- | --- | --- | --- | --- |"]
    for what, found in (
        (
            f"episodes of {settings.agent}",
            {"one process": evaluating(settings, None), **{_name(w): evaluating(settings, w) for w in on_ray}},
        ),
        (
            "steps of maskable-ppo",
            {
                **{f"--jobs {n}": training(settings, Workers(n)) for n in settings.workers},
                **{f"--jobs {_name(w)}": training(settings, w) for w in on_ray},
            },
        ),
    ):
        one = next(iter(found.values()))
        for where, each in found.items():
            ratio = f"{each.per_s / one.per_s:.2f}"
            lines.append(f"| {what} | {where} | {each.per_s:,.0f} | {ratio} | {each.start_s:.1f} |")
    return "\n".join(lines)


def _name(workers: Workers) -> str:
    return f"ray:{workers.n}"


def main(args: list[str] | None = None) -> int:
    """Measure, print, and write where asked."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    console = make_console()
    connect()
    load = os.getloadavg()[0]
    text = table(settings)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    console.print(f"{text}\n\n{machine}; load before: {load:.1f}", markup=False, soft_wrap=True)
    if load > 0.5:
        console.print("the machine had other work: measure again when it has none", markup=False)
    if settings.docs is not None:
        city = f"City {settings.city}; {settings.runs} runs of one thread each; {machine}."
        replace_block(settings.docs / "ray.md", "ray-scaling", f"{text}\n\n{city}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
