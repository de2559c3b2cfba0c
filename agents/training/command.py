"""What `train.py` does once its command line is read: train or resume, then show the result."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.attention.multiplier import measure_of
from stormgym.agents.devices import capped_threads
from stormgym.agents.evaluation.opening import final_table
from stormgym.agents.evaluation.options import check_env_id, check_env_kwargs, held_out, options_of, takes
from stormgym.agents.evaluation.report import render_report
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import summarise, write_json
from stormgym.agents.learners.base import Learner
from stormgym.agents.lineup import run_entrant
from stormgym.agents.registry import domain_of, has_domain
from stormgym.agents.run_lock import RunGone, RunLock
from stormgym.agents.runs import (
    MODEL,
    PICKLED_MODEL,
    SETTINGS,
    Run,
    RunRequest,
    RunSettings,
    check_trusted,
    create_run,
    learner_of,
    open_run,
)
from stormgym.agents.storage.container import UnreadableFile, cured_by, read_json
from stormgym.agents.storage.records import record_of
from stormgym.agents.terminal import episode_progress, status_console
from stormgym.agents.training.callbacks import (
    Checkpoints,
    EpisodeCosts,
    EvaluationCallback,
    StopRequest,
    stop_on_signals,
)
from stormgym.agents.training.checkpoints import NEW_EPISODES, load_checkpoint
from stormgym.agents.training.checks import (
    NO_TABLE,
    FinalTable,
    check_limit,
    check_measure,
    check_numbers,
    check_one,
    check_registered,
    check_sizes,
    check_steps,
    check_table,
    choose_agent,
    makes_table,
    names_many,
    others_in,
)
from stormgym.agents.training.logs import make_logger
from stormgym.agents.training.old_checkpoints import load_pickled_checkpoint
from stormgym.agents.training.play import Score, make_training_env
from stormgym.agents.training.progress import ProgressBar
from stormgym.agents.usage import UsageError, usage_errors, words_of

EVAL_ENVS = 64
HELD_OUT_SEED = 0
"""Scenarios of the table at the end: those that `evaluate.py` plays by default; no training draws them."""


EVALUATION = "evaluation.json"
LARGEST_TABLE = 2**30
"""Bytes that an evaluation.json may have."""


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
    lock: RunLock
    """Held from here until `train` ends, or whoever holds it as a context around that."""
    progress: dict[str, Any] | None = None
    """State of the callbacks in the checkpoint; None for a new run."""


def complete(request: RunRequest, table: FinalTable = NO_TABLE) -> tuple[Learner, Any, RunSettings]:
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
    check_numbers(request)
    learner: Learner = spec.load()
    own = domain_of(env_id).defaults_of(spec.name)
    chosen = learner.settings(**{**own.settings, **request.learner})
    check_sizes(learner, chosen)
    check_one(learner, env_id, env_kwargs)
    check_limit(learner, env_id, chosen, env_kwargs)
    check_table(env_id, env_kwargs, table)
    budget = request.timesteps or own.timesteps or learner.default_timesteps
    settings = RunSettings(
        env_id=env_id,
        agent=spec.name,
        seed=request.seed,
        timesteps=budget,
        num_envs=request.num_envs or own.num_envs or learner.default_num_envs,
        env_kwargs=env_kwargs,
        learner=asdict(chosen),
        eval_freq=request.eval_freq or max(budget // 20, 1),
        eval_episodes=request.eval_episodes,
        checkpoint_freq=request.checkpoint_freq or max(budget // 10, 1),
        device=request.device,
        torch_threads=None if request.torch_threads is None else capped_threads(request.torch_threads),
    )
    return learner, chosen, settings


def start_run(
    request: RunRequest,
    *,
    runs_dir: Path = Path("runs"),
    console: Console | None = None,
    table: FinalTable = NO_TABLE,
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
        check_measure(learner, s.env_id, chosen, measure_of(venv))  # of an environment whose arguments do not say it
        wrapped = learner.wrap(venv, chosen)
        extractor = domain_of(s.env_id).extractor
        try:
            model = learner.build(wrapped, chosen, seed=s.seed, device=s.device, extractor=extractor)
        except AssertionError as error:  # how Stable-Baselines3 and torch state some of their rules
            raise ValueError(f"options of --{s.agent}.* do not go together: {error}") from error
        except MemoryError as error:
            raise ValueError(f"options of --{s.agent}.* ask for more memory than there is: {error}") from error
        run, lock = _new_run(runs_dir, replace(s, num_envs=venv.num_envs))  # many cities may have raised it
        return Training(run, learner, chosen, model, wrapped, lock)


def _new_run(runs_dir: Path, settings: RunSettings) -> tuple[Run, RunLock]:
    """A new run and its lock; where there is no room or no leave, no folder of it stays.

    Raises:
        ValueError: the folder cannot be made or written to.
    """
    run = None
    try:
        run = create_run(runs_dir, settings)
        return run, RunLock(run.folder)
    except OSError as error:
        if run is not None:
            shutil.rmtree(run.folder, ignore_errors=True)
        raise ValueError(
            f"no run can be made in {runs_dir} ({error.strerror or error}); make room there, or name another folder "
            "with --runs-dir"
        ) from error


def resume(
    folder: Path,
    timesteps: int | None = None,
    *,
    env_id: str | None = None,
    console: Console | None = None,
    table: FinalTable = NO_TABLE,
) -> Training:
    """Open a run at its last checkpoint, to continue to its budget or to a new one.

    Nothing in the folder is changed before `train` has begun, but for the remains of killed processes.

    Args:
        folder: of the run.
        timesteps: the new budget; None keeps the run's own.
        env_id: the run's environment, where a module `module:Id` is to be imported first: what the run's settings name
            is not imported.
        console, table: as for `start_run`; `table.trust_pickle` is for the checkpoint too.

    Raises:
        UsageError: not a run, no checkpoint, nothing left to do, a file that is not what it should be, a table at the
            end that cannot be made, or a run that another process trains.
    """
    with usage_errors():
        lock = RunLock(open_run(folder).folder)
        try:
            lock.sweep()
            run = open_run(folder)  # again, since whoever held it before may have given it another budget
            _check_resumable(run, env_id, table)
            return _resumed(run, lock, timesteps, console or status_console(), table)
        except BaseException:
            lock.release()
            raise


def _resumed(run: Run, lock: RunLock, timesteps: int | None, status: Console, table: FinalTable) -> Training:
    checkpoint = run.last_checkpoint()
    if checkpoint is None:
        raise ValueError(f"run {str(run.folder)!r} has no checkpoint to resume from; start it again without --resume")
    run = _with_budget(run, int(checkpoint.name), timesteps)
    learner, settings = _learner_of(run)
    s = run.settings
    pickled = not os.path.lexists(checkpoint / MODEL)
    if pickled:
        check_trusted(checkpoint / PICKLED_MODEL, table.trust_pickle)  # before the work, not after it
    fresh = _prepared(run.env_id, s.num_envs, s.env_kwargs, status)
    learner.check(fresh)
    load = load_pickled_checkpoint if pickled else load_checkpoint
    with cured_by(f"Delete the folder {checkpoint}: the run goes on from an older checkpoint, if there is one"):
        resumed = load(checkpoint, run, learner, settings, fresh)
    if not resumed.exact:
        status.print(f"Note: {NEW_EPISODES}", highlight=False, markup=False)
    return Training(run, learner, settings, resumed.model, resumed.venv, lock, resumed.progress)


def finish(
    folder: Path,
    timesteps: int | None = None,
    *,
    env_id: str | None = None,
    console: Console,
    table: FinalTable,
) -> bool:
    """Make the final table of a run that has reached its budget and has none, and show the result.

    Arguments are those of `resume`, but for `console`, where the table goes.

    Returns:
        Whether it did: False where there is more to do (`resume`), or nothing at all.

    Raises:
        UsageError: not a run, a table that cannot be made, or a run that another process trains.
    """
    with usage_errors():
        if not _lacks_table(open_run(folder), timesteps, table):
            return False
        lock = RunLock(folder)
    with lock:
        with usage_errors():
            lock.sweep()
            run = open_run(folder)
            _check_resumable(run, env_id, table)
            if not _lacks_table(run, timesteps, table):  # another process has just made it
                return False
        console.print(
            f"Run {run.folder} has reached its {run.settings.timesteps:,} steps; its final table is missing",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
        show_result(run, console, table)
    return True


def _check_resumable(run: Run, env_id: str | None, table: FinalTable) -> None:
    check_registered(run, env_id)
    file = run.folder / SETTINGS
    check_numbers(run.settings, f"{file}: device", 'write "device": "cpu" there')
    check_env_kwargs(run.env_id, run.settings.env_kwargs)
    check_table(run.env_id, run.settings.env_kwargs, table)


def _with_budget(run: Run, done: int, timesteps: int | None) -> Run:
    """The run with the budget that is asked for; None is its own.

    Raises:
        ValueError: the budget is reached already, or out of range.
    """
    budget = run.settings.timesteps if timesteps is None else timesteps
    check_steps(budget)
    if done < budget:
        return run.extended(budget)
    more = 2 * max(done, 1)
    if timesteps is None or timesteps == run.settings.timesteps:
        raise ValueError(
            f"run {str(run.folder)!r} has reached its {budget:,} steps; "
            f"name a larger total with --timesteps, e.g. {more}"
        )
    raise ValueError(
        f"run {str(run.folder)!r} is at step {done:,} already; --timesteps must be a larger total, such as {more}; "
        f"got {timesteps}"
    )


def _lacks_table(run: Run, timesteps: int | None, table: FinalTable) -> bool:
    """Whether a run has reached its budget and the table that ends it was not written."""
    s, last = run.settings, run.last_checkpoint()
    if not makes_table(s.env_id, s.env_kwargs, table) or timesteps not in (None, s.timesteps):
        return False
    if last is None or int(last.name) < s.timesteps:
        return False
    file = run.folder / EVALUATION
    if not os.path.lexists(file):
        return True
    try:
        of_run = read_json(file, "the table of a run", LARGEST_TABLE).get("run")
        return isinstance(of_run, dict) and int(of_run.get("timesteps", 0)) < s.timesteps
    except (UnreadableFile, TypeError, ValueError) as error:
        warnings.warn(f"{error}. Its scenarios are played again", UserWarning, stacklevel=2)
        return True


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
        Stopped: Ctrl-C, SIGTERM or SIGHUP; the run is saved.
        UsageError: a file of the run cannot be read, or the run's folder is gone, full or taken by another process.
    """
    s = training.run.settings
    if s.torch_threads is not None:
        torch.set_num_threads(capped_threads(s.torch_threads))
    quiet = Console(stderr=True, force_terminal=False, emoji=False)
    bar = ProgressBar(s.timesteps, console if progress else quiet, domain_of(s.env_id).headline)
    stopping = "stopping after this rollout; once more to stop at once"
    with training.lock, stop_on_signals(lambda: bar.say(stopping), stop) as asked, ExitStack() as closing:
        closing.callback(training.venv.close)
        closing.callback(bar.close)
        checkpoints = _learn(training, bar, on_result, asked, closing)
    if checkpoints.stopped and asked.signum is not None:
        raise Stopped(checkpoints.last_step, resume_command(training.run), asked.signum)


def _learn(
    training: Training,
    bar: ProgressBar,
    on_result: Callable[[int, Score, bool], None] | None,
    asked: StopRequest,
    closing: ExitStack,
) -> Checkpoints:
    """Learn, and close what is opened for it with `closing`; return the callback that knows whether it was stopped."""
    run, learner, model, venv = training.run, training.learner, training.model, training.venv
    s, lock = run.settings, training.lock
    resumed = training.progress is not None
    chosen_on = {**s.env_kwargs, **domain_of(s.env_id).chosen_on}
    eval_venv = make_training_env(run.env_id, min(EVAL_ENVS, s.eval_episodes), chosen_on)
    closing.callback(eval_venv.close)

    def show(step: int, score: Score, best: bool) -> None:
        bar.show_score(step, score, best)
        if on_result is not None:
            on_result(step, score, best)

    evaluation = EvaluationCallback(run, eval_venv, learner, asked, show, lock.check)
    with usage_errors():
        if training.progress is not None:
            evaluation.load_state_dict(training.progress["evaluation"])
        logger = make_logger(run.folder, model.num_timesteps if resumed else None, lock.check)
        closing.callback(logger.close)
        run.write_settings()  # which may have another budget; from here on the run goes on
    for name, value in ({} if training.progress is None else training.progress.get("log", {})).items():
        logger.record(name, float(value))
    model.set_logger(logger)
    checkpoints = Checkpoints(run, evaluation, asked)
    costs = [] if domain_of(s.env_id).headline.constraint is None else [EpisodeCosts()]
    callbacks = [*learner.callbacks(venv, training.settings), *costs, evaluation, checkpoints, bar]
    with _saying_what_remains(run, model):
        model.learn(
            max(s.timesteps - model.num_timesteps, 0), callback=CallbackList(callbacks), reset_num_timesteps=not resumed
        )
    return checkpoints


@contextmanager
def _saying_what_remains(run: Run, model: BaseAlgorithm) -> Iterator[None]:
    """Turn an error of files (a full disk, a folder that is gone), or of an environment that tells no cost, into a
    `UsageError` that tells how to go on."""
    try:
        yield
    except RunGone as error:
        raise UsageError(str(error)) from error
    except KeyError as error:
        if "'cost'" not in str(error):
            raise
        raise UsageError(f"{run.env_id} cannot be trained on: {words_of(error)}") from error
    except OSError as error:
        last = run.last_checkpoint()
        rest = "it has no checkpoint yet" if last is None else f"step {last.name} is saved; {resume_command(run)}"
        raise UsageError(f"training ended at step {model.num_timesteps:,}: {error}; {rest}") from error


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
    if makes_table(s.env_id, s.env_kwargs, table):
        with usage_errors():
            others = others_in(table, run.env_id)
            entrants = {s.agent: run_entrant(run.folder, trust_pickle=table.trust_pickle), **others}
        for line in final_table(run.env_id, entrants, table.episodes):
            console.print(line, soft_wrap=True, highlight=False, markup=False)
        with episode_progress(list(entrants), table.episodes) as on_progress:
            evaluation = evaluate(
                run.env_id,
                entrants,
                episodes=table.episodes,
                seed=HELD_OUT_SEED,
                env_kwargs=held_out(s.env_kwargs),
                on_progress=on_progress,
            )
        if not run.folder.is_dir():
            raise UsageError(f"run folder {str(run.folder)!r} was moved or deleted while its final table was made")
        summary = summarise(evaluation)
        summary["run"] = {"agent": s.agent, "seed": s.seed, "timesteps": s.timesteps}
        write_json(summary, run.folder / EVALUATION)
        console.print(render_report(summary))
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
    last = run.last_checkpoint()
    done = s.timesteps if last is None else int(last.name)
    asked = "" if done == s.timesteps else f" ({s.timesteps:,} were asked for: it learns in whole rollouts)"
    say(f"Trained {s.agent} on {s.env_id} for {done:,} steps{asked}, seed {s.seed}.")
    say(f"Run folder: {run.folder}")
    quoted = shlex.quote(str(run.folder))
    if costs:
        kwargs = held_out(s.env_kwargs) | ({} if many is None else {many: many.upper()})
        where = "" if many is None else f" ({many.upper()}: any one {many})"
        say(f"Score it:   python evaluate.py --env {s.env_id}{env_options(kwargs)} --agents {quoted}{where}")
    say(f"Curves:     tensorboard --logdir {quoted}")
    if (run.folder / EVALUATION).is_file():
        say(f"Page:       stormgym report {quoted} --html page.html")
    say(f"Go on:      {resume_command(run)} --timesteps {2 * max(done, s.timesteps)}")


def _prepared(env_id: str, num_envs: int, env_kwargs: Mapping[str, Any], console: Console) -> VecEnv:
    """The training's environments, with a status while they are made."""
    with console.status("preparing the environment (the first time, forecasts are fitted)") as status:

        def on_city(i: int, n: int) -> None:
            status.update(f"preparing city {i + 1} of {n} (the first time, forecasts are fitted)")

        return make_training_env(env_id, num_envs, dict(env_kwargs), on_city)


def _learner_of(run: Run) -> tuple[Learner, Any]:
    """The learner of a run to be resumed, and its settings, checked as those of a new one."""
    learner: Learner = learner_of(run)
    choose_agent(run.env_id, learner.name)  # which raises where it is for other environments
    file = run.folder / SETTINGS
    settings = record_of(learner.settings, run.settings.learner, file, f"the settings of a run of {learner.name}")
    check_sizes(learner, settings)
    check_one(learner, run.env_id, run.settings.env_kwargs)
    return learner, settings
