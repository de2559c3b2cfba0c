"""The command line `evaluate.py`, or `stormgym evaluate`: score agents on common scenarios, print a plan, list agents.

python evaluate.py --env Restoration-v0 --agents nearest,equity-planner,RUN_DIR --json evaluation.json
python evaluate.py --plan --city FOLDER --agents equity-planner --csv plan.csv
python evaluate.py --plan --env CrewDispatch-v0 --city FOLDER --what-if n_crews=6
python evaluate.py --list
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from stormgym.agents.domain import PlanRequest
from stormgym.agents.evaluation.board.submission import Submission, command_without
from stormgym.agents.evaluation.command import run_evaluation, run_list, run_plan
from stormgym.agents.evaluation.options import EnvOptions, shown_as, with_options
from stormgym.agents.registry import DOMAINS, domain_of
from stormgym.agents.usage import UsageError, words_of


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Score agents on common scenarios, (--plan) print one agent's plan for today, or (--list) list the agents."""

    env: str = next(iter(DOMAINS))
    """Environment id."""
    agents: Annotated[str | None, shown_as("A,B,RUN_DIR")] = None
    """Names (--list shows them), run folders, FILE.py:CLASS, or LABEL=one of them. Left out: all that need
    no training (--plan: the environment's planner)."""
    episodes: int = 500
    """Number of scenarios; all agents meet the same ones."""
    seed: int = 0
    """Decides the scenarios."""
    batch_size: int = 64
    """Episodes played side by side."""
    workers: Annotated[str | None, shown_as("ray[:N]")] = None
    """Play batches side by side in a Ray cluster (docs/ray.md); the numbers are the same."""
    json: Annotated[Path | None, shown_as("FILE")] = None
    """Write every figure and every episode to this file; with --plan, the plan, where the environment's plans can."""
    html: Annotated[Path | None, shown_as("FILE")] = None
    """Write an interactive page with figures, replays of storms and tables to this file."""
    replays: Annotated[int | None, shown_as("N")] = None
    """Storms kept for replay, in the page and the JSON. Left out: 5 with --html, else none."""
    submit: Annotated[Path | None, shown_as("FILE")] = None
    """Add the scores to this results board (docs/board.md); those that it has are reproduced. Needs --by."""
    by: Annotated[str | None, shown_as("NAME")] = None
    """With --submit: who you are, as the board shows it."""
    ert: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Agents that plan publish estimated restoration times, which are scored too. They are calibrated first: minutes,
    once."""
    sort: Annotated[str | None, shown_as("KEY")] = None
    """Order of the table: a figure such as gap_h, "name" or "given". Left out: the objective."""
    reference: Annotated[str | None, shown_as("NAME")] = None
    """The agent that the others are compared with. Left out: the best heuristic."""
    list: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """List the agents that fit the environment, pretrained ones among them, and stop."""
    plan: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Plan instead of scoring: the order of today's open jobs, or what to bury before the season."""
    jobs: Annotated[Path | None, shown_as("FILE")] = None
    """With --plan: CSV of open jobs. Left out: the city's jobs.csv, else the last record of every region."""
    csv: Annotated[Path | None, shown_as("FILE")] = None
    """With --plan: write the plan to this file."""
    start: Annotated[str | None, shown_as("TIME")] = None
    """With --plan: when the crew leaves, e.g. "2026-09-27 06:00"; the plan then shows times of day."""
    what_if: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, shown_as("NAME=NUMBER")] = ()
    """With --plan: plan once more with other crews, e.g. n_crews=6 or n_crews=6,off_h=0; may be repeated."""
    trust_pickle: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Open runs that an earlier version wrote, whose files can run any code: only if you trust their maker."""
    environment: tyro.conf.OmitArgPrefixes[EnvOptions] = field(default_factory=EnvOptions)


ONLY_PLAN = ("jobs", "csv", "start", "what_if")
ONLY_SCORING = (
    "episodes",
    "batch_size",
    "workers",
    "json",
    "html",
    "replays",
    "submit",
    "by",
    "ert",
    "sort",
    "reference",
)
AS_PLAN = "stormgym plan"
"""How messages call the command that is `evaluate --plan`."""
NOT_LISTING = ("agents", "seed", "plan", "trust_pickle", *ONLY_PLAN, *ONLY_SCORING)


def main(arguments: Sequence[str] | None = None, prog: str = "evaluate.py") -> int:
    """Run the command line; return the exit code (2 for a wrong name, path or option).

    Args:
        arguments: words after the command; None takes those of this process.
        prog: the command, as messages call it.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        settings = tyro.cli(with_options(Settings, words), prog=prog, args=words)
        kwargs = settings.environment.env_kwargs()
        _refuse_idle_options(settings, prog)
        if settings.list:
            run_list(env_id=settings.env)
        elif settings.plan:
            run_plan(
                env_id=settings.env,
                agents=settings.agents,
                request=PlanRequest(
                    env_kwargs=kwargs,
                    seed=settings.seed,
                    jobs_file=settings.jobs,
                    start=settings.start,
                    what_if=settings.what_if,
                ),
                csv_file=settings.csv,
                json_file=settings.json,
                trust_pickle=settings.trust_pickle,
            )
        else:
            run_evaluation(
                env_id=settings.env,
                agents=settings.agents,
                episodes=settings.episodes,
                seed=settings.seed,
                env_kwargs=kwargs,
                batch_size=settings.batch_size,
                json_file=settings.json,
                html_file=settings.html,
                replays=settings.replays,
                submission=_submission(settings, words, prog),
                ert=settings.ert,
                sort=settings.sort,
                reference=settings.reference,
                trust_pickle=settings.trust_pickle,
                workers=settings.workers,
            )
    except (UsageError, ValueError, KeyError) as error:
        print(f"{prog}: {words_of(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: stopped", file=sys.stderr)
        return 130
    return 0


def _refuse_idle_options(settings: Settings, prog: str) -> None:
    """Raise `UsageError` for an option that only another mode reads: a file left unwritten is no surprise then."""
    idle = NOT_LISTING if settings.list else _no_use_to_plans(settings.env) if settings.plan else ONLY_PLAN
    default = type(settings)()
    given = [name for name in idle if getattr(settings, name) != getattr(default, name)]
    given += settings.environment.env_kwargs() if settings.list else {}
    if not given:
        return
    cures = ["leave it out"]
    if settings.list:
        cures.append("leave out --list")
    elif settings.plan:
        cures += [f"plan with --env {env_id}, which takes {_words(taken)}" for env_id, taken in _plans_with(given)]
        scoring = "score agents with stormgym evaluate" if prog == AS_PLAN else "leave out --plan to score agents"
        cures += [scoring] if any(name in ONLY_SCORING for name in given) else []
    else:
        cures.append("add --plan for a plan")
    raise UsageError(f"no use here for {_words(given)}; {', or '.join(cures)}")


def _words(names: Sequence[str]) -> str:
    """Options as one types them."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _plans_with(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Environments whose plans take some of these options, and which."""
    taken = {env_id: [name for name in names if name in domain.plan_extras] for env_id, domain in DOMAINS.items()}
    return [(env_id, own) for env_id, own in taken.items() if own]


def _submission(settings: Settings, words: Sequence[str], prog: str) -> Submission | None:
    """What `--submit` and `--by` ask for.

    Raises:
        UsageError: one of them alone.
    """
    if settings.submit is None and settings.by is None:
        return None
    if settings.submit is None or not (settings.by or "").strip():
        raise UsageError("--submit FILE and --by NAME go together: the board says whose scores they are")
    return Submission(settings.submit, str(settings.by).strip(), command_without(prog, words))


def _no_use_to_plans(env_id: str) -> tuple[str, ...]:
    """Options that plans of an environment do not take."""
    extras = domain_of(env_id).plan_extras
    return tuple(name for name in (*ONLY_SCORING, "what_if") if name not in extras)
