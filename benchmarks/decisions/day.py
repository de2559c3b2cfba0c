"""One day of power scheduling: the forecast's band, the plan of every method, and what each costs hour by hour.

    python -m benchmarks.decisions.day --data FOLDER --docs docs

Without `--data` the day is one of the synthetic town. The forecaster is trained as published (outcomes not
standardised, stopped early), which is where methods differ most.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import tyro

from benchmarks.kit.pages import save_picture
from stormgym.agents.decisions.methods import fitted, fitted_policy_net, plans_of
from stormgym.agents.decisions.power_scheduling import PowerSchedulingTask
from stormgym.envs.arrays import Floats
from stormgym.envs.decisions.load_data import read_load, synthetic_load
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "two-stage": "#7f7f7f",
    "two-stage-calibrated": "#0072B2",
    "dfl": "#009E73",
    "so-ebm": "#D55E00",
    "policy-net": "#CC79A7",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A picture of one day."""

    data: Path | None = None
    """Folder of hourly loads; left out: the synthetic town."""
    quantile: float = 0.9
    """Which test day: the one whose two-stage cost is at this quantile."""
    seed: int = 0
    """Of the networks."""
    docs: Path | None = None
    """Folder of the docs: the picture goes to img/decisions_day.png."""


def day_of(settings: Settings) -> tuple[dict[str, Floats], dict[str, Floats], Floats, tuple[Floats, Floats]]:
    """Plans and hourly costs of each method, the load, and the forecast's mean and spread, of the chosen day."""
    days = synthetic_load() if settings.data is None else read_load(settings.data)
    task = PowerSchedulingTask(PowerSchedulingProblem(days), as_published=True)
    test = task.problem.cases("test")
    plans = {name: plans_of(task, fitted(task, name, settings.seed), test) for name in COLOURS if name != "policy-net"}
    plans["policy-net"] = fitted_policy_net(task, settings.seed).plans(test)
    cost = np.asarray(task.problem.cost(plans["two-stage"], test.outcomes))
    row = int(np.argsort(cost)[int(settings.quantile * (len(cost) - 1))])
    one = test.rows(slice(row, row + 1))
    with torch.no_grad():
        forecast = fitted(task, "two-stage", settings.seed).outcomes(one, torch.Generator())
    load = one.outcomes[0]
    hourly = {name: np.asarray(task.problem.hourly_cost(p[row], load)) for name, p in plans.items()}
    return {name: p[row] for name, p in plans.items()}, hourly, load, tuple(np.asarray(part[0]) for part in forecast)


def draw(settings: Settings) -> Figure:
    """Load, band and plans above; what each plan has cost by each hour below."""
    from matplotlib.figure import Figure

    plans, hourly, load, (mean, sd) = day_of(settings)
    figure = Figure(figsize=(8.6, 6.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    hour = np.arange(len(load))
    above.fill_between(hour, mean - 1.96 * sd, mean + 1.96 * sd, color="#b9c4d0", alpha=0.6, label="forecast, 95 %")
    above.plot(hour, mean, color="#3f4a5a", linewidth=1.0, linestyle=":", label="forecast mean")
    above.plot(hour, load, "o", color="black", markersize=4, label="load")
    for name, colour in COLOURS.items():
        above.plot(hour, plans[name], color=colour, linewidth=1.8, label=name)
        below.plot(hour, np.cumsum(hourly[name]), color=colour, linewidth=1.8)
    ends = sorted(((float(hourly[name].sum()), name) for name in COLOURS), reverse=True)
    top = below.get_ylim()[1]
    for place, (total, name) in enumerate(ends):
        height = top * (0.94 - 0.17 * place)
        below.annotate(f"{name} {total:.2f}", (23.4, height), color=COLOURS[name], fontsize=9, annotation_clip=False)
    above.set_ylabel("load, generation")
    below.set_ylabel("cost so far")
    below.set_xlabel("hour of the day")
    above.legend(loc="upper left", ncols=2, frameon=False, fontsize=8)
    for ax in (above, below):
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    return figure


def main(args: list[str] | None = None) -> int:
    """Draw and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    save_picture(draw(settings), settings.docs or Path("."), "decisions_day.png")
    print("wrote img/decisions_day.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
