"""The outcome of an evaluation in a sentence or two, for readers who read no table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stormgym.agents.domain import Headline
from stormgym.agents.evaluation.report import holds_limit, leader, measure_of, status_quo


def verdict(summary: dict[str, Any], headline: Headline, names: Sequence[str]) -> str:
    """Who is best within the limit and how far off the status quo is; or that nobody is, and who is nearest to it.

    Agents that look at the future are left aside: nobody can use them.

    Args:
        summary: what `summarise` returned.
        headline: of its environment.
        names: its agents.
    """
    agents, objective = summary["agents"], headline.objective
    if all(agents[name]["privileged"] for name in names):
        return ""
    best = leader(summary, headline, names)
    if best is None:
        return _nobody(summary, headline, names)
    limited = f"Within the limit{_of_limit(summary, headline)} and " if summary["cost_limit"] is not None else ""
    rank = "lowest" if headline.lower_is_better else "highest"
    value = agents[best][objective.key]
    told = f"{limited}{rank} {objective.name}: {best}, {_with_unit(objective.text(value), objective.unit)}"
    told = told[0].upper() + told[1:]
    usual = status_quo(summary)
    if usual == best:
        return f"{told}, which is the status quo."
    if usual is None:
        return f"{told}."
    theirs = agents[usual][objective.key]
    over = "" if holds_limit(summary, agents[usual]) else ", and is over the limit"
    return (
        f"{told}. The status quo, {usual}, has {_with_unit(objective.text(theirs), objective.unit)}"
        f"{_compared(theirs, value)}{over}."
    )


def _compared(theirs: float, ours: float) -> str:
    """How much more or less, in per cent; nothing where that has no meaning."""
    if ours <= 0 or theirs <= 0:
        return ""
    share = 100.0 * (theirs / ours - 1.0)
    return f", {abs(share):.0f} % {'more' if share >= 0 else 'less'}"


def _nobody(summary: dict[str, Any], headline: Headline, names: Sequence[str]) -> str:
    agents, objective, constraint = summary["agents"], headline.objective, headline.constraint
    assert constraint is not None, "where somebody is over a limit, something is limited"
    nearest = nearest_to_limit(summary, names)
    others = any(agents[name]["privileged"] and holds_limit(summary, agents[name]) for name in names)
    who = "No agent but those that look at the future is" if others else "No agent is"
    if _on_mean(summary):
        told = constraint.sentence(agents[nearest][constraint.key])
    else:
        told = f"{_load(summary, agents[nearest]):.2f} times the limit"
    return (
        f"{who} within the limit{_of_limit(summary, headline)}; closest to it: {nearest}, {told}, "
        f"{objective.sentence(agents[nearest][objective.key])}."
    )


def nearest_to_limit(summary: dict[str, Any], names: Sequence[str]) -> str:
    """Of agents that do not look at the future, the one that is over the limit by least; of all where all look."""
    agents = summary["agents"]
    usable = [name for name in names if not agents[name]["privileged"]] or list(names)
    return min(usable, key=lambda name: _load(summary, agents[name]))


def _load(summary: dict[str, Any], agent: dict[str, Any]) -> float:
    """What is compared with the limit (`holds_limit`)."""
    key = "cost_in_limits" if summary.get("cost_limit_range") else "cost"
    return float(agent[key if measure_of(summary).is_mean else "burden"])


def _on_mean(summary: dict[str, Any]) -> bool:
    return measure_of(summary).is_mean and not summary.get("cost_limit_range")


def _of_limit(summary: dict[str, Any], headline: Headline) -> str:
    """The limit's number, where there is one number."""
    if summary.get("cost_limit_range") or headline.constraint is None:
        return ""
    number = f"{summary['cost_limit']:g}"
    return f" of {_with_unit(number, headline.constraint.unit)}"


def _with_unit(number: str, unit: str) -> str:
    return f"{number} {unit}".rstrip()
