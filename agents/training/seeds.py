"""Several seeds of one run: trained side by side, found or resumed by the same command, then compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from stormgym.agents.cluster import Workers
from stormgym.agents.evaluation.opening import final_table
from stormgym.agents.evaluation.options import held_out
from stormgym.agents.evaluation.report import render_report
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import summarise, write_json
from stormgym.agents.lineup import resolve_agents, run_entrant
from stormgym.agents.registry import domain_of, has_domain, plain_id
from stormgym.agents.runs import Run, RunRequest, comparable
from stormgym.agents.statistics import mean_estimate
from stormgym.agents.terminal import episode_progress
from stormgym.agents.training.checks import LARGEST_SEED, FinalTable, names_many
from stormgym.agents.training.command import HELD_OUT_SEED, complete
from stormgym.agents.training.play import make_training_env
from stormgym.agents.training.pool import Outcome, TrainingJob, TrainingTime, train_all
from stormgym.agents.training.workers import trainer_for
from stormgym.agents.usage import WRONG_USE, usage_errors

OF_THE_POOL = ("--seeds", "--jobs", "--seed", "--runs-dir", "--final-episodes", "--compare", "--device")
"""Options with a value that the pool sets for each seed, or that a single seed does not take."""
FLAGS = ("--progress", "--no-progress")
MOST_SEEDS = 10_000
"""Runs that one command may ask for."""


def options_of_one(words: Sequence[str]) -> list[str]:
    """The options of a command line that every seed shares, without those of `OF_THE_POOL`."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        name = word.partition("=")[0].replace("_", "-")
        if name in FLAGS:
            continue
        if name in (*OF_THE_POOL, "--torch-threads"):
            if "=" not in word:
                next(rest, None)
            continue
        kept.append(word)
    return kept


def jobs_of(
    request: RunRequest, n_seeds: int, words: Sequence[str], runs_dir: Path, table: FinalTable | None = None
) -> list[TrainingJob]:
    """A job a seed, from the request's seed on.

    Args:
        request: the run of the first seed.
        n_seeds: how many.
        words: the command line, whose other options every seed gets.
        table: what `show_seeds` will be asked for, checked now rather than after hours.
        runs_dir: where run folders are made; logs of the seeds are in `ENV/AGENT/seeds/KEY/SEED` of it.

    Raises:
        ValueError: fewer than one seed or more than `MOST_SEEDS`, or a request that no run can have (see `complete`).
    """
    if not 1 <= n_seeds <= MOST_SEEDS:
        least = "at least 1" if n_seeds < 1 else f"at most {MOST_SEEDS:,}"
        raise ValueError(f"--seeds must be {least}; got {n_seeds}")
    if request.seed + n_seeds - 1 > LARGEST_SEED:
        raise ValueError(
            f"--seed {request.seed} and {n_seeds - 1} more go beyond {LARGEST_SEED:,}; begin with a smaller one"
        )
    _, _, settings = complete(request, table or FinalTable())
    if names_many(settings.env_id, settings.env_kwargs) is None:
        make_training_env(settings.env_id, 1, settings.env_kwargs).close()  # what all seeds would stumble on
    alike = comparable(settings)
    key = hashlib.sha256(json.dumps(alike, sort_keys=True).encode()).hexdigest()[:10]
    place = runs_dir / plain_id(settings.env_id).replace("/", "_") / settings.agent / "seeds" / key
    return [
        TrainingJob(
            name=f"seed {seed}",
            env_id=plain_id(settings.env_id).replace("/", "_"),
            agent=settings.agent,
            seed=seed,
            timesteps=settings.timesteps,
            options=(*options_of_one(words), "--seed", str(seed)),
            runs_dir=runs_dir,
            folder=place / str(seed),
            is_own=lambda other: comparable(other) == alike,
        )
        for seed in range(request.seed, request.seed + n_seeds)
    ]


def train_seeds(
    jobs: Sequence[TrainingJob], *, workers: Workers, device: str, threads: int, script: Path, console: Console
) -> Outcome[TrainingJob, tuple[Run, TrainingTime]]:
    """Bring every seed to its budget, side by side; earlier runs with the same settings are found or resumed.

    Raises:
        UsageError: a Ray cluster is asked for, and Ray is not installed or the cluster not found.
    """
    with usage_errors((*WRONG_USE, ImportError)):
        trainer, n_workers = trainer_for(workers, device, threads, script)
    return train_all(jobs, n_workers=n_workers, console=console, trainer=trainer)


def show_seeds(runs: Sequence[Run], console: Console, table: FinalTable, folder: Path) -> None:
    """Print all seeds beside the other agents on common held-out scenarios, their mean, and where the runs are.

    Args:
        runs: one a seed.
        console: for tables.
        table: how many scenarios, and which other agents.
        folder: `evaluation.json` goes there.
    """
    s = runs[0].settings
    if table.episodes and has_domain(s.env_id) and names_many(s.env_id, s.env_kwargs) is None:
        with usage_errors():
            trust = table.trust_pickle
            others = {} if table.compare == "none" else resolve_agents(table.compare, s.env_id, trust_pickle=trust)
            own = {f"{s.agent}-{run.settings.seed}": run_entrant(run.folder) for run in runs}
            entrants = {**own, **others}
        for line in final_table(s.env_id, entrants, table.episodes, len(own)):
            console.print(line, soft_wrap=True, highlight=False, markup=False)
        with episode_progress(list(entrants), table.episodes) as on_progress:
            evaluation = evaluate(
                s.env_id,
                entrants,
                episodes=table.episodes,
                seed=HELD_OUT_SEED,
                env_kwargs=held_out(s.env_kwargs),
                on_progress=on_progress,
            )
        summary = summarise(evaluation)
        write_json(summary, folder / "evaluation.json")
        console.print(render_report(summary))
        headline = domain_of(s.env_id).headline
        means = []
        for column in headline.leading:
            each = [summary["agents"][f"{s.agent}-{run.settings.seed}"][column.key] for run in runs]
            found = mean_estimate(np.asarray(each))
            interval = (
                ""
                if found.low is None or not np.isfinite(found.low)
                else f" [{column.text(found.low)}, {column.text(found.high)}]"
            )
            means.append(f"{column.sentence(found.value)}{interval}")
        over = f"Mean of {len(runs)} seeds, with 95 % intervals over seeds" if len(runs) > 1 else "One seed"
        console.print(f"{over}: {', '.join(means)}.", soft_wrap=True)
        console.print(f"JSON with every episode: {folder / 'evaluation.json'}", soft_wrap=True)
    plural = "s" if len(runs) > 1 else ""
    console.print(f"Trained {len(runs)} seed{plural} of {s.agent} on {s.env_id} for {s.timesteps:,} steps each.")
    for run in runs:
        console.print(f"Run folder: {run.folder}", soft_wrap=True)
