"""What the figures and replays of a page are drawn from: the numbers of the summary, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stormgym.agents.domain import Column, Headline
from stormgym.agents.evaluation.report import leader, measure_of, status_quo
from stormgym.agents.evaluation.rollouts import Evaluation
from stormgym.agents.evaluation.summary import plain
from stormgym.agents.evaluation.verdict import nearest_to_limit
from stormgym.agents.general import CLAIRVOYANT
from stormgym.agents.terminal import PRIVILEGED_MARK

SIDE_BY_SIDE = 4
"""Agents whose replays are shown at once, at most."""
_GRID_POINTS = 100


def as_block(data: Any) -> str:
    """JSON that a page can hold: no name in it ends the block."""
    text = json.dumps(plain(data), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def page_data(
    evaluation: Evaluation, summary: dict[str, Any], headline: Headline, names: Sequence[str]
) -> dict[str, Any]:
    """What the figures are drawn from: means and intervals of the summary, and curves of groups over hours."""
    limit = summary["cost_limit"]
    on_mean = limit is not None and measure_of(summary).is_mean and not summary.get("cost_limit_range")
    return {
        "file": f"{evaluation.env_id}-{summary['settings'].get('seed')}",
        "objective": headline.objective.axis_title,
        "constraint": None if headline.constraint is None else headline.constraint.axis_title,
        "limit": limit if on_mean else None,
        "limit_text": ""
        if headline.constraint is None or not on_mean
        else f"limit {limit:g} {headline.constraint.unit}",
        "agents": [_point(name, summary["agents"][name], headline) for name in names],
        "best": summary["best_heuristic"],
        "curves": group_curves(evaluation, names),
        "group_means": group_means(evaluation, summary, headline, names),
        "first": _shown_first(summary, headline, names),
        "most": SIDE_BY_SIDE,
    }


def _point(name: str, agent: Mapping[str, Any], headline: Headline) -> dict[str, Any]:
    """An agent on the frontier, and what is said of it."""
    objective, constraint = headline.objective, headline.constraint
    lines = [_line(agent, column) for column in headline.columns]
    return {
        "name": name,
        "label": marked(name, agent),
        "does": agent["summary"],
        "kind": "privileged" if agent["privileged"] else "learned" if agent["learned"] else "plain",
        "y": agent[objective.key],
        "y_ci": agent[f"{objective.key}_ci"],
        "x": None if constraint is None else agent[constraint.key],
        "x_ci": None if constraint is None else agent[f"{constraint.key}_ci"],
        "lines": [agent["summary"], *lines],
    }


def _line(agent: Mapping[str, Any], column: Column) -> str:
    """Name, mean, unit and the ends of the interval."""
    if agent.get(column.key) is None:
        return f"{column.name}: -"
    low, high = agent[f"{column.key}_ci"]
    text = column.sentence(agent[column.key])
    return text if low is None else f"{text} [{column.text(low)}, {column.text(high)}]"


def marked(name: str, agent: Mapping[str, Any]) -> str:
    return f"{name} {PRIVILEGED_MARK}" if agent["privileged"] else name


def group_curves(evaluation: Evaluation, names: Sequence[str]) -> dict[str, Any] | None:
    """Share of each group's regions that has power again by hour, over all scenarios."""
    records = {name: evaluation.agents.get(name) for name in names}
    times = {name: record.times for name, record in records.items() if record is not None and record.times is not None}
    if evaluation.group is None or not times or len(times) < len(names):
        return None
    hours = np.linspace(0.0, max(float(np.quantile(t, 0.999)) for t in times.values()), _GRID_POINTS)

    def share(t: Any, g: int) -> list[float]:
        own = np.sort(t[:, evaluation.group == g], axis=None)
        return list(np.round(np.searchsorted(own, hours, side="right") / own.size, 4).tolist())

    groups = range(len(evaluation.group_names))
    return {
        "hours": np.round(hours, 3),
        "groups": list(evaluation.group_names),
        "agents": {name: [share(t, g) for g in groups] for name, t in times.items()},
    }


def group_means(
    evaluation: Evaluation, summary: dict[str, Any], headline: Headline, names: Sequence[str]
) -> dict[str, Any] | None:
    """Means of groups with intervals, where hours of regions are not known."""
    prefix = headline.group_mean_prefix
    if prefix is None or group_curves(evaluation, names) is not None:
        return None
    agents = summary["agents"]
    keys = [key for key in agents[names[0]] if key.startswith(prefix) and not key.endswith("_ci")]
    labels = summary["group_names"] or [key.removeprefix(prefix) for key in keys]
    return {
        "groups": labels,
        "means": [[agents[name][key] for name in names] for key in keys],
        "ci": [[agents[name][f"{key}_ci"] for name in names] for key in keys],
    }


def _shown_first(summary: dict[str, Any], headline: Headline, names: Sequence[str]) -> list[str]:
    """Agents whose replays a reader sees first: the best within the limit, or the nearest to it; what is done today;
    the bound, or another agent that looks at the future."""
    best = leader(summary, headline, names) or nearest_to_limit(summary, names)
    looking = [name for name in names if summary["agents"][name]["privileged"]]
    bounds = [name for name in (headline.bound, CLAIRVOYANT.name, *looking) if name in summary["agents"]]
    wanted = dict.fromkeys((best, status_quo(summary), *bounds[:1]))
    first = [name for name in wanted if name is not None]
    others = [name for name in names if name not in first and not summary["agents"][name]["privileged"]]
    return first if len(first) > 1 else [*first, *others[:1]]


def fitting_replays(
    storms: dict[str, Any] | None, headline: Headline, names: Sequence[str], room: int
) -> dict[str, Any] | None:
    """Replays with the sentence of each, as many as `room` bytes hold: fewer storms first, then fewer agents."""
    if storms is None:
        return None
    kept, agents = list(storms["storms"]), [name for name in names if name in storms["storms"][0]["agents"]]
    while kept and agents:
        told = {
            "scene": storms["scene"],
            "storms": [_storm(storm, headline, agents) for storm in kept],
            "left_out": _left_out(len(storms["storms"]) - len(kept), len(storms["storms"][0]["agents"]) - len(agents)),
        }
        if len(as_block(told)) <= room:
            return told
        if len(kept) > 1:
            kept = kept[:-1]
        else:
            agents = agents[:-1]
    return None


def _left_out(storms: int, agents: int) -> str:
    if not storms and not agents:
        return ""
    more = f", and of {agents} agents" if agents else ""
    return f"The evaluation kept {storms} more storms{more}; this page has no room for them (--json FILE holds all)."


def _storm(storm: Mapping[str, Any], headline: Headline, agents: Sequence[str]) -> dict[str, Any]:
    """A storm with what is said of each agent in it."""
    told = {
        name: {
            **{key: value for key, value in storm["agents"][name].items() if key != "metrics"},
            "text": ", ".join(
                column.sentence(storm["agents"][name]["metrics"][column.key])
                for column in headline.columns
                if storm["agents"][name]["metrics"].get(column.key) is not None
            ),
        }
        for name in agents
    }
    return {**storm, "agents": told}
