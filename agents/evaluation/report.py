"""The evaluation in the terminal: tables that fit 120 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stormgym.agents.domain import TAIL_SHARE, Column, Headline
from stormgym.agents.evaluation.summary import ROUNDING, reference_of
from stormgym.agents.moved import forward
from stormgym.agents.registry import domain_of
from stormgym.agents.terminal import PRIVILEGED_MARK, simple_table
from stormgym.envs.risk_measure import MEAN, RiskMeasure
from stormgym.envs.spelling import unknown

__getattr__ = forward(__name__)

_PER_TABLE = 7


def sorted_agents(summary: dict[str, Any], sort: str | None = None) -> list[str]:
    """Names in the order of a table: by `sort`, privileged agents last.

    Args:
        summary: what `summarise` returned.
        sort: "given" (as named on the command line), "name", or any figure of the summary, such as `gap_h`;
            None takes the objective.

    Raises:
        KeyError: no agent has a figure of that name; the message lists those there are.
    """
    agents: dict[str, dict[str, Any]] = summary["agents"]
    headline = domain_of(summary["env"]).headline
    key = headline.objective.key if sort is None else sort
    names = list(agents)
    if key == "name":
        names.sort()
    elif key != "given":
        known = figures_of(summary)
        if key not in known:
            rest = f"known: given, name, {', '.join(known)}"
            raise KeyError(unknown(f"no figure {key!r} to sort by", key, ("given", "name", *known), rest))
        as_objective = key in (headline.objective.key, headline.tail.key, headline.worst.key)
        falling = key == "return" or (as_objective and not headline.lower_is_better)
        names.sort(key=lambda n: _order(agents[n][key], falling))
    return sorted(names, key=lambda n: bool(agents[n]["privileged"]))


def figures_of(summary: dict[str, Any]) -> list[str]:
    """Names of the figures that an agent of the summary has, by which tables can be sorted."""
    return sorted({key for agent in summary["agents"].values() for key, value in agent.items() if _is_number(value)})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _order(value: float | None, falling: bool) -> float:
    return float("inf") if value is None else -value if falling else value


def render_report(summary: dict[str, Any], sort: str | None = None) -> RenderableType:
    """All tables of an evaluation and the notes that explain them."""
    headline = domain_of(summary["env"]).headline
    names = sorted_agents(summary, sort)
    parts: list[RenderableType] = [
        Text(title(summary), style="bold"),
        Text(""),
        main_table(summary, headline, names),
    ]
    parts += [Text(""), *(Text(note, style="dim") for note in notes(summary, headline))]
    paired = paired_table(summary, headline, names)
    parts += [] if paired is None else [Text(""), paired]
    parts += [Text(""), tail_table(summary, headline, names)]
    parts += [Text(note, style="dim") for note in tail_notes(summary)]
    for table in (*further_tables(summary, headline, names), *extra_tables(summary, headline, names)):
        parts += [Text(""), table]
    return Group(*parts)


def title(summary: dict[str, Any]) -> str:
    """One line: environment, number of scenarios, seed, limit."""
    headline = domain_of(summary["env"]).headline
    n, seed = summary["episodes"], summary["settings"].get("seed")
    limit = summary["cost_limit"]
    text = f"{summary['env']}: {n:,} common scenario{'s' if n != 1 else ''} (seed {seed})"
    if limit is None or headline.constraint is None:
        return text
    name, unit, measure = headline.constraint.name, headline.constraint.unit, measure_of(summary)
    what = f"{measure.name} of the {name}" if measure.kind == "cvar" else f"the {measure.kind} {name}"
    if measure.kind == "chance":
        what = f"the {name} in {100 * (measure.level or 0):g} % of scenarios"
    if limit_range := summary.get("cost_limit_range"):
        low, high = limit_range
        what = f"the {name}" if measure.is_mean else what
        return f"{text}, limit on {what} of each drawn from {low:g} to {high:g} {unit}".rstrip()
    return f"{text}, limit on {what}: {limit:g} {unit}".rstrip()


def measure_of(summary: dict[str, Any]) -> RiskMeasure:
    """What the limit bounds; the mean in a summary of before."""
    return RiskMeasure.of(summary.get("cost_limit_kind", MEAN.kind), summary.get("cost_limit_level"))


def holds_limit(summary: dict[str, Any], agent: dict[str, Any]) -> bool:
    """Whether an agent's mean cost (of cost / limit, where episodes have limits of their own) holds the limit, or its
    tail where the limit is on that."""
    if summary["cost_limit"] is None:
        return True
    if not measure_of(summary).is_mean:
        return bool(agent["burden"] <= 1.0 + ROUNDING)
    if summary.get("cost_limit_range"):
        return bool(agent["cost_in_limits"] <= 1.0)
    return bool(agent["cost"] <= summary["cost_limit"])


def _level(summary: dict[str, Any]) -> str:
    return f"{100 * summary['settings'].get('confidence_level', 0.95):g} %"


def main_table(summary: dict[str, Any], headline: Headline, names: Sequence[str]) -> Table:
    """Objective, constraint, share over the limit, other figures, distance to the bound, latency.

    Where there is neither a constraint nor a group, a column for the gap says so with a dash.
    """
    agents = summary["agents"]
    limit = summary["cost_limit"]
    heads = [
        f"{c.title}\n± {_level(summary)} CI" if c.interval else c.title.replace(" ", "\n", 1) for c in headline.columns
    ]
    own, no_equity = bool(summary.get("cost_limit_range")), _has_no_equity(summary, headline)
    if limit is not None:
        heads.insert(2, f"over limit\n({_level(summary)} CI)")
    if no_equity:
        heads.insert(1, "gap")
    if own and headline.constraint is not None:
        heads.insert(2, f"{headline.constraint.name}\n/ limit")
    if headline.bound is not None:
        heads.append(f"above\n{headline.bound}")
    heads.append("ms/decision\nmean (worst)")
    table = simple_table(None, heads, names=names)
    best = leader(summary, headline, names)
    for i, name in enumerate(names):
        agent = agents[name]
        cells = [Text(_with_interval(agent, c)) for c in headline.columns]
        if limit is not None:
            cells[1].stylize("green" if holds_limit(summary, agent) else "red")
            cells.insert(2, Text(_share(agent)))
        if no_equity:
            cells.insert(1, Text("-"))
        if own:
            cells.insert(2, Text(f"{agent['cost_in_limits']:.2f}"))
        if headline.bound is not None:
            bound_column = Column(headline.excess_key, "", decimals=headline.objective.decimals, interval=True)
            cells.append(Text(_with_interval(agent, bound_column, sign=True)))
        cells.append(Text(_latency(agent)))
        style = "bold" if name == best else "dim" if agent["privileged"] else ""
        last_unprivileged = i + 1 < len(names) and agents[names[i + 1]]["privileged"] and not agent["privileged"]
        table.add_row(_name(name, agent), *cells, style=style, end_section=last_unprivileged)
    return table


def _has_no_equity(summary: dict[str, Any], headline: Headline) -> bool:
    """Whether there is nobody to be fair to: no constraint on a gap, and no groups."""
    return headline.constraint is None and not summary["group_names"]


def leader(summary: dict[str, Any], headline: Headline, names: Sequence[str]) -> str | None:
    """The unprivileged agent with the best objective within the limit."""
    agents = summary["agents"]
    fit = [n for n in names if not agents[n]["privileged"] and holds_limit(summary, agents[n])]
    if not fit:
        return None
    return min(fit, key=lambda n: _order(agents[n][headline.objective.key], not headline.lower_is_better))


def status_quo(summary: dict[str, Any]) -> str | None:
    """The agent of the evaluation that does as is done today (`Domain.demonstrators`); None where it took no part."""
    usual = domain_of(summary["env"]).demonstrators.get("status-quo")
    return usual if usual in summary["agents"] else None


def notes(summary: dict[str, Any], headline: Headline) -> list[str]:
    """Sentences under the main table: marks, the bound, latency, what went wrong."""
    agents = summary["agents"]
    lines = []
    if any(a["privileged"] for a in agents.values()):
        lines.append(f"{PRIVILEGED_MARK} looks at what nobody can know: a yardstick, not an agent to use.")
    if headline.bound is not None and headline.bound not in agents:
        lines.append(f"Distance to the bound needs {headline.bound} among the agents.")
    if _has_no_equity(summary, headline):
        lines.append("gap: there are no groups here, so there is no equity to measure.")
    batch = summary["settings"].get("batch_size")
    lines.append(
        "ms/decision: one episode alone, planning included; in brackets the slowest. "
        f"In batches of {batch}: see the JSON."
    )
    unfinished = [n for n, a in agents.items() if (a.get("completed") if a.get("completed") is not None else 1.0) < 1.0]
    if unfinished:
        lines.append(f"Did not complete every episode: {', '.join(unfinished)}.")
    return lines + closed_choices(summary, headline)


def closed_choices(summary: dict[str, Any], headline: Headline) -> list[str]:
    """A sentence for each flaw of the headline that agents have: they choose what the mask has closed."""
    lines = []
    for flaw in headline.flaws:
        exact = replace(flaw, decimals=max(2, flaw.decimals))
        means = {name: agent.get(flaw.key) or 0.0 for name, agent in summary["agents"].items()}
        told = [f"{name} ({exact.text(mean)})" for name, mean in means.items() if mean > 0]
        if told:
            lines.append(
                f"{flaw.name.capitalize()} an episode: {', '.join(told)}. These policies choose what the action mask "
                "has closed; how to give them the mask: docs/your_own.md#masks."
            )
    return lines


def paired_table(summary: dict[str, Any], headline: Headline, names: Sequence[str]) -> Table | None:
    """Differences to the reference on the same scenarios; None without one or without another agent."""
    best = reference_of(summary)
    others = [n for n in names if n != best]
    if best is None or not others:
        return None
    table = simple_table(_paired_caption(summary, headline), [c.title for c in headline.columns])
    for name in others:
        agent = summary["agents"][name]
        cells = []
        for column in headline.columns:
            wide = Column(column.key, "", decimals=max(2, column.decimals), interval=True)
            lower_better = headline.lower_is_better or column.key != headline.objective.key
            cells.append(_judged(_with_interval(agent["paired"], wide, sign=True), agent, column.key, lower_better))
        table.add_row(_name(name, agent), *cells)
    return table


def _paired_caption(summary: dict[str, Any], headline: Headline) -> str:
    """Whom the others are compared with and why it is that one (`reference_of`)."""
    best, level = str(reference_of(summary)), _level(summary)
    if best != summary["best_heuristic"]:
        return f"Difference to {best} on the same scenarios, ± {level} CI"
    if holds_limit(summary, summary["agents"][best]):
        return f"Difference to {best} (best heuristic) on the same scenarios, ± {level} CI"
    least = "cost" if headline.constraint is None else headline.constraint.name
    least += " / limit" if summary.get("cost_limit_range") else ""
    return (
        f"Difference to {best} on the same scenarios, ± {level} CI; no heuristic is within the limit: {best} has the "
        f"smallest mean {least}"
    )


def _judged(text: str, agent: dict[str, Any], key: str, lower_better: bool) -> Text:
    """A difference to the reference: green where its interval says better, red where it says worse."""
    cell = Text(text)
    low, high = agent["paired"][f"{key}_ci"]
    if low is not None and (low > 0 or high < 0):
        cell.stylize("red" if (low > 0) == lower_better else "green")
    return cell


FEW_IN_TAIL = 50
"""Scenarios in the tail below which its intervals are too narrow."""


def tail_table(summary: dict[str, Any], headline: Headline, names: Sequence[str]) -> Table:
    """The objective's tail: its mean, the mean of its worst tenth, its worst episode, how far the tail is off the
    reference's; and the tail of the constraint."""
    best, tail, limited = reference_of(summary), headline.tail, headline.constraint_tail
    heads = ["mean", tail.name, headline.worst.name]
    compared = best is not None and len(names) > 1
    if compared:
        heads.append(f"{tail.name}, difference\nto {best}")
    if limited is not None:
        heads.append(limited.title.replace(" of ", "\nof ", 1))
    table = simple_table(f"Tail of {headline.objective.title}", heads, names=names)
    wide = replace(tail, decimals=max(2, tail.decimals))
    for name in names:
        agent = summary["agents"][name]
        cells = [Text(headline.objective.text(agent[headline.objective.key]))]
        cells += [Text(_bracketed(agent, tail)), Text(headline.worst.text(agent[headline.worst.key]))]
        if compared and name != best:
            difference = _bracketed(agent["paired"], wide, sign=True)
            cells.append(_judged(difference, agent, tail.key, headline.lower_is_better))
        elif compared:
            cells.append(Text(""))
        if limited is not None:
            cells.append(Text(_bracketed(agent, limited) if limited.key in agent else "-"))
        table.add_row(_name(name, agent), *cells)
    return table


def further_columns(summary: dict[str, Any], headline: Headline) -> list[Column]:
    """Columns for the metrics that the main table leaves out."""
    in_main = {c.key for c in headline.columns} | {"violation_rate", headline.excess_key}
    present = _metric_keys(summary)
    if headline.further:
        return [c for c in headline.further if c.key in present]
    return [Column(k, k.replace("_", " "), decimals=2) for k in present if k not in in_main]


def all_columns(summary: dict[str, Any]) -> list[Column]:
    """A column for every metric there is."""
    return [Column(k, k, decimals=3) for k in _metric_keys(summary)]


def titled_columns(summary: dict[str, Any], headline: Headline) -> list[Column]:
    """A column for every metric there is, titled as tables title it; one that no table has keeps its key as a name."""
    own = (*headline.columns, *headline.further, *headline.flaws, *(c for _, part in headline.extras for c in part))
    known = {column.key: column for column in own}
    known["violation_rate"] = Column("violation_rate", "over limit", percent=True)
    if headline.bound is not None:
        excess = replace(headline.objective, key=headline.excess_key, name=f"above {headline.bound}")
        known[headline.excess_key] = excess
    if headline.group_mean_prefix is not None:
        for g, name in enumerate(summary["group_names"] or ()):
            key = f"{headline.group_mean_prefix}{g}"
            known[key] = Column(key, f"group mean {name}", headline.objective.unit)
    return [
        replace(found, name=found.name.replace("\n", " "), decimals=1 if found.percent else 3)
        if (found := known.get(column.key)) is not None
        else column
        for column in all_columns(summary)
    ]


def _metric_keys(summary: dict[str, Any]) -> list[str]:
    """What has a mean: the tail is in a table of its own."""
    keys: dict[str, None] = {}
    for agent in summary["agents"].values():
        keys.update({k: None for k in agent if f"{k}_ci" in agent})
    headline = domain_of(summary["env"]).headline
    for column in (headline.tail, headline.constraint_tail):
        keys.pop("" if column is None else column.key, None)
    return list(keys)


def further_tables(summary: dict[str, Any], headline: Headline, names: Sequence[str]) -> Iterable[Table]:
    """Means of the remaining metrics, a few columns a table."""
    columns = further_columns(summary, headline)
    for first in range(0, len(columns), _PER_TABLE):
        part = columns[first : first + _PER_TABLE]
        table = simple_table("Further means" if first == 0 else None, [c.title for c in part])
        for name in names:
            agent = summary["agents"][name]
            table.add_row(_name(name, agent), *(c.text(agent.get(c.key)) for c in part))
        yield table


def extra_tables(summary: dict[str, Any], headline: Headline, names: Sequence[str]) -> Iterable[Table]:
    """Tables of metrics that only some agents have, of these agents."""
    agents, groups = summary["agents"], summary["group_names"]
    for caption, columns in headline.extras:
        columns = tuple(part for column in columns for part in _by_group(column, groups))
        own = [name for name in names if any(c.key in agents[name] for c in columns)]
        if own:
            table = simple_table(caption, [c.title for c in columns], names=own)
            for name in own:
                table.add_row(_name(name, agents[name]), *(c.text(agents[name].get(c.key)) for c in columns))
            yield table


def _by_group(column: Column, groups: Sequence[str]) -> list[Column]:
    """A column, or where its key ends with `_g` one for each group, headed by the group's name."""
    if not column.key.endswith("_g"):
        return [column]
    stem = column.key.removesuffix("g")
    return [replace(column, key=f"{stem}{g}", name=f"{column.name} {name}".strip()) for g, name in enumerate(groups)]


def _name(name: str, agent: dict[str, Any]) -> str:
    return f"{name} {PRIVILEGED_MARK}" if agent["privileged"] else name


def _with_interval(agent: dict[str, Any], column: Column, sign: bool = False) -> str:
    value = agent.get(column.key)
    text = column.text(value, sign)
    if not column.interval or value is None:
        return text
    low, high = agent[f"{column.key}_ci"]
    return text if low is None else f"{text} ± {(high - low) / 2:.{column.decimals}f}"


def _bracketed(agent: dict[str, Any], column: Column, sign: bool = False) -> str:
    """A number and the ends of its interval, which need not lie around its middle."""
    text = column.text(agent[column.key], sign)
    low, high = agent[f"{column.key}_ci"]
    return text if low is None else f"{text} [{column.text(low, sign)}, {column.text(high, sign)}]"


def tail_notes(summary: dict[str, Any]) -> list[str]:
    """Sentences under the table of the tail: what it is, and where its intervals are too narrow."""
    n = summary["episodes"]
    lines = [
        f"CVaR {TAIL_SHARE:g}: mean of an agent's own worst {100 * TAIL_SHARE:g} % of scenarios, with its bootstrap "
        "interval; differences are of CVaRs."
    ]
    if TAIL_SHARE * n < FEW_IN_TAIL:
        lines.append(
            f"{100 * TAIL_SHARE:g} % of {n:,} is a tail of {TAIL_SHARE * n:g}: its intervals are too narrow below "
            f"{FEW_IN_TAIL / TAIL_SHARE:,.0f} scenarios."
        )
    return lines


def _share(agent: dict[str, Any]) -> str:
    low, high = agent["violation_rate_ci"]
    return f"{100 * agent['violation_rate']:.0f} % ({100 * low:.0f}-{100 * high:.0f})"


def _latency(agent: dict[str, Any]) -> str:
    def short(ms: float) -> str:
        return f"{ms:.2f}" if ms < 10 else f"{ms:,.0f}"

    return f"{short(agent['decision_ms'])} ({short(agent['decision_ms_worst'])})"
