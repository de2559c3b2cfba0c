"""What the losses of an energy-based decision model aim at: one hour of power scheduling, minimised exactly.

    python -m benchmarks.decisions.toy --docs docs

The load is y ~ N(0, s0^2), the forecast N(mu, sigma^2) knows no features, and the population losses are minimised
over mu and sigma (Nelder-Mead, several starts, T = 1). The best decision in hindsight is y itself, so l_MLE fits the
model's decisions to the loads: with costs of 50 and 0.5 it is led to the wrong side of the mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import tyro
from scipy.optimize import minimize

from benchmarks.kit.pages import replace_block, save_picture
from benchmarks.kit.tables import markdown
from stormgym.agents.decisions.power_scheduling import PowerScheduling
from stormgym.agents.dfl.decision import Gaussian
from stormgym.agents.dfl.losses.energy import log_normaliser, posterior_energy
from stormgym.agents.terminal import make_console
from stormgym.envs.decisions.load_data import synthetic_load
from stormgym.envs.decisions.power_scheduling import PowerSchedulingProblem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST, MOST = 1e-3, 50.0
"""Bounds of sigma, in s0: where a loss has no optimum it runs into one of them."""
LOSSES = {"l_MLE": (1.0, 0.0), "l_KL": (0.0, 1.0), "l_MLE + l_KL": (1.0, 1.0)}
"""Weights of both losses."""


@dataclass(frozen=True)
class Optimum:
    """A minimiser, or the best decision (sigma is then s0)."""

    mu: float
    sigma: float
    decision: float
    cost: float


class Hour:
    """One hour whose load has mean 0 and a known spread.

    Args:
        s0: spread of the load.
        gamma_under, gamma_over: prices of too little and too much.
    """

    def __init__(self, s0: float, gamma_under: float = 50.0, gamma_over: float = 0.5) -> None:
        problem = PowerSchedulingProblem(synthetic_load(20), gamma_under=gamma_under, gamma_over=gamma_over)
        self.s0, self.decision = s0, PowerScheduling(problem)

    def forecast(self, mu: float, sigma: float) -> Gaussian:
        """A forecast of one case."""
        one = torch.ones(1, 1, dtype=torch.float64)
        return Gaussian(mu * one, sigma * one)

    def decide(self, mu: float, sigma: float) -> float:
        """The plan for a forecast."""
        return float(self.decision.coordinate_mode(self.forecast(mu, sigma))[0, 0])

    def cost(self, plan: float) -> float:
        """True expected cost of a plan."""
        return float(self.decision.energy(self.forecast(0.0, self.s0), torch.tensor([[plan]], dtype=torch.float64)))

    def best(self) -> Optimum:
        """The best decision."""
        plan = self.decide(0.0, self.s0)
        return Optimum(0.0, self.s0, plan, self.cost(plan))

    def loss(self, mu: float, sigma: float, mle_weight: float, kl_weight: float) -> float:
        """Population loss, exact: a load that is uncertain by s0 adds to the forecast's own spread.

        The energy of deciding y, averaged over y ~ N(0, s0^2), is that of deciding 0 under a forecast of variance
        sigma^2 + s0^2; what p(a | y) adds to y does not depend on y.
        """
        total = (mle_weight + kl_weight) * float(log_normaliser(self.decision, self.forecast(mu, sigma), 1.0))
        wide, zero = self.forecast(mu, math.hypot(sigma, self.s0)), torch.zeros(1, 1, dtype=torch.float64)
        if mle_weight:
            total += mle_weight * float(self.decision.energy(wide, zero))
        if kl_weight:
            total += kl_weight * float(posterior_energy(self.decision, wide, zero, 1.0))
        return total

    def minimiser(self, mle_weight: float, kl_weight: float) -> Optimum:
        """The least population loss over mu and sigma."""

        def loss(x: Any) -> float:
            sigma = self.s0 * math.exp(np.clip(x[1], math.log(LEAST), math.log(MOST)))
            return self.loss(self.s0 * x[0], sigma, mle_weight, kl_weight)

        options = {"xatol": 1e-4, "fatol": 1e-8, "maxiter": 400}
        starts = ([0.0, 0.0], [-2.0, -1.0], [0.5, 1.0])
        found = min((minimize(loss, x, method="Nelder-Mead", options=options) for x in starts), key=lambda r: r.fun)
        mu = self.s0 * float(found.x[0])
        sigma = self.s0 * math.exp(float(np.clip(found.x[1], math.log(LEAST), math.log(MOST))))
        plan = self.decide(mu, sigma)
        return Optimum(mu, sigma, plan, self.cost(plan))


def minimisers(spreads: tuple[float, ...]) -> dict[float, dict[str, Optimum]]:
    """Where each of `LOSSES` leads, by the load's spread and the loss's name."""
    return {s0: {name: Hour(s0).minimiser(*weights) for name, weights in LOSSES.items()} for s0 in spreads}


def table_of(aims: Mapping[float, Mapping[str, Optimum]]) -> str:
    """Best decisions and minimisers, in units of the load's spread, and what they cost."""
    rows = []
    for s0, aimed_at in aims.items():
        hour = Hour(s0)
        best = hour.best()
        row = [f"{s0:g}", f"{best.decision / s0:+.2f} s0 ({best.cost:.3g})"]
        for found in aimed_at.values():
            ends = {LEAST: "to 0", MOST: "unbounded"}
            ratio = found.sigma / s0
            width = next((word for end, word in ends.items() if abs(math.log(ratio / end)) < 0.05), f"{ratio:.2f} s0")
            row.append(f"{found.decision / s0:+.2f} s0 ({found.cost:.3g}), sigma {width}")
        rows.append(row)
    return markdown(["spread s0", "best decision (cost)", *(f"minimiser of {name}" for name in LOSSES)], rows)


def draw(aims: Mapping[float, Mapping[str, Optimum]]) -> Figure:
    """True cost of a decision, and where each loss leads, one panel a spread."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    axes = figure.subplots(1, len(aims), squeeze=False)[0]
    colours = {"l_MLE": "#D55E00", "l_KL": "#009E73", "l_MLE + l_KL": "#CC79A7"}
    for ax, (s0, aimed_at) in zip(axes, aims.items(), strict=True):
        hour = Hour(s0)
        at = np.linspace(-3.2, 3.2, 161)
        ax.semilogy(at, [hour.cost(s0 * a) for a in at], color="#3f4a5a")
        best = hour.best()
        ax.plot(best.decision / s0, best.cost, "o", color="#0072B2", label="best decision", markersize=8)
        for name, found in aimed_at.items():
            ax.plot(found.decision / s0, found.cost, "v", color=colours[name], label=name, markersize=8)
        ax.set_title(f"load's spread {s0:g}", fontsize=10)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    axes[0].set_ylabel("true expected cost")
    figure.supxlabel("decision, in spreads above the mean load", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Minimisers of the losses for one hour."""

    spreads: tuple[float, ...] = (0.05, 0.2, 1.0)
    """Spreads of the load."""
    docs: Path | None = None
    """Folder of the docs: the table goes into decisions.md, the picture into img."""


def main(args: list[str] | None = None) -> int:
    """Minimise, print and write."""
    settings = tyro.cli(Settings, args=args, description=__doc__)
    aims = minimisers(settings.spreads)
    text = table_of(aims)
    make_console().print(text, markup=False)
    if settings.docs is not None:
        replace_block(settings.docs / "decisions.md", "toy", text)
        save_picture(draw(aims), settings.docs, "so_ebm_toy.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
