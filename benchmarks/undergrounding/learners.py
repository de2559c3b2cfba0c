"""Learners on Undergrounding-v0 beside the exact plan: five seeds each, on seasons that no training drew.

    python benchmarks/undergrounding_learners.py --docs docs/environments/undergrounding.md

Three tasks: against the worst storm without a limit (the tri-level plan is exact), in simulated seasons without a limit
(no forecast plans better on the mean than `sampled-hardening`), and there within the limit (`fair-hardening`). Every
seed is one `train.py` run on one thread; differences are paired season by season, intervals are Student's t over seeds.
Seeds that are in `--results` are not trained again, so a run that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from pages import replace_block
from results_table.training import Trainer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import plain
from stormgym.agents.files import write_atomically
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.statistics import mean_estimate
from stormgym.agents.terminal import make_console
from stormgym.envs.undergrounding.profiles import resolve_profile

ENV_ID = "Undergrounding-v0"
AGENTS = ("maskable-ppo", "sta-ppo")
KEYS = ("saidi_h", "gap_h")


@dataclass(frozen=True)
class Task:
    """A form of the environment, and the planner that learners are measured by."""

    name: str
    storm: str
    constrained: bool
    planner: str
    others: tuple[str, ...]

    def env(self, profile: str) -> dict[str, Any]:
        """Arguments of the environment."""
        return {"profile": profile, "storm": self.storm}


TASKS = (
    Task("worst storm", "adversarial", False, "tri-level", ("two-stage-mean", "one-stage-worst", "bury-nothing")),
    Task("simulated", "simulated", False, "sampled-hardening", ("tri-level", "two-stage-mean", "bury-nothing")),
    Task("simulated, limit", "simulated", True, "fair-hardening", ("oracle-hardening",)),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Learners beside the exact plan."""

    profile: str = "ten"
    """Regions, storms and costs."""
    timesteps: int = 80_000
    """Steps of each training."""
    seeds: int = 5
    """Training seeds of each learner, 0, 1, ..."""
    tasks: tuple[str, ...] = tuple(task.name for task in TASKS)
    """Which tasks."""
    agents: tuple[str, ...] = AGENTS
    """Which learners."""
    episodes: int = 1_000
    """Held-out seasons."""
    eval_seed: int = 4_242
    """Of the held-out seasons."""
    results: Path = Path("benchmarks/results/undergrounding_learners")
    """Where each seed's numbers are kept."""
    runs_dir: Path = Path("runs/undergrounding_learners")
    """Where runs are kept."""
    table_only: bool = False
    """Train and score nothing: the table of what is kept."""
    in_process: bool = False
    """Train in this process, for tests."""
    docs: Path | None = None
    """Page whose block gets the table."""


@dataclass(frozen=True)
class Score:
    """What one policy did on the held-out seasons."""

    episodes: dict[str, list[float]]
    """Metric -> one number a season."""
    ms: float
    """Of a decision, alone."""


def main(args: list[str] | None = None) -> int:
    """Train and score what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    console = make_console()
    known = {task.name: task for task in TASKS}
    unknown = [*({*settings.tasks} - {*known}), *({*settings.agents} - {*AGENTS})]
    if unknown:
        console.print(f"error: unknown {unknown[0]!r}; tasks: {', '.join(known)}; agents: {', '.join(AGENTS)}")
        return 2
    tasks = [known[name] for name in settings.tasks]
    wanted: list[tuple[Task, str, int | None]] = []
    for task in tasks:
        wanted += [(task, name, None) for name in (task.planner, *task.others)]
    wanted += [(task, name, seed) for seed in range(settings.seeds) for task in tasks for name in settings.agents]
    found: dict[tuple[str, str, int | None], Score] = {}
    trainer = Trainer(settings.in_process)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=make_console(stderr=True)) as progress:
        bar = progress.add_task("scores", total=len(wanted))
        for task, name, seed in wanted:
            progress.update(bar, description=f"{task.name}: {name}{'' if seed is None else f' seed {seed}'}")
            score = _score(settings, task, name, seed, trainer)
            if score is not None:
                found[task.name, name, seed] = score
            progress.advance(bar)
    text = table(tasks, found, settings)
    console.print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs, "undergrounding_learners", text)
    return 0


def _score(settings: Settings, task: Task, name: str, seed: int | None, trainer: Trainer) -> Score | None:
    """From its file, or trained and played."""
    told = {
        "env": task.env(settings.profile),
        "agent": name,
        "held_out": [settings.episodes, settings.eval_seed],
        **({} if seed is None else {"timesteps": settings.timesteps, "constrained": task.constrained}),
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:10]
    stem = f"{name}-{digest}" + ("" if seed is None else f"-{seed}")
    file = settings.results / f"{stem}.json"
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        return Score(**kept["score"])
    if settings.table_only:
        return None
    item = name
    if seed is not None:
        folder = settings.runs_dir / stem
        runs = sorted((folder / ENV_ID / name).glob(f"{seed}-*"))
        words = ["--resume", str(runs[-1])] if runs else _words(settings, task, name, seed, folder)
        folder.mkdir(parents=True, exist_ok=True)
        trainer.run(words, folder / "train.log")
        item = f"{name}={sorted((folder / ENV_ID / name).glob(f'{seed}-*'))[-1]}"
    played = evaluate(
        ENV_ID,
        resolve_agents([item], ENV_ID),
        episodes=settings.episodes,
        seed=settings.eval_seed,
        env_kwargs=task.env(settings.profile),
    )
    record = played.agents[name]
    episodes = {key: np.round(record.metrics[key], 5).tolist() for key in KEYS}
    score = Score(episodes, float(record.latency.mean_ms))
    settings.results.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(plain({**told, "seed": seed, "score": asdict(score)})) + "\n")
    return score


def _words(settings: Settings, task: Task, name: str, seed: int, folder: Path) -> list[str]:
    words = ["--env", ENV_ID, "--agent", name, "--timesteps", str(settings.timesteps), "--seed", str(seed)]
    words += ["--profile", settings.profile, "--option", f"storm={task.storm}", "--final-episodes", "0"]
    words += ["--runs-dir", str(folder)]
    return words if task.constrained else [*words, f"--{name}.no-constrained"]


def table(tasks: list[Task], found: dict[tuple[str, str, int | None], Score], settings: Settings) -> str:
    """Mean loss and gap of every row, and the paired distance from the planner in per cent of its loss."""
    lines = [
        "| task | agent | SAIDI, h | gap, h | above the planner | seeds | ms a decision |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task in tasks:
        base = found.get((task.name, task.planner, None))
        for name in (task.planner, *task.others, *settings.agents):
            scores = [score for (t, n, _), score in found.items() if (t, n) == (task.name, name)]
            if not scores or base is None:
                continue
            reference = np.array(base.episodes["saidi_h"])
            loss = [float(np.mean(score.episodes["saidi_h"])) for score in scores]
            gap = [float(np.mean(score.episodes["gap_h"])) for score in scores]
            off = [100 * float(np.mean(np.array(s.episodes["saidi_h"]) - reference) / reference.mean()) for s in scores]
            cells = (_text(loss, 3), _text(gap, 2), "0" if name == task.planner else f"{_text(off, 2, '+')} %")
            n = str(len(scores)) if name in AGENTS else ""
            ms = f"{np.mean([score.ms for score in scores]):.1f}"
            lines.append(f"| {' | '.join((task.name, name, *cells, n, ms))} |")
    limit = resolve_profile(settings.profile).cost_limit
    seasons = f"{settings.episodes:,} held-out seasons of `{settings.profile}`"
    lines.append(f"\nLimit on the mean gap: {limit:g} h; {seasons}.")
    return "\n".join(lines)


def _text(values: list[float], decimals: int, sign: str = "") -> str:
    estimate = mean_estimate(values)
    text = f"{estimate.value:{sign}.{decimals}f}"
    return f"{text} ± {estimate.half_width:.{decimals}f}" if len(values) > 1 else text


if __name__ == "__main__":
    sys.exit(main())
