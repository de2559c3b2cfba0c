"""Markdown tables of cells: figures over storms, and paired differences with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dispatch.risk.cells import LEVELS, MEAN_WAVE, ConditionalCell, StormCell
from benchmarks.kit.tables import bracket, markdown, number
from stormgym.agents.dfl.risk import cvar
from stormgym.agents.dispatch.decision import WEATHER
from stormgym.agents.dispatch.risk_averse import ALPHA, MEAN_WEIGHT
from stormgym.agents.evaluation.bootstrap import tail_difference
from stormgym.agents.statistics import Estimate, mean_estimate, paired_difference

Floats = NDArray[np.float64]
NAMES = {
    "mean": "mean over samples",
    "half": "half mean, half CVaR 0.1",
    "quarter": "a quarter mean, rest CVaR 0.1",
    "three quarters": "three quarters mean, rest CVaR 0.1",
    "half, 0.02": "half mean, half CVaR 0.02",
    "half, 0.3": "half mean, half CVaR 0.3",
    MEAN_WAVE: "plan of the mean wave",
    "two-stage": "two-stage (one wave)",
    "gdf": "GDF (one wave, tuned)",
    "floor, mean": "floor: true law, mean",
    "floor, half": "floor: true law, half mean, half CVaR 0.1",
    "adaptive": "day by day, mean",
    "adaptive, half": "day by day, half mean, half CVaR 0.1",
}
GENERATORS = {
    "half": "CRPS, as fitted",
    "half, more CRPS": "as many epochs more of CRPS alone",
    "half, gen-dfl (QP)": "Gen-DFL, smoothed plan",
    "half, gen-dfl (SPO+)": "Gen-DFL, SPO+",
    "floor, half": "floor: true law, all covariates",
}
FIGURES = ("mean", *(f"cvar_{level:g}" for level in LEVELS))
HEADS = ("mean", *(f"CVaR {level:g}" for level in LEVELS))


@dataclass(frozen=True)
class Conditional:
    """What a cell of storms of known law gave."""

    plans: dict[str, dict[str, list[float]]]

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Conditional:
        """A result as it is kept."""
        return cls(**kept)


@dataclass(frozen=True)
class Storms:
    """What a cell of one seed's storms gave."""

    cost: dict[str, list[float]]
    risk: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    best_epoch: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Storms:
        """A result as it is kept."""
        return cls(**kept)

    def true_risk(self, agent: str) -> Floats:
        """mean and CVaR under each storm's true law, as `risk-dispatch` weighs them, `[E]`."""
        own = self.risk[agent]
        mean, tail = np.asarray(own["mean"]), np.asarray(own[f"cvar_{ALPHA:g}"])
        weighed: Floats = MEAN_WEIGHT * mean + (1.0 - MEAN_WEIGHT) * tail
        return weighed


def named(plan: str) -> str:
    """What tables call a plan."""
    return NAMES.get(plan, plan)


def conditional_table(results: dict[ConditionalCell, Conditional]) -> str:
    """Figures of each plan, the plan of the mean in full and others as paired differences over storms."""
    cell = next(iter(results))
    pooled = {
        plan: {name: np.concatenate([result.plans[plan][name] for result in results.values()]) for name in FIGURES}
        for plan in cell.plans
    }
    base = pooled["mean"]
    rows = [[named("mean"), *(f"{base[name].mean():,.0f}" for name in FIGURES), ""]]
    for plan, found in pooled.items():
        if plan == "mean":
            continue
        gaps = [number(paired_difference(found[name], base[name]), "+") for name in FIGURES]
        tail = 100.0 * (found["cvar_0.1"].mean() / base["cvar_0.1"].mean() - 1.0)
        mean = 100.0 * (found["mean"].mean() / base["mean"].mean() - 1.0)
        rows.append([named(plan), *gaps, f"{tail:+.1f} % at {mean:+.1f} %"])
    head = ["plan", *HEADS, "CVaR 0.1 at mean"]
    note = (
        f"Profile {cell.profile}, c = {cell.transport_cost:g}, {len(base['mean'])} storms, plans over {cell.n_plan} "
        f"waves of the true law, judged on {cell.n_judge:,} others; ± 95 % of paired differences to the first row."
    )
    return f"{markdown(head, rows)}\n\n{note}"


def sample_table(results: dict[ConditionalCell, Conditional]) -> str:
    """Figures of the plans of the mean and of half and half by the number of samples that they are made for."""
    rows = []
    for n_plan in sorted({cell.n_plan for cell in results}):
        group = [result for cell, result in results.items() if cell.n_plan == n_plan]
        own = {
            (plan, name): np.concatenate([result.plans[plan][name] for result in group])
            for plan in ("mean", "half")
            for name in ("mean", "cvar_0.1")
        }
        parts = [f"{own[plan, name].mean():,.0f}" for plan in ("mean", "half") for name in ("mean", "cvar_0.1")]
        gaps = [number(paired_difference(own["half", name], own["mean", name]), "+") for name in ("mean", "cvar_0.1")]
        rows.append([str(n_plan), *parts, *gaps])
    head = ["samples", "mean plan: mean", "CVaR 0.1", "half and half: mean", "CVaR 0.1", "difference: mean", "CVaR 0.1"]
    return markdown(head, rows)


def pooled_costs(group: Sequence[Storms], agent: str, n: int | None = None) -> Floats:
    """Costs `[seeds E]` of an agent on the storms of all seeds, the first n of each."""
    return np.concatenate([np.asarray(result.cost[agent])[:n] for result in group])


def storms_table(results: dict[StormCell, Storms], base: str = "mean", n: int | None = None) -> str:
    """Over all storms: mean and tail of what they cost, and paired differences with intervals."""
    group = list(results.values())
    reference = pooled_costs(group, base, n)
    rows = []
    for agent in group[0].cost:
        cost = pooled_costs(group, agent, n)
        tails = [f"{float(cvar(cost, level)):,.0f}" for level in LEVELS]
        row = [named(agent), f"{cost.mean():,.0f}", *tails]
        if agent == base:
            rows.append([*row, "", "", ""])
            continue
        mean, tail = paired_difference(cost, reference), tail_difference(cost, reference, ALPHA)
        share = (
            f"{100 * tail.value / float(cvar(reference, ALPHA)):+.1f} % at {100 * mean.value / reference.mean():+.1f} %"
        )
        rows.append([*row, number(mean, "+"), f"{tail.value:+,.0f}{bracket(tail, 0)}", share])
    head = ["plan", *HEADS, "mean, difference", "CVaR 0.1, difference", "CVaR 0.1 at mean"]
    cell = next(iter(results))
    note = (
        f"Profile {cell.profile}, c = {cell.transport_cost:g}, {len(results)} seeds of "
        f"{len(reference) // len(results)} storms; CVaR over all of them; ± 95 % of the paired mean, brackets: 95 % of "
        "2,000 paired resamples of storms."
    )
    return f"{markdown(head, rows)}\n\n{note}"


def law_table(results: dict[StormCell, Storms], base: str = "mean") -> str:
    """Over seeds: figures under each storm's true law, of plans with fitted forecasters, as paired differences."""
    group = list(results.values())
    rows = []
    for agent in group[0].risk:
        row = [named(agent)]
        for name in ("mean", "cvar_0.1"):
            own = [float(np.mean(result.risk[agent][name])) for result in group]
            other = [float(np.mean(result.risk[base][name])) for result in group]
            gap = "" if agent == base else number(paired_difference(own, other), "+")
            row += [f"{np.mean(own):,.0f}", gap]
        rows.append(row)
    head = ["plan", "mean", "difference", "CVaR 0.1", "difference"]
    return (
        f"{markdown(head, rows)}\n\nUnder each storm's true law ({_law(results)}), mean over storms; ± 95 % over seeds."
    )


def tuned_table(results: dict[StormCell, Storms], base: str = "half", control: str = "half, more CRPS") -> str:
    """What more epochs of each loss are worth: true risk, realised cost and the epoch kept, over seeds."""
    rows = []
    for known, group in known_covariates(results).items():
        for agent in group[0].cost:
            kept = ", ".join(str(r.best_epoch[agent]) for r in group if agent in r.best_epoch)
            risks = [float(r.true_risk(agent).mean()) for r in group]
            row = [known if agent == base else "", GENERATORS[agent], kept, f"{np.mean(risks):,.1f}"]
            for other in (base, control):
                theirs = [float(r.true_risk(other).mean()) for r in group]
                own = agent in (base, other) or (agent.startswith("floor") and other == control)
                row.append("" if own else number(paired_difference(risks, theirs), "+", 1))
            row.append("" if agent == base else number(_over_seeds(group, agent, base), "+", 1))
            rows.append(row)
    head = ["known", "generator", "epochs kept", "mean and tail", "against its start", "against CRPS", "realised cost"]
    note = (
        f"Half the mean and half CVaR 0.1 under each storm's true law ({_law(results)}), mean over storms; realised "
        "cost: that of the wave that came, against the start. ± 95 % of paired differences over seeds."
    )
    return f"{markdown(head, rows)}\n\n{note}"


def known_covariates(results: dict[StormCell, Storms]) -> dict[str, list[Storms]]:
    """Results of the seeds by what forecasters see."""
    groups: dict[str, list[Storms]] = {}
    for cell, result in results.items():
        seen = "all covariates" if cell.features == WEATHER else "no temperature, no wind"
        groups.setdefault(seen, []).append(result)
    return groups


def _over_seeds(group: Sequence[Storms], agent: str, base: str) -> Estimate:
    return mean_estimate([float(np.mean(r.cost[agent]) - np.mean(r.cost[base])) for r in group])


def _law(results: dict[StormCell, Storms]) -> str:
    cell = next(iter(results))
    return f"{cell.n_truth} waves, {len({one.seed for one in results})} seeds of {cell.n_test} storms"
