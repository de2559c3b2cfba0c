"""What `evaluate.py` does once its command line is read: evaluate and report, plan for today, or list agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from stormgym.agents.binding import PrivilegeError
from stormgym.agents.cluster import parse_workers
from stormgym.agents.domain import PlanReport, PlanRequest, load_entry
from stormgym.agents.evaluation.options import check_env_id, check_env_kwargs
from stormgym.agents.evaluation.report import render_report, sorted_agents
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import summarise, write_json
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import DOMAINS, domain_of
from stormgym.agents.terminal import episode_progress, make_console, status_console
from stormgym.agents.usage import check_writable, usage_errors
from stormgym.envs.making import make_batch
from stormgym.predictors.extras import MissingExtraError


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
    trust_pickle: bool = False,
    workers: str | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Evaluate agents on common scenarios, print the tables, write the files; return the summary.

    Raises:
        UsageError: an unknown environment, agent or option, a missing run folder, a file that cannot be written, or an
            agent that reads the truth without saying so.
    """
    out = console or make_console()
    with usage_errors():
        env_id = check_env_id(env_id)
        entrants = resolve_agents(agents, env_id, trust_pickle=trust_pickle)
        check_env_kwargs(env_id, env_kwargs)
        if episodes < 1 or batch_size < 1:
            raise ValueError(f"--episodes and --batch-size must be at least 1; got {episodes} and {batch_size}")
        crew = None if workers is None else parse_workers(workers, "--workers")
        if crew is not None and not crew.on_ray:
            raise ValueError(f"--workers must be ray or ray:NUMBER; got {workers}. One process plays a batch at a time")
        if seed < 0:
            raise ValueError(f"--seed must be at least 0; got {seed}")
        for file in (json_file, html_file):
            check_writable(file)
        with status_console().status("preparing the environment (the first time, forecasts are fitted)"):
            check_runs(entrants, env_id, env_kwargs)
    with usage_errors((PrivilegeError, MissingExtraError)), episode_progress(list(entrants), episodes) as on_progress:
        evaluation = evaluate(
            env_id,
            entrants,
            episodes=episodes,
            seed=seed,
            env_kwargs=env_kwargs,
            batch_size=batch_size,
            on_progress=on_progress,
            workers=crew,
        )
    with usage_errors():
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
    request: PlanRequest,
    csv_file: Path | None = None,
    trust_pickle: bool = False,
    console: Console | None = None,
) -> None:
    """Print one agent's plan, as the environment's domain makes it, and write it as CSV.

    Raises:
        UsageError: an unknown name, an option without meaning here, bad data, or an agent that cannot plan.
    """
    out = console or make_console()
    with usage_errors():
        env_id = check_env_id(env_id)
        domain = domain_of(env_id)
        if domain.plan is None:
            able = [known.env_id for known in DOMAINS.values() if known.plan is not None]
            raise ValueError(f"--plan is for {' and '.join(able)}; got {env_id}")
        entrants = resolve_agents(agents or domain.plan_agent, env_id, trust_pickle=trust_pickle)
        if len(entrants) != 1:
            raise ValueError(f"--plan takes one agent; got {', '.join(entrants)}")
        ((name, entrant),) = entrants.items()
        check_env_kwargs(env_id, request.env_kwargs)
        check_writable(csv_file)
        make_plan: Callable[[str, Entrant, PlanRequest], PlanReport] = load_entry(domain.plan)
        with status_console().status("forecasting and planning"):
            plan = make_plan(name, entrant, replace(request, env_id=env_id))
    out.print(plan.table)
    if csv_file is not None:
        out.print(f"CSV: {plan.write_csv(csv_file)}", soft_wrap=True)


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
