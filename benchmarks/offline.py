"""Offline learning: every method on every kind of dataset, beside the policies that made the data.

    python -m benchmarks.offline --docs docs

A cell is one environment, kind, method and seed: the seed draws the dataset of its own and the fit. All are scored on
the same storms, of records that no dataset has where an environment has halves. Cells that are kept are not measured
again, so a run that was stopped goes on.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from minari import MinariDataset

from benchmarks.kit.cells import Cell, Cells
from benchmarks.kit.measure import kept_parts, measure_parts
from benchmarks.kit.pages import Page
from benchmarks.kit.settings import Keeping, command_of
from benchmarks.kit.tables import markdown, number
from stormgym.agents.evaluation.options import held_out
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.offline.datasets import KINDS, RANDOM, DatasetSpec, RandomActions, make_dataset
from stormgym.agents.offline.learning import METHODS, OfflineSettings, fit
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import domain_of
from stormgym.agents.statistics import mean_estimate, paired_difference
from stormgym.agents.terminal import make_console

BENCHMARK = "offline"
PAGE = Page("offline", "Offline learning", "offline")
TASKS: dict[str, dict[str, Any]] = {
    "Restoration-v0": {"city": "synthetic:20:1", "split": "train"},
    "GeneratorDispatch-v0": {"profile": "B"},
    "Undergrounding-v0": {"profile": "ten"},
}
"""Environments, and arguments with which their episodes are drawn."""
DATASETS = "MINARI_DATASETS_PATH"
MAKER = "maker"
"""In place of a method: a policy that made data, scored by itself."""


@dataclass(frozen=True, kw_only=True)
class Settings(Keeping):
    """Offline learning."""

    tasks: tuple[str, ...] = ("Restoration-v0",)
    """Environments, of `Restoration-v0`, `GeneratorDispatch-v0` and `Undergrounding-v0`."""
    seeds: int = 5
    """Datasets, and fits, of each kind and method."""
    episodes: int = 300
    """Of each dataset."""
    steps: int = 1_000
    """Gradient steps of each fit."""
    held_out: int = 500
    """Storms that all are scored on."""
    small: bool = False
    """A small form for trials: few episodes and steps. Its numbers mean nothing."""


@dataclass(frozen=True, kw_only=True)
class OfflineCell(Cell):
    """A fit of a dataset, or a policy that makes data."""

    env_id: str
    env_kwargs: dict[str, Any]
    kind: str
    method: str
    seed: int
    episodes: int
    steps: int
    held_out: int

    @property
    def title(self) -> str:
        """Environment, kind, method, seed."""
        return f"{self.env_id}-{self.kind}-{self.method}-{self.seed}"

    def __hash__(self) -> int:
        return hash(self.key)


def cells_of(settings: Settings) -> dict[str, list[OfflineCell]]:
    """Cells by environment: makers, then seed by seed."""
    sizes = {"episodes": settings.episodes, "steps": settings.steps, "held_out": settings.held_out}
    if settings.small:
        sizes = {"episodes": 8, "steps": 3, "held_out": 8}
    result: dict[str, list[OfflineCell]] = {}
    for env_id in settings.tasks:
        task: dict[str, Any] = {"env_id": env_id, "env_kwargs": TASKS[env_id], **sizes}
        makers = [OfflineCell(**task, kind=kind, method=MAKER, seed=0) for kind in KINDS[:-1]]
        fits = [
            OfflineCell(**task, kind=kind, method=method, seed=seed)
            for seed in range(settings.seeds)
            for kind in KINDS
            for method in METHODS
        ]
        result[env_id] = [*makers, *fits]
    return result


def measure(cell: OfflineCell) -> dict[str, Any]:
    """Objective and cost of every held-out storm."""
    warnings.filterwarnings("ignore", category=UserWarning, module="minari")
    spec = DatasetSpec(cell.env_id, cell.kind, cell.episodes, cell.seed, cell.env_kwargs)
    if cell.method == MAKER:
        (name,) = spec.makers
        agents = {name: Entrant(RandomActions)} if name == RANDOM else resolve_agents([name], cell.env_id)
        return _scores(cell, agents)
    settings = OfflineSettings(method=cell.method, steps=cell.steps, seed=cell.seed)
    with _own_folder():
        dataset = _dataset(cell.env_id, cell.kind, cell.seed, cell.episodes)
        run = fit(dataset, spec, settings, runs_dir=Path(os.environ[DATASETS]) / "runs")
    return _scores(cell, resolve_agents([f"fitted={run.folder}"], cell.env_id))


@lru_cache(maxsize=1)
def _dataset(env_id: str, kind: str, seed: int, episodes: int) -> MinariDataset:
    """The dataset of a cell; the methods that learn from it are measured in a row."""
    return make_dataset(DatasetSpec(env_id, kind, episodes, seed, TASKS[env_id]))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Where datasets and runs of this process are; it is gone with it."""
    return tempfile.TemporaryDirectory()


@contextmanager
def _own_folder() -> Iterator[None]:
    """Minari keeps datasets in a folder of this process."""
    before = os.environ.get(DATASETS)
    os.environ[DATASETS] = _folder().name
    try:
        yield
    finally:
        if before is None:
            del os.environ[DATASETS]
        else:
            os.environ[DATASETS] = before


def _scores(cell: OfflineCell, agents: Mapping[str, Any]) -> dict[str, Any]:
    result = evaluate(
        cell.env_id,
        dict(agents),
        episodes=cell.held_out,
        seed=1,
        env_kwargs=held_out(cell.env_kwargs),
        latency_episodes=1,
    )
    (record,) = result.agents.values()
    headline = domain_of(cell.env_id).headline
    kept = {column.key: record.metrics[column.key].round(5).tolist() for column in headline.leading}
    return {"metrics": kept, "limit": result.cost_limit}


def table(env_id: str, found: Mapping[OfflineCell, dict[str, Any]]) -> str:
    """Rows of makers and methods by kind: means with their intervals, and what a method adds to cloning."""
    columns = domain_of(env_id).headline.leading
    head = ["data", "policy", *(column.title for column in columns), "over the limit", "against bc"]
    limit = next(iter(found.values()))["limit"]
    rows = []
    for kind in KINDS:
        title = kind  # on the first row of its kind
        for method in (MAKER, *METHODS):
            cells = [cell for cell in found if (cell.kind, cell.method) == (kind, method)]
            if not cells:
                continue
            values = {c.key: np.array([found[cell]["metrics"][c.key] for cell in cells]) for c in columns}
            if method == MAKER:
                means = [mean_estimate(values[c.key][0]) for c in columns]
                name = f"`{next(iter(DatasetSpec(env_id, kind).makers))}` made it"
            else:
                means = [mean_estimate(values[c.key].mean(axis=1)) for c in columns]
                name = method
            over = "" if len(columns) < 2 else f"{100 * float((values[columns[1].key] > limit).mean()):.0f} %"
            against = ""
            if method not in (MAKER, "bc"):
                bc = [cell for cell in found if (cell.kind, cell.method) == (kind, "bc")]
                objective = columns[0]
                base = np.array([np.mean(found[cell]["metrics"][objective.key]) for cell in bc])
                against = number(paired_difference(values[objective.key].mean(axis=1), base), "+", objective.decimals)
            shown = [number(mean, "", column.decimals) for mean, column in zip(means, columns, strict=True)]
            rows.append([title, name, *shown, over, against])
            title = ""
    return markdown(head, rows)


def texts_of(found: Mapping[str, Mapping[OfflineCell, dict[str, Any]]]) -> str:
    """All tables."""
    parts = []
    for env_id, cells in found.items():
        first = next(cell for cell in cells if cell.method != MAKER)
        limit = cells[first]["limit"]
        note = (
            f"{first.episodes} episodes a dataset, {first.steps:,} steps a fit; {first.held_out} storms held out"
            f"{'' if limit is None else f'; limit {limit:g}'}. ± 95 %: of a maker over storms, of a method over seeds "
            "(each with a dataset of its own); against bc paired by seed, in the objective."
        )
        parts.append(f"## {env_id}\n\n{table(env_id, cells)}\n\n{note}")
    return "\n\n".join(parts)


def main(args: list[str] | None = None) -> int:
    """Measure what is not kept yet, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    cells = settings.kept(BENCHMARK)
    found = measure_parts(cells, cells_of(settings), measure, lambda kept: kept)
    make_console().print(texts_of(found), markup=False)
    if settings.docs is not None:
        cells.keep_page(settings.decisive())
        write_pages(cells, settings.docs)
    return 0


def write_pages(cells: Cells, docs: Path) -> None:
    """Write the page, as it was last asked for."""
    page = cells.page()
    if page is None:
        return
    settings = Settings.told(page)
    found = kept_parts(cells, cells_of(settings), lambda kept: kept)
    PAGE.write(docs, f"Made by `{command_of('offline', settings, Settings())}`.\n\n{texts_of(found)}")


if __name__ == "__main__":
    sys.exit(main())
