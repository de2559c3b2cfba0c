"""What `evaluate.py` does once its command line is read: evaluate and report, plan for today, or list agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from stormgym.agents.binding import PrivilegeError
from stormgym.agents.cluster import parse_workers
from stormgym.agents.domain import PlanReport, PlanRequest, load_entry
from stormgym.agents.evaluation.board.submission import Submission
from stormgym.agents.evaluation.opening import compiler_missing
from stormgym.agents.evaluation.options import check_env_id, check_env_kwargs
from stormgym.agents.evaluation.report import render_report, sorted_agents
from stormgym.agents.evaluation.rollouts import Evaluation, evaluate
from stormgym.agents.evaluation.sorting import check_sort
from stormgym.agents.evaluation.storms import MOST_STORMS, USUAL_STORMS, record_storms
from stormgym.agents.evaluation.summary import check_reference, summarise, write_json
from stormgym.agents.evaluation.trained_elsewhere import trained_elsewhere
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.model_files import MOST_ENVS
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import AGENTS, DOMAINS, domain_of
from stormgym.agents.terminal import episode_progress, make_console, status_console
from stormgym.agents.usage import Outputs, check_outputs, usage_errors
from stormgym.envs.making import make_batch
from stormgym.predictors.extras import MissingExtraError

MOST_EPISODES = 1_000_000
"""What one table may be made of: every figure of every episode is kept."""
ERT_FIGURES = "ert_"
"""What figures of restoration times begin with."""
ON_PAST_STORMS = "past storms, on which its restoration times are calibrated"


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
    replays: int | None = None,
    submission: Submission | None = None,
    ert: bool = False,
    sort: str | None = None,
    reference: str | None = None,
    trust_pickle: bool = False,
    workers: str | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Evaluate agents on common scenarios, print the tables, write the files; return the summary.

    `replays` storms are kept for replay, at most; None keeps `USUAL_STORMS` for a page, and none without.
    `reference` is the agent that the others are compared with; None takes the best heuristic.

    Raises:
        UsageError: an unknown environment, agent or option, a missing run folder, a file that cannot be written, an
            agent that reads the truth without saying so, or a page without the extra that draws it.
    """
    out = console or make_console()
    with usage_errors():
        env_id = check_env_id(env_id)
        entrants = resolve_agents(agents, env_id, trust_pickle=trust_pickle)
        check_env_kwargs(env_id, env_kwargs)
        check_reference(reference, entrants)
        if episodes < 1 or batch_size < 1:
            raise ValueError(f"--episodes and --batch-size must be at least 1; got {episodes} and {batch_size}")
        if episodes > MOST_EPISODES:
            raise ValueError(
                f"--episodes must be at most {MOST_EPISODES:,}; got {episodes}. Score several --seed apart"
            )
        if min(batch_size, episodes) > MOST_ENVS:
            raise ValueError(f"--batch-size must be at most {MOST_ENVS:,}; got {batch_size}")
        crew = None if workers is None else parse_workers(workers, "--workers")
        if crew is not None and not crew.on_ray:
            raise ValueError(f"--workers must be ray or ray:NUMBER; got {workers}. One process plays a batch at a time")
        if seed < 0:
            raise ValueError(f"--seed must be at least 0; got {seed}")
        if replays is None:
            replays = 0 if html_file is None else USUAL_STORMS
        if not 0 <= replays <= MOST_STORMS:
            raise ValueError(f"--replays must be from 0 to {MOST_STORMS}; got {replays}")
        check_outputs(
            {"--json": json_file, "--html": html_file, "--submit": None if submission is None else submission.file}
        )
        if submission is not None:
            submission.check(env_id, env_kwargs, episodes, seed, entrants)
        with status_console().status("preparing the environment (the first time, forecasts are fitted)"):
            check_runs(entrants, env_id, env_kwargs)
            if not (ert and sort is not None and sort.startswith(ERT_FIGURES)):
                check_sort(sort, entrants, env_id, env_kwargs)
        if ert:
            entrants = publishing_ert(entrants, env_id, env_kwargs)
    if html_file is not None:
        from stormgym.agents.evaluation.html import require_page, write_html

        with usage_errors((MissingExtraError,)):
            require_page()
    for line in compiler_missing(env_id, entrants):
        status_console().print(line, soft_wrap=True, highlight=False)
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
        summary = summarise(evaluation, reference=reference)
    if replays:
        summary["storms"] = _storms(evaluation, summary, entrants, replays)
    with Outputs(lambda line: out.print(line, soft_wrap=True)) as outputs:
        outputs.write("JSON with every episode", json_file, lambda file: write_json(summary, file))
        try:
            sorted_agents(summary, sort)
        except KeyError as error:  # as rarely after `check_sort`: too late to stop, so the default order is shown
            out.print(f"--sort: {error.args[0]}", style="yellow")
            sort = None
        if html_file is not None:
            outputs.write("HTML report", html_file, lambda file: write_html(evaluation, summary, file, sort))
        out.print(render_report(summary, sort))
        if submission is not None:
            with usage_errors():
                told = submission.submit(summary, entrants)
            out.print(f"{submission.file}: {'; '.join(told)}", markup=False, soft_wrap=True)
    return summary


def _storms(
    evaluation: Evaluation, summary: dict[str, Any], entrants: Mapping[str, Entrant], n_storms: int
) -> dict[str, Any] | None:
    """Storms for replay, with a line that says what takes its time."""
    told = min(n_storms, summary["episodes"])
    with status_console().status(Text(f"{told} storms once more, for replay")) as status:
        return record_storms(
            evaluation,
            summary,
            entrants,
            n_storms,
            on_progress=lambda name, _: status.update(Text(f"{name}: storms once more, for replay")),
        )


def publishing_ert(entrants: Mapping[str, Entrant], env_id: str, env_kwargs: Mapping[str, Any]) -> dict[str, Entrant]:
    """The agents, those that can with estimated restoration times (`--ert`); others are left as they are.

    Raises:
        ValueError: none of them can, or the environment has no such times.
    """
    entry = domain_of(env_id).ert
    if entry is None:
        able = [known.env_id for known in DOMAINS.values() if known.ert is not None]
        raise ValueError(f"--ert is for {' and '.join(able)}; got {env_id}")
    make = load_entry(entry)
    told: dict[str, Entrant | None] = {}
    for name, entrant in entrants.items():
        with status_console().status(Text(f"{name}: {ON_PAST_STORMS}")) as status:
            done = 0

            def count(n: int, name: str = name, status: Any = status) -> None:
                nonlocal done
                done += n
                status.update(Text(f"{name}: {done} {ON_PAST_STORMS}"))

            kept = name in AGENTS and not AGENTS[name].trainable
            told[name] = make(name, entrant, env_id, env_kwargs, kept=kept, on_progress=count)
    if not any(told.values()):
        raise ValueError(f"--ert needs an agent that keeps a plan; got {', '.join(entrants)}")
    return {name: told[name] or entrant for name, entrant in entrants.items()}


def run_plan(
    *,
    env_id: str,
    agents: str | None,
    request: PlanRequest,
    csv_file: Path | None = None,
    json_file: Path | None = None,
    trust_pickle: bool = False,
    console: Console | None = None,
) -> None:
    """Print one agent's plan, as the environment's domain makes it, and write it as CSV and JSON.

    Raises:
        UsageError: an unknown name, an option without meaning here, bad data, or an agent that cannot plan.
    """
    out = console or make_console()
    with usage_errors():
        env_id = check_env_id(env_id)
        domain = domain_of(env_id)
        if domain.plan is None:
            able = [known.env_id for known in DOMAINS.values() if known.plan is not None]
            raise ValueError(f"--plan is for {', '.join(able)}; got {env_id}")
        entrants = resolve_agents(agents or domain.plan_agent, env_id, trust_pickle=trust_pickle)
        if len(entrants) != 1:
            raise ValueError(f"--plan takes one agent; got {', '.join(entrants)}")
        ((name, entrant),) = entrants.items()
        check_env_kwargs(env_id, request.env_kwargs)
        check_outputs({"--csv": csv_file, "--json": json_file})
        make_plan: Callable[[str, Entrant, PlanRequest], PlanReport] = load_entry(domain.plan)
        with status_console().status("forecasting and planning"):
            doubts = trained_elsewhere(name, entrant, domain, request.env_kwargs)
            plan = make_plan(name, entrant, replace(request, env_id=env_id, warnings=doubts))
    with Outputs(lambda line: out.print(line, soft_wrap=True)) as outputs:
        outputs.write("CSV", csv_file, plan.write_csv)
        if plan.write_json is not None:
            outputs.write("JSON", json_file, plan.write_json)
        out.print(plan.table)


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
