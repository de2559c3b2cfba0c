"""Portfolios between return and tail: what each law's plans are worth as their risk goes from 1 to 0.02.

    python -m benchmarks.decisions.frontier --docs docs

Every point is the mean over fresh contexts of the true expected cost and the true CVaR 0.1 of the plans of a law at one
risk; plans are made for 1,000 samples. The line of the true law with its exact optimum is as far as anyone gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import tyro

from benchmarks.decisions.generative.bench import DataSet
from benchmarks.kit.pages import save_picture
from stormgym.agents.decisions.generative import RADII, ball_unit, samples_of
from stormgym.envs.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RISKS = (1.0, 0.75, 0.5, 0.35, 0.2, 0.1, 0.05, 0.02)
COLOURS = {
    "exact, true law": "#000000",
    "true law, 1,000 samples": "#7f7f7f",
    "MSE and residuals": "#009E73",
    "diagonal Gaussian": "#0072B2",
    "conditional flow": "#E69F00",
    "ball around MSE": "#CC79A7",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A picture of one data set."""

    instance: int = 0
    """Data set, and seed of the networks."""
    contexts: int = 30
    """Fresh ones, over which points are means."""
    docs: Path | None = None
    """Folder of the docs: the picture goes to img/decisions_frontier.png."""


def points_of(settings: Settings) -> dict[str, list[tuple[float, float, float]]]:
    """True expected cost, true CVaR 0.1 and risk (or radius) of each law's plans."""
    data = DataSet("portfolio", settings.instance, {}, settings.contexts)
    problem, decision, test, seed = data.problem, data.task.decision, data.test, settings.instance
    past = problem.cases("train"), problem.cases("validation")

    def worth(plans: Floats, label: float) -> tuple[float, float, float]:
        risks = (float(problem.true_risk(plans, test, risk).mean()) for risk in (1.0, 0.1))
        mean, tail = risks
        return mean, tail, label

    found = {"exact, true law": [worth(problem.true_plans(test, risk), risk) for risk in RISKS]}
    laws: dict[str, Any] = {"true law, 1,000 samples": data.true_samples(test, data.family.n_samples, seed)}
    for label, name in (
        ("MSE and residuals", "residuals"),
        ("diagonal Gaussian", "gaussian"),
        ("conditional flow", "flow"),
    ):
        model = data.task.new_generator(name, seed)
        model.fit(*past)
        laws[label] = samples_of(model, test, seed, data.family.n_samples)
    for label, samples in laws.items():
        found[label] = [worth(decision.decide(samples, risk), risk) for risk in RISKS]
    point = data.task.new_model(seed)
    point.fit(*past)
    forecast, unit = samples_of(point, test, seed), ball_unit(data.task)
    found["ball around MSE"] = [worth(decision.decide_in_ball(forecast, radius * unit), radius) for radius in RADII]
    return found


def draw(found: dict[str, list[tuple[float, float, float]]]) -> Figure:
    """Expected cost against CVaR 0.1; both are better to the left and below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    for name, points in found.items():
        mean, tail, label = zip(*points, strict=True)
        axes.plot(tail, mean, "o-", color=COLOURS[name], markersize=4, label=name)
        if name == "exact, true law":
            for x, y, risk in zip(tail, mean, label, strict=True):
                axes.annotate(f"{risk:g}", (x, y), textcoords="offset points", xytext=(4, -10), fontsize=8)
    axes.set_xlabel("true CVaR 0.1 of the cost (mean of the worst tenth)")
    axes.set_ylabel("true expected cost (minus the return)")
    axes.set_title(
        "Portfolio-v0: better is to the left and below; numbers are the risk planned for", loc="left", fontsize=10
    )
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def main(args: list[str] | None = None) -> int:
    """Plan at every risk and draw."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    torch.set_num_threads(1)
    found = points_of(settings)
    for name, points in found.items():
        print(name, "; ".join(f"{label:g}: mean {mean:.4f}, CVaR {tail:.4f}" for mean, tail, label in points))
    if settings.docs is not None:
        save_picture(draw(found), settings.docs, "decisions_frontier.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
