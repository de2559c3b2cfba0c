"""What `evaluate.py` does once its command line is read: evaluate and report, plan for today, or list agents."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stormgym.agents.evaluation.options import check_env_id, check_env_kwargs
from stormgym.agents.evaluation.report import make_console, render_report, sorted_agents
from stormgym.agents.evaluation.rollouts import Entrant, evaluate
from stormgym.agents.evaluation.summary import summarise, write_json
from stormgym.agents.lineup import resolve_agents
from stormgym.envs.making import make_batch

PLAN_ENV = "Restoration-v0"
PLAN_AGENT = "equity-planner"
HARDENING_ENV = "Undergrounding-v0"
HARDENING_AGENT = "tri-level"
PLAN_OPTIONS = frozenset({"city", "predictor", "confidence_level", "cost_limit", "max_travel_km", "income_effect"})


class UsageError(Exception):
    """The command line asks for something that is not there; the message says what and what there is."""


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn the errors of a wrong name, path or option into `UsageError`."""
    try:
        yield
    except (KeyError, ValueError, TypeError, OSError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise UsageError(str(text)) from error


def run_evaluation(
    *,
    env_id: str,
    agents: str | None,
    episodes: int,
    seed: int,
    env_kwargs: Mapping[str, Any],
    batch_size: int = 64,
    json_file: Path | None = None,
    html_file: Path | None = None,
    sort: str | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Evaluate agents on common scenarios, print the tables, write the files; return the summary.

    Raises:
        UsageError: an unknown environment, agent or option, a missing run folder, or a file that cannot be
            written.
    """
    out = console or make_console()
    with usage_errors():
        env_id = check_env_id(env_id)
        entrants = resolve_agents(agents, env_id)
        check_env_kwargs(env_id, env_kwargs)
        if episodes < 1 or batch_size < 1:
            raise ValueError(f"--episodes and --batch-size must be at least 1; got {episodes} and {batch_size}")
        if seed < 0:
            raise ValueError(f"--seed must be at least 0; got {seed}")
        for file in (json_file, html_file):
            check_writable(file)
        with _progress_console().status("preparing the environment (the first time, forecasts are fitted)"):
            check_runs(entrants, env_id, env_kwargs)
    with _progress(list(entrants), episodes) as on_progress:
        evaluation = evaluate(
            env_id,
            entrants,
            episodes=episodes,
            seed=seed,
            env_kwargs=env_kwargs,
            batch_size=batch_size,
            on_progress=on_progress,
        )
    summary = summarise(evaluation)
    try:
        sorted_agents(summary, sort)
    except KeyError as error:  # too late to stop: show the default order instead
        out.print(f"--sort: {error.args[0]}", style="yellow")
        sort = None
    out.print(render_report(summary, sort))
    if json_file is not None:
        out.print(f"JSON with every episode: {write_json(summary, json_file)}", soft_wrap=True)
    if html_file is not None:
        from stormgym.agents.evaluation.html import write_html

        out.print(f"HTML report: {write_html(evaluation, summary, html_file, sort)}", soft_wrap=True)
    return summary


def run_plan(
    *,
    env_id: str,
    agents: str | None,
    env_kwargs: Mapping[str, Any],
    jobs_file: Path | None = None,
    csv_file: Path | None = None,
    start: str | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> None:
    """Print one agent's plan, for today's jobs or for what to bury, and write it as CSV.

    Raises:
        UsageError: an unknown name, an option without meaning here, bad data, or an agent that cannot plan.
    """
    with usage_errors():
        hardening = check_env_id(env_id) == HARDENING_ENV
    if hardening:
        useless = [name for name, value in (("jobs", jobs_file), ("start", start)) if value is not None]
        if useless:
            raise UsageError(f"--plan of {env_id} has no use for {', '.join(f'--{name}' for name in useless)}")
        _run_hardening_plan(agents, env_kwargs, csv_file, seed, console or make_console())
        return
    from stormgym.agents.restoration.todays_plan import make_plan, render_plan, write_plan_csv
    from stormgym.envs.data import resolve_city

    out = console or make_console()
    with usage_errors():
        if check_env_id(env_id) != PLAN_ENV:
            raise ValueError(f"--plan is for {PLAN_ENV} and {HARDENING_ENV}; got {env_id}")
        name, entrant = _one_agent(agents or PLAN_AGENT, PLAN_ENV)
        useless = sorted(set(env_kwargs) - PLAN_OPTIONS)
        if useless:
            raise ValueError(f"--plan has no use for {', '.join(useless)}; it takes {', '.join(sorted(PLAN_OPTIONS))}")
        if isinstance(env_kwargs.get("cost_limit"), tuple | list):
            raise ValueError(f"--plan takes one limit; got the range {env_kwargs['cost_limit']}")
        kwargs = dict(env_kwargs)
        place = kwargs.pop("city", "default")
        city = resolve_city(place, income_effect=kwargs.pop("income_effect", 1.0))
        check_writable(csv_file)
        begin = None if start is None else _moment(start)
        with _progress_console().status("fitting forecasts to the log and planning"):
            plan = make_plan(
                city,
                name,
                entrant,
                jobs_file=jobs_file,
                city_folder=place if Path(place).is_dir() else None,
                seed=seed,
                start=begin,
                **kwargs,
            )
    out.print(render_plan(plan))
    if csv_file is not None:
        out.print(f"CSV: {write_plan_csv(plan, csv_file)}", soft_wrap=True)


def _one_agent(agents: str, env_id: str) -> tuple[str, Entrant]:
    """The one agent that plans."""
    entrants = resolve_agents(agents, env_id)
    if len(entrants) != 1:
        raise ValueError(f"--plan takes one agent; got {', '.join(entrants)}")
    ((name, entrant),) = entrants.items()
    return name, entrant


def _run_hardening_plan(
    agents: str | None, env_kwargs: Mapping[str, Any], csv_file: Path | None, seed: int, out: Console
) -> None:
    from stormgym.agents.undergrounding.season_plan import (
        make_hardening_plan,
        render_hardening_plan,
        write_hardening_csv,
    )

    with usage_errors():
        check_env_kwargs(HARDENING_ENV, env_kwargs)
        name, entrant = _one_agent(agents or HARDENING_AGENT, HARDENING_ENV)
        check_writable(csv_file)
        with _progress_console().status("forecasting and planning"):
            plan = make_hardening_plan(name, entrant, env_kwargs=env_kwargs, seed=seed)
    out.print(render_hardening_plan(plan))
    if csv_file is not None:
        out.print(f"CSV: {write_hardening_csv(plan, csv_file)}", soft_wrap=True)


def run_list(*, env_id: str, console: Console | None = None) -> None:
    """Print the agents that fit an environment, pretrained ones among them.

    Raises:
        UsageError: an unknown environment.
    """
    from stormgym.agents.evaluation.listing import render_agents

    with usage_errors():
        (console or make_console()).print(render_agents(check_env_id(env_id)))


def check_runs(entrants: Mapping[str, Entrant], env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    """Raise `ValueError` when a trained agent cannot be loaded: before hours of play, not after them."""
    env = make_batch(env_id, 1, env_kwargs)
    try:
        for name, entrant in entrants.items():
            if entrant.learned:
                _load(name, entrant.make, env)
    finally:
        env.close()


def _load(name: str, make: Callable[[Any], Any], env: Any) -> None:
    try:
        make(env)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise ValueError(f"trained agent {name!r} cannot be loaded: {error}") from error


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'--start must be a date and time such as "2026-09-27 06:00"; got {text!r}') from None


def check_writable(file: Path | None) -> None:
    """Find out before the work, not after it, that a file cannot be written."""
    if file is None:
        return
    if file.is_dir():
        raise ValueError(f"{file} is a folder; name a file in it")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=file.parent):  # a folder without leave to write raises here
        pass


def _progress_console() -> Console:
    return Console(stderr=True, emoji=False)


@contextmanager
def _progress(names: list[str], episodes: int) -> Iterator[Callable[[str, int], None]]:
    """A bar an agent on a terminal; elsewhere one line when an agent is through."""
    console = _progress_console()
    if not console.is_terminal:
        done, begin = dict.fromkeys(names, 0), time.perf_counter()

        def line(name: str, n: int) -> None:
            done[name] += n
            if done[name] >= episodes:
                seconds = time.perf_counter() - begin
                print(
                    f"{name}: {episodes} episodes ({seconds:.0f} s since the start)",
                    file=sys.stderr,
                    flush=True,
                )

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks = {name: progress.add_task(name, total=episodes, start=False) for name in names}
        if names:
            progress.start_task(tasks[names[0]])

        def advance(name: str, n: int) -> None:
            progress.advance(tasks[name], n)
            following = names.index(name) + 1
            if progress.tasks[tasks[name]].finished and following < len(names):
                progress.start_task(tasks[names[following]])

        yield advance
