"""The evaluation as one page that needs nothing beside it and asks nothing of a network.

Tables are plain HTML; figures and replays are drawn in the browser by Plotly, which the page holds, and `page/page.js`
from the numbers in the page's data block. A content security policy lets these two scripts run and nothing else: no
request leaves the page, and a name that holds a script stays text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from stormgym.agents.domain import Headline
from stormgym.agents.evaluation.page.glossary import terms_of
from stormgym.agents.evaluation.page.numbers import (
    as_block,
    fitting_replays,
    group_curves,
    group_means,
    marked,
    page_data,
)
from stormgym.agents.evaluation.report import (
    all_columns,
    main_table,
    notes,
    paired_table,
    sorted_agents,
    tail_notes,
    tail_table,
    title,
    titled_columns,
)
from stormgym.agents.evaluation.rollouts import Evaluation
from stormgym.agents.evaluation.summary import reference_of
from stormgym.agents.evaluation.verdict import verdict
from stormgym.agents.files import write_atomically
from stormgym.agents.registry import domain_of
from stormgym.predictors.extras import require

MOST_BYTES = 6_000_000
"""Of a page: what mail and browsers take without complaint. Replays are left out until it fits."""

_FRAME_BYTES = 2_000
"""Of what stands around the parts."""


def require_page() -> None:
    """Raise `MissingExtraError` where pages cannot be written."""
    require("a page (--html)", "plotly", "agents")


def render_html(
    evaluation: Evaluation, summary: dict[str, Any], sort: str | None = None, training: dict[str, Any] | None = None
) -> str:
    """Return the page as text.

    Args:
        evaluation: gives the curves of groups over hours; one without times has none.
        summary: `summarise(evaluation)`, with `storms` where some are kept for replay (`record_storms`).
        sort: order of the tables, as in `sorted_agents`.
        training: curves of the run that the evaluation is of (`training_curves`).

    Raises:
        MissingExtraError: Plotly is not installed.
    """
    require_page()
    from plotly.offline import get_plotlyjs

    headline = domain_of(evaluation.env_id).headline
    names = sorted_agents(summary, sort)
    plotly, script, style = get_plotlyjs(), _part("page.js"), _part("page.css")
    body, tables = _body(evaluation, summary, headline, names)
    data = page_data(evaluation, summary, headline, names) | {"tables": tables, "training": training}
    left = MOST_BYTES - _FRAME_BYTES - sum(len(text.encode()) for text in (plotly, script, style, body, as_block(data)))
    data["replay"] = fitting_replays(summary.get("storms"), headline, names, left)
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; "
        f"script-src {_hash(plotly)} {_hash(script)}"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(_heading(summary))}: evaluation</title><style>{style}</style></head>\n<body>\n{body}\n"
        f'<script type="application/json" id="data">{as_block(data)}</script>\n'
        f"<script>{plotly}</script>\n<script>{script}</script>\n</body></html>\n"
    )


def write_html(
    evaluation: Evaluation, summary: dict[str, Any], file: str | os.PathLike[str], sort: str | None = None
) -> Path:
    """Write the page to a file."""
    return write_atomically(file, render_html(evaluation, summary, sort))


def _part(name: str) -> str:
    return (files("stormgym.agents.evaluation") / "page" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """How a content security policy names a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


_REPLAY = """
<section id="replay" hidden><h2>Replay</h2>
<p><label>Storm <select id="storm"></select></label></p>
<fieldset><legend>Side by side, up to four (a click on a point of the figure does the same)</legend>
<div class="picks" id="picks"></div></fieldset>
<p class="note" id="said" role="status"></p>
<div class="controls"><button type="button" id="play">Play</button>
<input type="range" id="slider" min="0" value="0" step="1" aria-label="time in the storm">
<output id="time"></output></div>
<div class="key" id="key"></div>
<div class="panels" id="panels"></div>
<div id="waits"></div></section>
<section id="learning" hidden><h2>Training</h2><div class="panels" id="training"></div></section>"""


def _body(
    evaluation: Evaluation, summary: dict[str, Any], headline: Headline, names: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    """The page without its scripts, and the numbers of its tables for CSV files."""
    parts = [
        f"<header><div><h1>Evaluation on {escape(_heading(summary))}</h1>"
        f'<p class="verdict">{escape(verdict(summary, headline, names)).replace(" %", "&nbsp;%")}</p>'
        f'<p class="lead">{escape(title(summary))}</p></div>'
        '<button type="button" id="theme" hidden>Dark</button></header>',
        "<noscript><p>Figures and replays need JavaScript; the tables below do not.</p></noscript>",
        '<figure><div class="chart" id="frontier"></div>'
        f"<figcaption>{escape(_caption(summary, headline))}</figcaption></figure>",
        _REPLAY,
        _section("Agents", "agents", _table(main_table(summary, headline, names))),
    ]
    parts += [f'<p class="note">{escape(note)}</p>' for note in notes(summary, headline)]
    agents = summary["agents"]
    what = [(marked(name, agents[name]), agents[name]["summary"]) for name in names if agents[name]["summary"]]
    parts.append(_definitions("What the agents do", "does", what, " open"))
    words = [(term.name, term.meaning) for term in terms_of(summary, headline)]
    parts.append(_definitions("What the words mean", "glossary", words))
    caption = _group_caption(evaluation, summary, headline, names)
    if caption is not None:
        figure = '<figure><div class="panels" id="groups"></div>'
        parts.append(f"{figure}<figcaption>{escape(caption)}</figcaption></figure>")
    tables = {"agents": _numbers(agents, names, _leading_keys(summary, headline))}
    paired = paired_table(summary, headline, names)
    if paired is not None:
        parts.append(_section(str(paired.title), "paired", _table(paired)))
        others = [name for name in names if name != reference_of(summary)]
        differences = {name: agents[name]["paired"] for name in others}
        tables["paired"] = _numbers(differences, others, [column.key for column in headline.columns])
    tail = tail_table(summary, headline, names)
    parts.append(_section(str(tail.title), "tail", _table(tail)))
    limited = [] if headline.constraint_tail is None else [headline.constraint_tail.key]
    tables["tail"] = _numbers(agents, names, [headline.objective.key, headline.tail.key, headline.worst.key, *limited])
    parts += [f'<p class="note">{escape(note)}</p>' for note in tail_notes(summary)]
    parts.append(_section("Every metric: means over the scenarios", "metrics", _metrics(summary, headline, names)))
    keys = [column.key for column in all_columns(summary)]
    tables["metrics"] = {
        "columns": ["metric", *names],
        "rows": [[key, *(agents[name].get(key) for name in names)] for key in keys],
    }
    facts = {"settings": summary["settings"], "versions": summary["versions"]}
    parts.append(f"<h2>Settings and versions</h2>\n<pre>{escape(json.dumps(facts, indent=2))}</pre>")
    return "\n".join(parts), tables


def _heading(summary: dict[str, Any]) -> str:
    """Environment, and city or profile."""
    return ": ".join(filter(None, (summary["env"], summary.get("instance_name"))))


def _definitions(heading: str, key: str, entries: Sequence[tuple[str, str]], is_open: str = "") -> str:
    """A list that folds: what is told of each word."""
    if not entries:
        return ""
    told = "\n".join(f"<dt>{escape(word)}</dt><dd>{escape(text)}</dd>" for word, text in entries)
    return f'<details class="told" id="{key}"{is_open}><summary>{escape(heading)}</summary>\n<dl>{told}</dl></details>'


def _caption(summary: dict[str, Any], headline: Headline) -> str:
    kinds = "Hollow points look at the future, squares were trained."
    if headline.constraint is None:
        return f"Mean {headline.objective.name} over the scenarios with its interval. {kinds}"
    line = " Dashed: the limit." if summary["cost_limit"] is not None else ""
    return (
        f"Means over the scenarios with their intervals: {headline.objective.name} against "
        f"{headline.constraint.name}.{line} {kinds}"
    )


def _group_caption(
    evaluation: Evaluation, summary: dict[str, Any], headline: Headline, names: Sequence[str]
) -> str | None:
    if group_curves(evaluation, names) is not None:
        return "Share of each group's regions that has power again, by hour, over all scenarios."
    if group_means(evaluation, summary, headline, names) is not None:
        return "Mean of each group, with intervals."
    return None


def _leading_keys(summary: dict[str, Any], headline: Headline) -> list[str]:
    """What the first table tells, as the summary calls it."""
    first = summary["agents"][next(iter(summary["agents"]))]
    further = ("violation_rate", headline.excess_key, "decision_ms", "decision_ms_worst")
    return [column.key for column in headline.columns] + [key for key in further if key in first]


def _numbers(agents: Mapping[str, Any], names: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
    """Figures of agents, unrounded: a column a key, and two for its interval."""
    columns, rows = ["agent"], [[name] for name in names]
    for key in keys:
        spread = f"{key}_ci" in agents[names[0]]
        columns += [key, f"{key}_low", f"{key}_high"] if spread else [key]
        for row, name in zip(rows, names, strict=True):
            row.append(agents[name].get(key))
            row.extend(agents[name].get(f"{key}_ci") or [None, None] if spread else [])
    return {"columns": columns, "rows": rows}


def _section(heading: str, key: str, body: str) -> str:
    return f'<section class="table" data-table="{key}"><h2>{escape(heading)}</h2>\n{body}</section>'


def _table(table: Table) -> str:
    """A rich table as HTML: the same cells, so that terminal and page never disagree."""
    heads = [str(c.header) for c in table.columns]
    cells = zip(*(list(c.cells) for c in table.columns), strict=True)
    rows = []
    for row, cell_row in zip(table.rows, cells, strict=True):
        style = str(row.style or "")
        rows.append(f'<tr class="{escape(style)}">{"".join(_cell(c) for c in cell_row)}</tr>')
    return _html_table(heads, rows)


def _cell(cell: Any) -> str:
    if isinstance(cell, Text):
        colour = next((str(span.style) for span in cell.spans if str(span.style) in ("red", "green")), "")
        inner = escape(cell.plain)
        return f'<td><span class="{colour}">{inner}</span></td>' if colour else f"<td>{inner}</td>"
    return f"<td>{escape(str(cell))}</td>"


def _html_table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{escape(h).replace(chr(10), "<br>")}</th>' for h in heads)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def _metrics(summary: dict[str, Any], headline: Headline, names: Sequence[str]) -> str:
    """Metrics down, by title and key, agents across."""
    agents = summary["agents"]
    rows = []
    for column in titled_columns(summary, headline):
        key = f" <code>{escape(column.key)}</code>" if column.title != column.key else ""
        cells = [f"<td>{escape(column.title)}{key}</td>"]
        cells += [f"<td>{escape(column.text(agents[n].get(column.key)))}</td>" for n in names]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _html_table(["metric", *(marked(n, agents[n]) for n in names)], rows)
