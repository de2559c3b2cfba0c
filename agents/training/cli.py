"""The command line `train.py`, or `stormgym train`: train an agent, or go on with a run.

python train.py --env Restoration-v0
python train.py --env Restoration-v0 --agent ppo --timesteps 500000 --city FOLDER
python train.py --env Restoration-v0 --seeds 5 --jobs 2
python train.py --resume runs/Restoration-v0/sta-sac/RUN
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import tyro

from stormgym.agents.cluster import parse_workers
from stormgym.agents.evaluation.options import EnvOptions, shown_as
from stormgym.agents.registry import DOMAINS
from stormgym.agents.runs import RunRequest
from stormgym.agents.training.options import settings_asked, with_learners
from stormgym.agents.usage import words_of


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Train an agent on an environment, or (--resume) go on with a run.

    Options of an agent: python train.py --agent NAME --help. Agents that learn: python evaluate.py --list.
    """

    env: str = next(iter(DOMAINS))
    """Environment id: one of this suite, or any registered one (module:Name-v0) for ppo, dqn, maskable-ppo and sac."""
    agent: Annotated[str | None, shown_as("NAME")] = None
    """An agent that learns: sta-sac, maskable-ppo, attention-pg, ... (a wrong name lists all). Left out: the agent that
    fits the environment."""
    timesteps: Annotated[int | None, shown_as("N")] = None
    """Environment steps of the whole run. Left out: a small budget of the agent's own."""
    seed: int = 0
    """Decides networks, exploration and training scenarios."""
    seeds: Annotated[int | None, shown_as("N")] = None
    """Train N seeds, from --seed on, each a run of its own; the same command goes on with those that were stopped."""
    jobs: Annotated[int | str, shown_as("N")] = 1
    """With --seeds: runs side by side, one process each; ray, or ray:N, in a Ray cluster (docs/ray.md)."""
    resume: Annotated[Path | None, shown_as("RUN")] = None
    """Run folder to go on with, with its own settings; --timesteps may name a larger total, and --env a module to be
    imported (module:Name-v0)."""
    num_envs: Annotated[int | None, shown_as("N")] = None
    """Environments that collect side by side. Left out: the agent's own number."""
    eval_freq: Annotated[int | None, shown_as("STEPS")] = None
    """Steps between evaluations. Left out: a twentieth of the run."""
    eval_episodes: int = 256
    """Fixed scenarios of each evaluation during training; they decide which model is kept as the best."""
    checkpoint_freq: Annotated[int | None, shown_as("STEPS")] = None
    """Steps between checkpoints. Left out: a tenth of the run."""
    final_episodes: int = 100
    """Held-out scenarios of the table at the end; 0 for no table."""
    compare: Annotated[str | None, shown_as("A,B")] = None
    """Agents beside the trained one in that table, or none. Left out: all that need no training."""
    trust_pickle: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Open runs that an earlier version wrote, whose files can run any code: only if you trust their maker."""
    runs_dir: Path = Path("runs")
    """Where run folders are made."""
    device: str = "cpu"
    """Torch device: cpu, cuda or auto. The networks are small, so a CPU is usually faster."""
    torch_threads: int = 1
    """Threads of torch; the networks are small and gain little from more."""
    progress: bool = True
    """Show a progress bar (on a terminal)."""
    environment: tyro.conf.OmitArgPrefixes[EnvOptions] = field(default_factory=EnvOptions)


FREE_ON_RESUME = ("resume", "env", "timesteps", "final_episodes", "compare", "trust_pickle", "progress")


def main(arguments: Sequence[str] | None = None, prog: str = "train.py") -> int:
    """Run the command line; return the exit code (2 for a wrong name, path or option; 130 after Ctrl-C).

    Args:
        arguments: words after the command; None takes those of this process.
        prog: the command, as messages call it.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        settings: Any = tyro.cli(with_learners(Settings, words), prog=prog, args=words)
    except (ValueError, KeyError) as error:  # of an environment's domain, or a name to be helped with
        print(f"{prog}: {words_of(error)}", file=sys.stderr)
        return 2
    try:
        return _run(settings, prog) if settings.seeds is None else _run_seeds(settings, words, prog)
    except KeyboardInterrupt:
        fresh = settings.seeds is None
        done = "stopped before it began; nothing was written" if fresh else "stopped; the same command goes on"
        print(f"{prog}: {done}", file=sys.stderr)
        return 130


def _run(settings: Any, prog: str) -> int:
    from stormgym.agents.terminal import make_console, status_console
    from stormgym.agents.training import command
    from stormgym.agents.usage import UsageError

    out, err = make_console(), status_console()
    try:
        if settings.jobs != 1:
            raise UsageError("--jobs is for several --seeds; leave it out, or add --seeds N")
        if _finish(settings, out):
            return 0
        training = _prepare(settings, err)
    except UsageError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    run = training.run
    try:
        with training.lock:  # until the table is written as well
            _train(training, settings, out, err)
    except command.Stopped as stopped:
        print(f"{prog}: {stopped}", file=sys.stderr)
        return 128 + stopped.signum
    except UsageError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        last = run.last_checkpoint()
        rest = "before its first checkpoint" if last is None else f"go on with: {command.resume_command(run)}"
        print(f"{prog}: stopped at once; {rest}", file=sys.stderr)
        return 130
    return 0


def _train(training: Any, settings: Any, out: Any, err: Any) -> None:
    """Train a run that is ready, and show the result."""
    from stormgym.agents.training import command

    run = training.run
    left = run.settings.timesteps - training.model.num_timesteps
    small = "" if settings.resume or settings.timesteps else " (a small default budget; --timesteps sets another)"
    out.print(f"Training {run.settings.agent} on {run.settings.env_id}: {left:,} steps{small}")
    warm_up = getattr(training.settings, "learning_starts", 0)
    if run.settings.timesteps <= warm_up:
        option = f"--{run.settings.agent}.learning-starts"
        out.print(f"Note: the first {warm_up:,} steps are random ({option}), so this run may learn nothing")
    out.print(f"Run folder: {run.folder}", soft_wrap=True)
    command.train(training, err, progress=settings.progress)
    command.show_result(run, out, _table(settings))


def _finish(settings: Any, out: Any) -> bool:
    """Make the final table that a run to be resumed lacks, where that is all it lacks."""
    from stormgym.agents.training import command
    from stormgym.agents.usage import UsageError

    if settings.resume is None:
        return False
    default = type(settings)()
    names = [f.name for f in fields(settings) if f.name not in FREE_ON_RESUME]
    changed = [name for name in names if getattr(settings, name) != getattr(default, name)]
    if changed:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        raise UsageError(f"--resume goes on with the run's own settings; leave out {options}")
    return command.finish(
        settings.resume, settings.timesteps, env_id=_named_env(settings), console=out, table=_table(settings)
    )


def _named_env(settings: Any) -> str | None:
    """The environment that a command line names, or None."""
    return settings.env if settings.env != type(settings)().env else None


def _run_seeds(settings: Any, words: Sequence[str], prog: str) -> int:
    from stormgym.agents.devices import capped_threads
    from stormgym.agents.terminal import make_console, status_console
    from stormgym.agents.training import seeds
    from stormgym.agents.training.pool import TRAIN
    from stormgym.agents.usage import UsageError, usage_errors

    out, table = make_console(), _table(settings)
    try:
        if settings.resume is not None:
            raise UsageError("--resume goes on with one run; to go on with seeds, give their command again")
        with usage_errors():
            workers = parse_workers(settings.jobs)
            jobs = seeds.jobs_of(_request(settings), settings.seeds, words, settings.runs_dir, table)
        job = jobs[0]
        out.print(f"Training {len(jobs)} seeds of {job.agent} on {job.env_id}: {job.timesteps:,} steps each")
        out.print(f"Logs: {job.folder.parent}/SEED/train.log", soft_wrap=True)
        outcome = seeds.train_seeds(
            jobs,
            workers=workers,
            device=settings.device,
            threads=capped_threads(settings.torch_threads) if not workers.on_ray else settings.torch_threads,
            script=TRAIN,
            console=status_console(),
        )
        if outcome.stopped:
            print(f"{prog}: stopped; the same command goes on", file=sys.stderr)
        elif outcome.done:
            runs = sorted((run for _, (run, _) in outcome.done), key=lambda run: run.settings.seed)
            seeds.show_seeds(runs, out, table, job.folder.parent)
        return outcome.exit_code
    except UsageError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2


def _prepare(settings: Any, console: Any) -> Any:
    """The run that is asked for, new or resumed, ready to learn."""
    from stormgym.agents.training import command
    from stormgym.agents.usage import usage_errors

    table = _table(settings)
    if settings.resume is not None:
        env_id = _named_env(settings)
        return command.resume(settings.resume, settings.timesteps, env_id=env_id, console=console, table=table)
    with usage_errors():
        request = _request(settings)
    return command.start_run(request, runs_dir=settings.runs_dir, console=console, table=table)


def _table(settings: Any) -> Any:
    """The table at the end that is asked for."""
    from stormgym.agents.training.checks import FinalTable

    return FinalTable(settings.final_episodes, settings.compare, settings.trust_pickle)


def _request(settings: Any) -> RunRequest:
    """What the command line asks for."""
    from stormgym.agents.training import command

    spec = command.choose_agent(command.check_env_id(settings.env), settings.agent)
    return RunRequest(
        env_id=settings.env,
        agent=spec.name,
        seed=settings.seed,
        timesteps=settings.timesteps,
        num_envs=settings.num_envs,
        env_kwargs=settings.environment.env_kwargs(),
        learner=asdict(settings_asked(settings, spec.name)),
        eval_freq=settings.eval_freq,
        eval_episodes=settings.eval_episodes,
        checkpoint_freq=settings.checkpoint_freq,
        device=settings.device,
        torch_threads=settings.torch_threads,
    )
