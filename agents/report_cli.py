"""The command line `stormgym report`: the tables and the page of an evaluation, or of a run's, from the JSON it wrote.

stormgym report evaluation.json
stormgym report runs/Restoration-v0/sta-sac/0-20260101-120000 --html run.html
stormgym report evaluation.json --html report.html --sort gap_h
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from stormgym.agents.evaluation.options import check_env_id, shown_as
from stormgym.agents.evaluation.report import render_report, sorted_agents
from stormgym.agents.evaluation.rollouts import Evaluation
from stormgym.agents.evaluation.training_curves import training_curves
from stormgym.agents.files import write_atomically
from stormgym.agents.registry import domain_of
from stormgym.agents.terminal import make_console
from stormgym.agents.usage import Outputs, UsageError, check_outputs, usage_errors
from stormgym.envs.data.tables import keys_once
from stormgym.predictors.extras import MissingExtraError

MOST_BYTES = 2_000_000_000
"""Size of a file that is read."""
EVALUATION, PROGRESS = "evaluation.json", "progress.csv"
"""Files of a run folder."""
KEYS = ("env", "episodes", "settings", "versions", "agents")
"""Keys that tell the JSON of an evaluation."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Show the tables of a saved evaluation (evaluate --json FILE) again, and write them as a page.

    A run folder gives its evaluation, and the page has the curves of its training.

    The page has all but the curves of groups over all scenarios, for which the JSON holds too little; evaluate --html
    has them. Replays are those that the JSON holds (evaluate --replays N --json FILE).
    """

    file: Annotated[tyro.conf.Positional[Path], shown_as("EVALUATION.json|RUN_DIR")]
    """What evaluate --json wrote, or a run folder of train."""
    html: Annotated[Path | None, shown_as("FILE")] = None
    """Write a page with figures, replays and tables to this file."""
    sort: Annotated[str | None, shown_as("KEY")] = None
    """Order of the table: a figure such as gap_h, "name" or "given". Left out: the objective."""
    env: Annotated[str | None, shown_as("MODULE:ID")] = None
    """The evaluation's environment, if it is of another package, whose module is then imported."""


def main(arguments: Sequence[str] | None = None, prog: str = "stormgym report") -> int:
    """Run the command line; return the exit code (2 for a wrong path, option or file).

    Args:
        arguments: words after the command; None takes those of this process.
        prog: the command, as messages call it.
    """
    settings = tyro.cli(Settings, prog=prog, args=sys.argv[1:] if arguments is None else list(arguments))
    try:
        run_report(settings)
    except UsageError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: stopped", file=sys.stderr)
        return 130
    return 0


def run_report(settings: Settings) -> None:
    """Print the tables and write the page.

    Raises:
        UsageError: no evaluation's JSON, an environment that is not known here, an unknown figure to sort by, or a file
            that cannot be written.
    """
    out = make_console()
    with usage_errors():
        summary = read_evaluation(_evaluation_of(settings.file))
        if settings.env is not None:
            named = check_env_id(settings.env)
            if named != summary["env"]:
                raise ValueError(f"{settings.file} is of {summary['env']}; got --env {named}")
        check_env_id(summary["env"])
        check_outputs({"--html": settings.html})
        with _as_of_a_file(settings.file):
            sorted_agents(summary, None)
            tables = render_report(summary, None)
        if settings.sort is not None:
            sorted_agents(summary, settings.sort)
            tables = render_report(summary, settings.sort)
        page = None if settings.html is None else _page(summary, settings)
    with Outputs(lambda line: out.print(line, soft_wrap=True)) as outputs:
        if page is not None:
            outputs.write("HTML report", settings.html, lambda file: write_atomically(file, page))
        out.print(tables)


def _page(summary: dict[str, Any], settings: Settings) -> str:
    from stormgym.agents.evaluation.html import render_html, require_page

    bare = Evaluation(  # its regions' hours are not in the JSON
        env_id=summary["env"],
        seeds=(),
        settings=summary["settings"],
        cost_limit=summary.get("cost_limit"),
        agents={},
        group_names=tuple(summary.get("group_names", ())),
    )
    with usage_errors((MissingExtraError,)):
        require_page()
    training = None
    if settings.file.is_dir():
        training = training_curves(settings.file / PROGRESS, domain_of(summary["env"]).headline)
    with _as_of_a_file(settings.file):
        return render_html(bare, summary, settings.sort, training)


def _evaluation_of(path: Path) -> Path:
    """The file of an evaluation, or that in a run folder.

    Raises:
        FileNotFoundError: a folder without one.
    """
    if not path.is_dir():
        return path
    if not (path / EVALUATION).is_file():
        raise FileNotFoundError(
            f"{path}: no {EVALUATION} in this folder; a run writes one when it ends (train --final-episodes N)"
        )
    return path / EVALUATION


@contextmanager
def _as_of_a_file(file: Path) -> Iterator[None]:
    """What a figure that is missing or of another type leads to, as an error of the file."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(f"{file}: figures of the evaluation are missing or spoilt ({error!r})") from error


def read_evaluation(file: Path) -> dict[str, Any]:
    """The summary that `evaluate --json` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is too large, no JSON, or not that of an evaluation.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; evaluate --json FILE writes one")
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file}: a file must have at most {MOST_BYTES / 1e9:g} GB")
    try:
        summary = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=partial(keys_once, str(file)))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON ({error})") from error
    missing = [key for key in KEYS if not isinstance(summary, dict) or key not in summary]
    if (
        missing
        or not isinstance(summary["env"], str)
        or not isinstance(summary["agents"], dict)
        or not summary["agents"]
    ):
        raise ValueError(
            f"{file}: not the JSON of an evaluation, which has {', '.join(KEYS)}. Give what evaluate --json wrote"
        )
    return dict(summary)
