"""`python -m stormgym.agents.offline`: make datasets, learn from them, compare with the policies that made them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from stormgym.agents.evaluation.options import EnvOptions, check_env_id, check_env_kwargs, held_out, takes
from stormgym.agents.evaluation.report import render_report
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.evaluation.summary import summarise, write_json
from stormgym.agents.lineup import resolve_agents, run_entrant
from stormgym.agents.offline.datasets import (
    KINDS,
    RANDOM,
    DatasetSpec,
    figures_of,
    folder_of,
    make_dataset,
    spec_of_dataset,
)
from stormgym.agents.offline.learning import METHODS, OfflineSettings, fit
from stormgym.agents.registry import domain_of
from stormgym.agents.terminal import PlainTable, make_console
from stormgym.agents.usage import UsageError, usage_errors


@dataclass(frozen=True)
class Make:
    """Play policies and write what they played as Minari datasets, each with a card."""

    env: str
    """A registered id."""
    kinds: tuple[str, ...] = KINDS
    """random, status-quo, planner, expert, mixed."""
    episodes: int = 500
    """Of each dataset."""
    seed: int = 0
    environment: tyro.conf.OmitArgPrefixes[EnvOptions] = field(default_factory=EnvOptions)


@dataclass(frozen=True)
class Fit:
    """Learn a policy from a dataset; the run folder that comes of it is an agent of evaluate.py."""

    dataset: str
    """Name of a dataset that `make` wrote, such as restoration/expert-v0."""
    settings: Annotated[OfflineSettings, tyro.conf.OmitArgPrefixes] = field(default_factory=OfflineSettings)
    runs_dir: Path = Path("runs")


@dataclass(frozen=True)
class Compare:
    """Learn from datasets by every method and score all beside the policies that made them, on the same storms."""

    env: str
    """A registered id, whose datasets `make` wrote."""
    kinds: tuple[str, ...] = KINDS
    methods: tuple[str, ...] = METHODS
    steps: int = 3_000
    """Gradient steps of each fit."""
    seeds: int = 1
    """Fits of each dataset and method."""
    episodes: int = 200
    """Held-out scenarios."""
    runs_dir: Path = Path("runs")
    json: Path | None = None
    """Where the table goes as JSON."""


def training_kwargs(env_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with the half of the records that training has, where there are halves."""
    check_env_kwargs(env_id, dict(given))
    return {**given, "split": given.get("split", "train")} if takes(env_id, "split") else dict(given)


def progress_bar(console: Console) -> Progress:
    """A bar of fits or datasets."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def name_agent(bar: Progress, task: TaskID, kind: str, agent: str) -> None:
    """Show who plays."""
    bar.update(task, description=f"{kind}: {agent}")


def make(command: Make, console: Console) -> None:
    """Write the datasets and show what is in them."""
    env_id = check_env_id(command.env)
    kwargs = training_kwargs(env_id, command.environment.env_kwargs())
    specs = [DatasetSpec(env_id, kind, command.episodes, command.seed, kwargs) for kind in command.kinds]
    for spec in specs:
        assert spec.makers, "a kind that nobody plays is told before the others are"
    headline = domain_of(env_id).headline
    table = PlainTable("dataset", "episodes", "transitions", "return", "cost", *(c.title for c in headline.leading))
    with progress_bar(console) as bar:
        task = bar.add_task("datasets", total=len(specs))
        for spec in specs:
            dataset = make_dataset(spec, partial(name_agent, bar, task, spec.kind))
            figures = figures_of(dataset)
            row = [f"{dataset.total_episodes:,}", f"{dataset.total_steps:,}"]
            row += [f"{figures[name]:,.3f}" for name in ("return", "cost")]
            row += [c.text(figures[c.key]) for c in headline.leading]
            table.add_row(spec.dataset_id, *row)
            bar.advance(task)
            where = folder_of(dataset)
    console.print(table)
    console.print(f"Cards: {where.parent}/*/card.md", soft_wrap=True, highlight=False)
    console.print(f"Learn from one: python -m stormgym.agents.offline fit --dataset {specs[-1].dataset_id}")


def load(dataset_id: str) -> Any:
    """A local dataset.

    Raises:
        FileNotFoundError: there is none of that name.
    """
    import minari

    if dataset_id not in minari.list_local_datasets():
        known = ", ".join(minari.list_local_datasets()) or "none"
        raise FileNotFoundError(
            f"no dataset {dataset_id!r} here; there are: {known}. Make it with python -m stormgym.agents.offline make"
        )
    return minari.load_dataset(dataset_id)


def learn(command: Fit, console: Console) -> None:
    """Fit one policy and say where it is."""
    dataset = load(command.dataset)
    spec = spec_of_dataset(dataset)
    with progress_bar(console) as bar:
        task = bar.add_task(f"{command.settings.method} on {command.dataset}", total=command.settings.steps)
        run = fit(
            dataset,
            spec,
            command.settings,
            runs_dir=command.runs_dir,
            on_step=lambda step, loss: bar.update(task, completed=step),
        )
    console.print(f"Run folder: {run.folder}", soft_wrap=True, highlight=False)
    console.print(
        f"Score it:   python evaluate.py --env {spec.env_id} --agents {command.settings.method}={run.folder}",
        soft_wrap=True,
        highlight=False,
    )


def compare(command: Compare, console: Console) -> None:
    """Fit all, then one table."""
    env_id = check_env_id(command.env)
    specs = {kind: DatasetSpec(env_id, kind) for kind in command.kinds}
    datasets = {kind: load(spec.dataset_id) for kind, spec in specs.items()}
    made = {kind: spec_of_dataset(dataset) for kind, dataset in datasets.items()}
    arguments = {json.dumps(dict(spec.env_kwargs or {}), sort_keys=True) for spec in made.values()}
    if len(arguments) > 1:
        raise ValueError(f"the datasets of {env_id} differ in their arguments: {'; '.join(sorted(arguments))}")
    entrants: dict[str, Any] = {}
    for spec in made.values():
        for name in spec.makers:
            if name != RANDOM or domain_of(env_id).agent(RANDOM) is not None:
                entrants |= resolve_agents([name], env_id)
    fits = [(kind, method, seed) for kind in made for method in command.methods for seed in range(command.seeds)]
    with progress_bar(console) as bar:
        task = bar.add_task("fits", total=len(fits))
        for kind, method, seed in fits:
            bar.update(task, description=f"{method} on {kind}")
            settings = OfflineSettings(method=method, steps=command.steps, seed=seed)
            run = fit(datasets[kind], made[kind], settings, runs_dir=command.runs_dir)
            label = f"{method} on {kind}" + (f", seed {seed}" if command.seeds > 1 else "")
            entrants[label] = run_entrant(run.folder)
            bar.advance(task)
    kwargs = held_out(dict(next(iter(made.values())).env_kwargs or {}))
    with console.status("playing held-out scenarios"):
        summary = summarise(evaluate(env_id, entrants, episodes=command.episodes, env_kwargs=kwargs))
    if command.json is not None:
        write_json(summary, command.json)
    console.print(render_report(summary))


Command = (
    Annotated[Make, tyro.conf.subcommand("make")]
    | Annotated[Fit, tyro.conf.subcommand("fit")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
)


def main(args: list[str] | None = None) -> int:
    """Carry out one of the three commands; 2 for a wrong name, path or option."""
    command: Any = tyro.cli(Command, args=args, description=__doc__)
    console = make_console()
    try:
        with usage_errors():
            if isinstance(command, Make):
                make(command, console)
            elif isinstance(command, Fit):
                learn(command, console)
            else:
                compare(command, console)
    except UsageError as error:
        print(f"stormgym.agents.offline: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
