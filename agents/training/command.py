"""What `train.py` does once its command line is read: train or resume, then show the result."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from rich.console import Console
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.domain import AgentSpec
from stormgym.agents.evaluation.command import check_runs
from stormgym.agents.evaluation.options import check_env_id, check_env_kwargs, held_out, options_of, takes
from stormgym.agents.evaluation.report import render_report
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import summarise, write_json
from stormgym.agents.learners.base import Learner
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.model_files import MOST_ENVS
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import AGENTS, agent_spec, domain_of, has_domain, known_agents, plain_id
from stormgym.agents.runs import (
    MODEL,
    PICKLED_MODEL,
    SETTINGS,
    Run,
    RunRequest,
    RunSettings,
    check_trusted,
    create_run,
    open_run,
)
from stormgym.agents.storage.records import record_of
from stormgym.agents.terminal import status_console
from stormgym.agents.training.callbacks import (
    Checkpoints,
    EpisodeCosts,
    EvaluationCallback,
    StopRequest,
    stop_on_signals,
)
from stormgym.agents.training.checkpoints import NEW_EPISODES, load_checkpoint
from stormgym.agents.training.logs import make_logger
from stormgym.agents.training.old_checkpoints import load_pickled_checkpoint
from stormgym.agents.training.play import Score, make_training_env
from stormgym.agents.training.progress import ProgressBar
from stormgym.agents.usage import usage_errors

SIZES = ("batch_size", "buffer_size", "n_steps", "n_epochs", "train_freq", "width", "step_width", "n_layers", "n_heads")
"""Settings of the learners that count something; those a learner lacks are passed over."""
EVAL_ENVS = 64
HELD_OUT_SEED = 0
"""Scenarios of the table at the end: those that `evaluate.py` plays by default; no training draws them."""


class Stopped(Exception):
    """Training was stopped on request; `command` resumes it."""

    def __init__(self, step: int, command: str, signum: int) -> None:
        super().__init__(f"stopped at step {step:,} and saved; go on with: {command}")
        self.command = command
        self.signum = signum


@dataclass
class Training:
    """A run that is ready to learn: new, or as its checkpoint left it."""

    run: Run
    learner: Learner
    settings: Any
    model: BaseAlgorithm
    venv: VecEnv
    progress: dict[str, Any] | None = None
    """State of the callbacks in the checkpoint; None for a new run."""


@dataclass(frozen=True)
class FinalTable:
    """The table that ends a run."""

    episodes: int = 0
    """Held-out scenarios; 0 for no table."""
    compare: str | None = None
    """Agents beside the trained one, or "none"; None: all that need no training."""
    trust_pickle: bool = False
    """Open models of runs that an earlier version wrote."""


def choose_agent(env_id: str, agent: str | None) -> AgentSpec:
    """Return the learner's entry in the registry; None takes the environment's default.

    Raises:
        KeyError: an unknown name.
        ValueError: a rule (nothing to train), a learner that does not fit, or no default.
    """
    domain = domain_of(env_id)
    fitting = ", ".join(spec.name for spec in domain.agents if spec.trainable)
    learners = ", ".join(name for name, spec in AGENTS.items() if spec.trainable)
    agent = agent or domain.default_learner
    if agent is None:
        raise ValueError(f"{env_id} has no default agent; name one with --agent: {fitting}")
    spec = domain.agent(agent) or AGENTS.get(agent)
    if spec is None:
        raise KeyError(f"unknown agent {agent!r}; agents that learn: {learners}")
    if not spec.trainable:
        raise ValueError(
            f"agent {agent!r} is a rule or a planner and needs no training; score it with "
            f"python evaluate.py --env {env_id} --agents {agent}. Agents that learn: {learners}"
        )
    if domain.agent(agent) is None:
        raise ValueError(f"agent {agent!r} does not fit {env_id}; agents that do: {fitting}")
    return spec


def complete(request: RunRequest, table: FinalTable = FinalTable()) -> tuple[Learner, Any, RunSettings]:
    """Check a request and fill in its defaults, before anything is made.

    An environment that can draw one half of its records draws that for training, unless the arguments say otherwise;
    `show_result` scores on the other half.

    Returns:
        The learner, its settings, and all that decides the run.

    Raises:
        KeyError, ValueError, TypeError: an unknown name or option, or a value out of range.
    """
    env_id = check_env_id(request.env_id)
    spec = choose_agent(env_id, request.agent)
    env_kwargs = dict(request.env_kwargs)
    check_env_kwargs(env_id, env_kwargs)
    if takes(env_id, "split"):
        env_kwargs = {**env_kwargs, "split": env_kwargs.get("split", "train")}
    _check_numbers(request)
    learner: Learner = spec.load()
    chosen = learner.settings(**request.learner)
    _check_sizes(learner, chosen)
    _check_one(learner, env_id, env_kwargs)
    _check_limit(learner, env_id, chosen, env_kwargs)
    _check_table(env_id, env_kwargs, table)
    budget = request.timesteps or learner.default_timesteps
    settings = RunSettings(
        env_id=env_id,
        agent=spec.name,
        seed=request.seed,
        timesteps=budget,
        num_envs=request.num_envs or learner.default_num_envs,
        env_kwargs=env_kwargs,
        learner=asdict(chosen),
        eval_freq=request.eval_freq or max(budget // 20, 1),
        eval_episodes=request.eval_episodes,
        checkpoint_freq=request.checkpoint_freq or max(budget // 10, 1),
        device=request.device,
        torch_threads=request.torch_threads,
    )
    return learner, chosen, settings


def start_run(
    request: RunRequest,
    *,
    runs_dir: Path = Path("runs"),
    console: Console | None = None,
    table: FinalTable = FinalTable(),
) -> Training:
    """Check the request (see `complete`); make environments, model and run folder.

    Args:
        request: what to train; what it leaves out takes the learner's defaults.
        runs_dir: where the run's folder is made.
        console: for the status while environments are prepared.
        table: the table that `show_result` will print; checked now rather than after hours.

    Raises:
        UsageError: an unknown name or option, or a value out of range.
    """
    with usage_errors():
        learner, chosen, s = complete(request, table)
        venv = _prepared(s.env_id, s.num_envs, s.env_kwargs, console or status_console())
        learner.check(venv)
        wrapped = learner.wrap(venv, chosen)
        extractor = domain_of(s.env_id).extractor
        try:
            model = learner.build(wrapped, chosen, seed=s.seed, device=s.device, extractor=extractor)
        except AssertionError as error:  # how Stable-Baselines3 and torch state some of their rules
            raise ValueError(f"options of --{s.agent}.* do not go together: {error}") from error
        run = create_run(runs_dir, replace(s, num_envs=venv.num_envs))  # many cities may have raised it
        return Training(run, learner, chosen, model, wrapped)


def resume(
    folder: Path,
    timesteps: int | None = None,
    *,
    env_id: str | None = None,
    console: Console | None = None,
    table: FinalTable = FinalTable(),
) -> Training:
    """Open a run at its last checkpoint, to continue to its budget or to a new one.

    Args:
        folder: of the run.
        timesteps: the new budget; None keeps the run's own.
        env_id: the run's environment, where a module `module:Id` is to be imported first: what the run's settings name
            is not imported.
        console, table: as for `start_run`; `table.trust_pickle` is for the checkpoint too.

    Raises:
        UsageError: not a run, no checkpoint, nothing left to do, a file that is not what it should be, or a table at
            the end that cannot be made.
    """
    with usage_errors():
        run = open_run(folder)
        _check_registered(run, env_id)
        _check_numbers(run.settings)
        check_env_kwargs(run.env_id, run.settings.env_kwargs)
        checkpoint = run.last_checkpoint()
        if checkpoint is None:
            raise ValueError(f"run {str(folder)!r} has no checkpoint to resume from; start it again without --resume")
        _check_table(run.env_id, run.settings.env_kwargs, table)
        done = int(checkpoint.name)
        if timesteps is not None and timesteps != run.settings.timesteps:
            if timesteps < 1:
                raise ValueError(f"--timesteps must be at least 1; got {timesteps}")
            run = run.extended(max(timesteps, done))
        if done >= run.settings.timesteps:
            raise ValueError(
                f"run {str(folder)!r} has reached its {run.settings.timesteps:,} steps; "
                f"name a larger total with --timesteps, e.g. {2 * done}"
            )
        learner, settings = _learner_of(run)
        s, status = run.settings, console or status_console()
        pickled = not os.path.lexists(checkpoint / MODEL)
        if pickled:
            check_trusted(checkpoint / PICKLED_MODEL, table.trust_pickle)  # before the work, not after it
        fresh = _prepared(run.env_id, s.num_envs, s.env_kwargs, status)
        learner.check(fresh)
        load = load_pickled_checkpoint if pickled else load_checkpoint
        resumed = load(checkpoint, run, learner, settings, fresh)
        if not resumed.exact:
            status.print(f"Note: {NEW_EPISODES}", highlight=False)
    return Training(run, learner, settings, resumed.model, resumed.venv, resumed.progress)


def train(
    training: Training,
    console: Console,
    *,
    progress: bool = True,
    on_result: Callable[[int, Score, bool], None] | None = None,
    stop: StopRequest | None = None,
) -> None:
    """Learn to the run's budget, in any thread; `stormgym.agents.training.api` is for callers from Python.

    Args:
        training: the run.
        console: for evaluations; with `progress` also for a bar, where it is a terminal.
        progress: see there.
        on_result: called after each evaluation with the step, the score, and whether the model is the best so far.
        stop: a request to stop, which others may set; the run is then saved, and this returns.

    Raises:
        Stopped: Ctrl-C or SIGTERM; the run is saved.
    """
    run, learner, model, venv = training.run, training.learner, training.model, training.venv
    s = run.settings
    if s.torch_threads is not None:
        torch.set_num_threads(s.torch_threads)
    resumed = training.progress is not None
    quiet = Console(stderr=True, force_terminal=False, emoji=False)
    bar = ProgressBar(s.timesteps, console if progress else quiet, domain_of(s.env_id).headline)
    with usage_errors():
        logger = make_logger(run.folder, model.num_timesteps if resumed else None)
    for name, value in ({} if training.progress is None else training.progress.get("log", {})).items():
        logger.record(name, float(value))
    model.set_logger(logger)
    chosen_on = {**s.env_kwargs, **domain_of(s.env_id).chosen_on}
    eval_venv = make_training_env(run.env_id, min(EVAL_ENVS, s.eval_episodes), chosen_on)
    try:

        def show(step: int, score: Score, best: bool) -> None:
            bar.show_score(step, score, best)
            if on_result is not None:
                on_result(step, score, best)

        with stop_on_signals(lambda: bar.say("stopping after this rollout; once more to stop at once"), stop) as asked:
            evaluation = EvaluationCallback(run, eval_venv, learner, asked, show)
            if training.progress is not None:
                with usage_errors():
                    evaluation.load_state_dict(training.progress["evaluation"])
            checkpoints = Checkpoints(run, evaluation, asked)
            costs = [] if domain_of(s.env_id).headline.constraint is None else [EpisodeCosts()]
            callbacks = [
                *learner.callbacks(venv, training.settings),
                *costs,
                evaluation,
                checkpoints,
                bar,
            ]
            model.learn(
                max(s.timesteps - model.num_timesteps, 0),
                callback=CallbackList(callbacks),
                reset_num_timesteps=not resumed,
            )
        if checkpoints.stopped and asked.signum is not None:
            raise Stopped(checkpoints.last_step, resume_command(run), asked.signum)
    finally:
        bar.close()
        logger.close()
        eval_venv.close()
        venv.close()


def resume_command(run: Run) -> str:
    """The command that resumes a run; a module that its environment comes from is named anew, by who gives it."""
    module = run.settings.env_id != run.env_id
    named = f" --env {shlex.quote(run.settings.env_id)}" if module else ""
    return f"python train.py --resume {shlex.quote(str(run.folder))}{named}"


def env_options(env_kwargs: Mapping[str, Any]) -> str:
    """The options that give an environment these arguments on a command line, with a space before each."""
    named = {f.name for f in fields(options_of())}
    parts = []
    for key, value in env_kwargs.items():
        if key in named:
            text = "-".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
            parts.append(f" --{key.replace('_', '-')} {shlex.quote(text)}")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            parts.append(f" --option {shlex.quote(f'{key}={text}')}")
    return "".join(parts)


def show_result(run: Run, console: Console, table: FinalTable) -> None:
    """Print the agent beside the rules on held-out scenarios, write evaluation.json, name what is next."""
    s = run.settings
    costs, many = has_domain(s.env_id), names_many(s.env_id, s.env_kwargs)
    if table.episodes and costs and many is None:
        with usage_errors():
            others = _others(table, run.env_id)
            own = resolve_agents([f"{s.agent}={run.folder}"], run.env_id, trust_pickle=table.trust_pickle)
            entrants = {**own, **others}
        with status_console().status("playing held-out scenarios") as status:
            evaluation = evaluate(
                run.env_id,
                entrants,
                episodes=table.episodes,
                seed=HELD_OUT_SEED,
                env_kwargs=held_out(s.env_kwargs),
                on_progress=lambda name, n: status.update(f"playing held-out scenarios: {name}"),
            )
        summary = summarise(evaluation)
        write_json(summary, run.folder / "evaluation.json")
        console.print(render_report(summary))
    console.print(f"Trained {s.agent} on {s.env_id} for {s.timesteps:,} steps, seed {s.seed}.", highlight=False)
    console.print(f"Run folder: {run.folder}", soft_wrap=True, highlight=False)
    quoted = shlex.quote(str(run.folder))
    if costs:
        kwargs = held_out(s.env_kwargs) | ({} if many is None else {many: many.upper()})
        where = "" if many is None else f" ({many.upper()}: any one {many})"
        command = f"python evaluate.py --env {s.env_id}{env_options(kwargs)} --agents {quoted}{where}"
        console.print(f"Score it:   {command}", soft_wrap=True, highlight=False)
    console.print(f"Curves:     tensorboard --logdir {quoted}", soft_wrap=True, highlight=False)
    console.print(
        f"Go on:      {resume_command(run)} --timesteps {2 * s.timesteps}",
        soft_wrap=True,
        highlight=False,
    )


def names_many(env_id: str, env_kwargs: Mapping[str, Any]) -> str | None:
    """The argument of the environment that names many instances to train on; None where one instance is meant."""
    many = domain_of(env_id).many
    return None if many is None or many.of(env_kwargs) is None else many.argument


def _others(table: FinalTable, env_id: str) -> dict[str, Entrant]:
    if table.compare == "none":
        return {}
    return resolve_agents(table.compare, env_id, trust_pickle=table.trust_pickle)


def _check_table(env_id: str, env_kwargs: Mapping[str, Any], table: FinalTable) -> None:
    if table.episodes < 0:
        raise ValueError(f"--final-episodes must be at least 0 (no table); got {table.episodes}")
    if table.episodes and has_domain(env_id) and names_many(env_id, env_kwargs) is None:
        others = _others(table, env_id)
        if any(entrant.learned for entrant in others.values()):
            check_runs(others, env_id, env_kwargs)


def _check_limit(learner: Learner, env_id: str, settings: Any, env_kwargs: Mapping[str, Any]) -> None:
    limit = env_kwargs.get("cost_limit")
    if isinstance(limit, tuple | list) and not learner.any_limit and getattr(settings, "constrained", True):
        able = [name for name in known_agents(env_id, trainable=True) if agent_spec(name).load().any_limit]
        other = f", or take {' or '.join(able)}, which has a price for every limit" if able else ""
        raise ValueError(
            f"{learner.name} learns one price of the gap, which fits one limit; got the range {tuple(limit)}. Give one "
            f"number{other}"
        )


def _check_one(learner: Learner, env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    """Raise `ValueError` where many instances are named and the learner takes one."""
    argument = names_many(env_id, env_kwargs)
    if argument is None or learner.many_cities:
        return
    fitting = [name for name in known_agents(env_id, trainable=True) if agent_spec(name).load().many_cities]
    raise ValueError(
        f"agent {learner.name!r} fits one {argument}, and {env_kwargs[argument]!r} names many; name one {argument}, or "
        f"train {' or '.join(fitting)}"
    )


def _prepared(env_id: str, num_envs: int, env_kwargs: Mapping[str, Any], console: Console) -> VecEnv:
    """The training's environments, with a status while they are made."""
    with console.status("preparing the environment (the first time, forecasts are fitted)") as status:

        def on_city(i: int, n: int) -> None:
            status.update(f"preparing city {i + 1} of {n} (the first time, forecasts are fitted)")

        return make_training_env(env_id, num_envs, dict(env_kwargs), on_city)


def _learner_of(run: Run) -> tuple[Learner, Any]:
    """The learner of a run to be resumed, and its settings, checked as those of a new one."""
    learner: Learner = choose_agent(run.env_id, run.settings.agent).load()
    file = run.folder / SETTINGS
    settings = record_of(learner.settings, run.settings.learner, file, f"the settings of a run of {learner.name}")
    _check_sizes(learner, settings)
    _check_one(learner, run.env_id, run.settings.env_kwargs)
    return learner, settings


def _check_registered(run: Run, env_id: str | None) -> None:
    """Raise `ValueError` unless the run's environment is known already: what its settings name is not imported."""
    if env_id is not None and plain_id(check_env_id(env_id)) != run.env_id:
        raise ValueError(f"run {str(run.folder)!r} was trained on {run.settings.env_id}, not {env_id}; leave out --env")
    if run.env_id not in gym.registry:
        raise ValueError(
            f"run {str(run.folder)!r} was trained on {run.settings.env_id}, which is not registered, and a module that "
            f"a file names is not imported; if you trust it, name it yourself: --env {shlex.quote(run.settings.env_id)}"
        )


def _check_numbers(request: RunRequest) -> None:
    numbers = {
        "--timesteps": request.timesteps,
        "--num-envs": request.num_envs,
        "--eval-freq": request.eval_freq,
        "--eval-episodes": request.eval_episodes,
        "--checkpoint-freq": request.checkpoint_freq,
        "--torch-threads": request.torch_threads,
    }
    for option, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{option} must be at least 1; got {value}")
    if (request.num_envs or 1) > MOST_ENVS:
        raise ValueError(f"--num-envs must be at most {MOST_ENVS:,}; got {request.num_envs}")
    if request.seed < 0:
        raise ValueError(f"--seed must be at least 0; got {request.seed}")
    _check_device(request.device)


def _check_sizes(learner: Learner, settings: Any) -> None:
    for name in SIZES:
        size = getattr(settings, name, None)
        if size is not None and size < 1:
            raise ValueError(f"--{learner.name}.{name.replace('_', '-')} must be at least 1; got {size}")


def _check_device(device: str) -> None:
    if device == "auto":
        return
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"--device must be cpu, cuda or auto; got {device!r}") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: this machine has no CUDA device that torch can use; take cpu or auto")
