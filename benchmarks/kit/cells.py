"""What benchmarks of learnt forecasts share: one seed of one setting is a cell, and cells are kept and put in tables.

A cell's numbers go to one small JSON file that is meant to be committed; a cell that is there is not measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stormgym.agents.files import write_atomically
from stormgym.agents.statistics import Estimate, mean_estimate
from stormgym.agents.terminal import make_console

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Cell(Protocol):
    """One seed of one setting; a frozen dataclass of what JSON can hold."""

    @property
    def seed(self) -> int:
        """Of its storms and weights."""
        ...

    @property
    def key(self) -> str:
        """Name of its file."""
        ...


C = TypeVar("C", bound=Cell)


@dataclass(frozen=True)
class Result:
    """What a cell gave."""

    optimum: float
    """Mean cost of the plans for what came."""
    cost: dict[str, float]
    """Mean cost of each agent on the same storms."""
    best_epoch: dict[str, int]
    """Epoch that fine-tuning kept; 0: its start."""
    error: dict[str, float] = field(default_factory=dict)
    """Mean squared error of forecasts, where it was measured."""

    def regret(self, agent: str) -> float:
        """Mean cost above the optimum."""
        return self.cost[agent] - self.optimum


Group = list[Result]


def key_of(cell: DataclassInstance, name: str, version: int) -> str:
    """A cell's file name: what a reader looks for, and a digest of everything."""
    digest = hashlib.sha256(json.dumps([version, asdict(cell)], sort_keys=True).encode()).hexdigest()[:10]
    return f"{name.replace(':', '-')}-{digest}"


def measure(cell: C, folder: Path, measured: Callable[[C], Result]) -> Result:
    """Read a cell's file, or measure the cell and write it."""
    file = folder / f"{cell.key}.json"
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        del kept["cell"]
        return Result(**kept)
    result = measured(cell)
    folder.mkdir(parents=True, exist_ok=True)
    content = {"cell": asdict(cell), **asdict(result)}  # type: ignore[call-overload]
    write_atomically(file, json.dumps(content, indent=1) + "\n")
    return result


def measure_parts(
    parts: dict[str, list[C]], folder: Path, measured: Callable[[C], Result], order: Callable[[C], Any]
) -> dict[str, dict[C, Result]]:
    """Every cell of every part in turn, on one thread, with a bar a part.

    Args:
        parts: cells by part.
        folder: where they are kept.
        measured: measures one.
        order: sorts the cells of a part, those that share a forecaster in a row.
    """
    torch.set_num_threads(1)
    results: dict[str, dict[C, Result]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=make_console(stderr=True)) as progress:
        for part, cells in parts.items():
            task = progress.add_task(part, total=len(cells))
            results[part] = {}
            for cell in sorted(cells, key=order):
                results[part][cell] = measure(cell, folder, measured)
                progress.advance(task)
    return results


def by(results: dict[C, Result], key: Callable[[C], Any]) -> dict[Any, Group]:
    """Results of the seeds of each value of `key`, values in order."""
    values = sorted({key(cell) for cell in results})
    return {value: [result for cell, result in results.items() if key(cell) == value] for value in values}


def regrets(group: Group, agent: str) -> Estimate:
    """Mean regret over seeds."""
    return mean_estimate([result.regret(agent) for result in group])


def difference(group: Group, agent: str, other: str = "two-stage") -> Estimate:
    """Mean over seeds of the paired difference of costs."""
    return mean_estimate([result.cost[agent] - result.cost[other] for result in group])


def headroom(group: Group, agent: str) -> float:
    """Share of what two-stage leaves above the floor that an agent takes."""
    left = np.mean([result.cost["two-stage"] - result.cost["floor"] for result in group])
    taken = np.mean([result.cost["two-stage"] - result.cost[agent] for result in group])
    return float(taken / left)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(estimate: Estimate, sign: str = "", decimals: int = 0) -> str:
    """Value and half-width; the value alone where one seed gives no interval."""
    text = f"{estimate.value:{sign},.{decimals}f}"
    return text if np.isnan(estimate.low) else f"{text} ± {estimate.half_width:,.{decimals}f}"
