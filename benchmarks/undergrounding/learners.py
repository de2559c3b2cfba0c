"""Learners on Undergrounding-v0 beside the exact plan: five seeds each, on seasons that no training drew.

    python -m benchmarks.undergrounding.learners --jobs 2 --docs docs

Three tasks: against the worst storm without a limit (the tri-level plan is exact), in simulated seasons without a limit
(no forecast plans better on the mean than `sampled-hardening`), and there within the limit (`fair-hardening`). Every
seed is one `train.py` run on one thread; differences are paired season by season, intervals are Student's t over seeds.
Seeds that are kept are not trained again, so a run that was stopped goes on.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tyro

from benchmarks.kit.cells import Cells, key_of
from benchmarks.kit.pages import Page
from benchmarks.kit.seeds import Training
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import markdown, number
from stormgym.agents.cluster import Workers, parse_workers
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.look_ahead import look_ahead
from stormgym.agents.policy import Entrant
from stormgym.agents.statistics import mean_estimate
from stormgym.agents.terminal import make_console
from stormgym.agents.training.pool import TrainingJob, train_to_end, work
from stormgym.agents.training.workers import trainer_for
from stormgym.envs.undergrounding.profiles import resolve_profile

ENV_ID = "Undergrounding-v0"
BENCHMARK = "undergrounding/learners"
PAGE = Page("undergrounding-learners", "Learners on Undergrounding-v0", "undergrounding")
AGENTS = ("maskable-ppo", "sta-ppo", "sta-sac")
LOOKS = 32
"""Plans that `sta-sac` also draws, looking ahead."""
KEYS = ("saidi_h", "gap_h")


@dataclass(frozen=True)
class Task:
    """A form of the environment, and the planner that learners are measured by."""

    name: str
    storm: str
    constrained: bool
    planner: str
    others: tuple[str, ...]
    teacher: str
    """Whom `sta-sac` imitates."""

    def env(self, profile: str) -> dict[str, Any]:
        """Arguments of the environment."""
        return {"profile": profile, "storm": self.storm}


TASKS = (
    Task(
        "worst storm", "adversarial", False, "tri-level", ("two-stage-mean", "one-stage-worst", "bury-nothing"), "usual"
    ),
    Task(
        "simulated",
        "simulated",
        False,
        "sampled-hardening",
        ("tri-level", "two-stage-mean", "bury-nothing"),
        "sampled-hardening",
    ),
    Task("simulated, limit", "simulated", True, "fair-hardening", ("oracle-hardening",), "usual"),
)


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
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
    runs_dir: Path = Path("runs/undergrounding_learners")
    """Where runs are kept."""
    jobs: int | str = 1
    """Runs side by side, one thread each; 0 trains in this process, one after the other; ray or ray:N in a cluster."""
    table_only: bool = False
    """Train and score nothing: the table of what is kept."""

    HOW: ClassVar[tuple[str, ...]] = ("runs_dir", "jobs", "table_only")


@dataclass(frozen=True)
class Score:
    """What one policy did on the held-out seasons."""

    episodes: dict[str, list[float]]
    """Metric -> one number a season."""
    ms: float
    """Of a decision, alone."""


@dataclass(frozen=True)
class Job:
    """One policy to score, after its training where it is a learner's seed."""

    settings: Settings
    task: Task
    agent: str
    seed: int | None = None
    looks: int = 0
    """Plans that it draws, looking ahead; 0: it acts alone."""

    @property
    def label(self) -> str:
        """As tables show it."""
        return f"{self.agent}@{self.looks}" if self.looks else self.agent

    @property
    def ways(self) -> list[Job]:
        """All ways in which one training plays."""
        return [self, replace(self, looks=LOOKS)] if self.agent == "sta-sac" else [self]

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.task.name}: {self.agent}{'' if self.seed is None else f' seed {self.seed}'}"

    @property
    def told(self) -> dict[str, Any]:
        """All that decides the score, but for the seed."""
        s = self.settings
        held_out = {"env": self.task.env(s.profile), "agent": self.agent, "held_out": [s.episodes, s.eval_seed]}
        return held_out if self.seed is None else {**held_out, **self._trained}

    @property
    def _trained(self) -> dict[str, Any]:
        told = {"timesteps": self.settings.timesteps, "constrained": self.task.constrained}
        if self.agent != "sta-sac":
            return told
        return {**told, "teacher": self.task.teacher, **({"looks": self.looks} if self.looks else {})}

    @property
    def key(self) -> str:
        """Name of the cell."""
        return key_of(self.agent, self.told) + ("" if self.seed is None else f"-{self.seed}")

    def training(self) -> TrainingJob | None:
        """The run that is trained."""
        if self.seed is None:
            return None
        train: dict[str, Any] = {} if self.task.constrained else {"constrained": False}
        if self.agent == "sta-sac":
            train["teacher"] = self.task.teacher
        how = Training(
            env_id=ENV_ID,
            agent=self.agent,
            timesteps=self.settings.timesteps,
            env=self.task.env(self.settings.profile),
            train=train,
        )
        return how.job(self.name, self.settings.runs_dir / self.key, self.seed)


def jobs_of(settings: Settings) -> list[Job]:
    """Planners of the tasks, then the learners' first seeds, their second, and so on."""
    tasks = [task for task in TASKS if task.name in settings.tasks]
    planners = [Job(settings, task, name) for task in tasks for name in (task.planner, *task.others)]
    seeds = range(settings.seeds)
    learnt = [Job(settings, task, name, seed) for seed in seeds for task in tasks for name in settings.agents]
    return planners + learnt


def main(args: list[str] | None = None) -> int:
    """Train and score what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    console = make_console()
    known = [task.name for task in TASKS]
    unknown = [*({*settings.tasks} - {*known}), *({*settings.agents} - {*AGENTS})]
    if unknown:
        console.print(f"error: unknown {unknown[0]!r}; tasks: {', '.join(known)}; agents: {', '.join(AGENTS)}")
        return 2
    workers = parse_workers(settings.jobs, least=0)
    cells, jobs, code = settings.kept(BENCHMARK), jobs_of(settings), 0
    if not settings.table_only:
        lacking = [job for job in jobs if any(cells.find(way.key) is None for way in job.ways)]
        code = train_and_score(cells, lacking, workers)
        if code == 130:
            return code
    cells.collect(way.key for job in jobs for way in job.ways)
    console.print(table(settings, scores_of(cells, jobs)), markup=False)
    if settings.docs is not None:
        cells.keep_page(settings.decisive())
        write_pages(cells, settings.docs)
    return code


def train_and_score(cells: Cells, jobs: list[Job], workers: Workers) -> int:
    """Do all jobs and keep their scores; return 0, 1 when one failed, 130 when stopped."""
    alone = threading.Lock()
    trainer, n_workers = trainer_for(workers)

    def do(job: Job) -> None:
        run = None if (training := job.training()) is None else train_to_end(trainer, training)[0].folder
        with alone:  # the time of a decision is measured
            for way in job.ways:
                cells.keep(way.key, {**way.told, "seed": job.seed}, score(way, run))

    err = make_console(stderr=True)
    outcome = work(jobs, do, trainer=trainer, n_workers=n_workers, console=err, training=Job.training, unit="scores")
    if outcome.stopped:
        err.print("stopped; what is done is kept, and the same command goes on")
    return outcome.exit_code


def score(job: Job, run: Path | None) -> dict[str, Any]:
    """Play the held-out seasons."""
    item = job.agent if run is None else f"{job.agent}={run}"
    played = evaluate(
        ENV_ID,
        {job.agent: _entrant(job, item)},
        episodes=job.settings.episodes,
        seed=job.settings.eval_seed,
        env_kwargs=job.task.env(job.settings.profile),
    )
    record = played.agents[job.agent]
    episodes = {key: np.round(record.metrics[key], 5).tolist() for key in KEYS}
    return asdict(Score(episodes, float(record.latency.mean_ms)))


def _entrant(job: Job, item: str) -> Entrant:
    """Who plays; looking ahead where there is no limit, it pays no price on the gap."""
    (entrant,) = resolve_agents([item], ENV_ID).values()
    if not job.looks:
        return entrant
    price = None if job.task.constrained else 0.0
    return replace(entrant, make=lambda env: look_ahead(entrant.make(env), env, n_orders=job.looks, price=price))


Scores = Mapping[tuple[str, str], list[Score]]
"""Task and agent -> seeds."""


def scores_of(cells: Cells, jobs: list[Job]) -> Scores:
    """What is kept of these jobs."""
    found: dict[tuple[str, str], list[Score]] = {}
    for way in (way for job in jobs for way in job.ways):
        kept = cells.find(way.key)
        if kept is not None:
            found.setdefault((way.task.name, way.label), []).append(Score(**kept.result))
    return found


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    command = command_of("undergrounding.learners", settings, Settings())
    PAGE.write(docs, f"Made by `{command}`.\n\n{table(settings, scores_of(cells, jobs_of(settings)))}")


def table(settings: Settings, found: Scores) -> str:
    """Mean loss and gap of every row, and the paired distance from the planner in per cent of its loss."""
    rows = []
    for task in TASKS:
        base = found.get((task.name, task.planner))
        learnt = [way.label for name in settings.agents for way in Job(settings, task, name).ways]
        for name in (task.planner, *task.others, *learnt):
            scores = found.get((task.name, name))
            if scores is None or base is None:
                continue
            reference = np.array(base[0].episodes["saidi_h"])
            loss = [float(np.mean(score.episodes["saidi_h"])) for score in scores]
            gap = [float(np.mean(score.episodes["gap_h"])) for score in scores]
            off = [100 * float(np.mean(np.array(s.episodes["saidi_h"]) - reference) / reference.mean()) for s in scores]
            numbers = (_text(loss, 3), _text(gap, 2), "0" if name == task.planner else f"{_text(off, 2, '+')} %")
            n = str(len(scores)) if name in learnt else ""
            ms = f"{np.mean([score.ms for score in scores]):.1f}"
            rows.append([task.name, name, *numbers, n, ms])
    limit = resolve_profile(settings.profile).cost_limit
    seasons = f"{settings.episodes:,} held-out seasons of `{settings.profile}`"
    head = ["task", "agent", "SAIDI, h", "gap, h", "above the planner", "seeds", "ms a decision"]
    return f"{markdown(head, rows)}\n\nLimit on the mean gap: {limit:g} h; {seasons}."


def _text(values: list[float], decimals: int, sign: str = "") -> str:
    return number(mean_estimate(values), sign, decimals)


if __name__ == "__main__":
    sys.exit(main())
