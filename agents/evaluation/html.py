"""The evaluation as one HTML file that needs nothing beside it: tables, figures and settings."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from stormgym.agents.evaluation.figures import draw_all, svg_data_uri
from stormgym.agents.evaluation.report import (
    all_columns,
    main_table,
    notes,
    paired_table,
    sorted_agents,
    tail_notes,
    tail_table,
    title,
)
from stormgym.agents.evaluation.rollouts import Evaluation
from stormgym.agents.files import write_atomically
from stormgym.agents.registry import domain_of

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: #222;
       margin: 2rem auto; max-width: 72rem; padding: 0 1.25rem; }
h1 { font-size: 1.45rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; }
p.lead, .note { color: #555; } .note { font-size: .88rem; margin: .15rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; width: 100%; }
th { text-align: right; vertical-align: bottom; border-bottom: 2px solid #444; padding: .3rem .6rem;
     font-weight: 600; }
td { text-align: right; border-bottom: 1px solid #e3e3e3; padding: .3rem .6rem; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.bold td { font-weight: 650; } tr.dim td { color: #777; } tr:hover td { background: #f6f6f3; }
.green { color: #2f7d3b; } .red { color: #b03a2e; }
figure { margin: 1rem 0 2rem; } figure img { max-width: 100%; } figcaption { color: #555; font-size: .88rem; }
pre { background: #f6f6f3; padding: .8rem 1rem; overflow-x: auto; font-size: .82rem; }
"""


def render_html(evaluation: Evaluation, summary: dict[str, Any], sort: str | None = None) -> str:
    """Return the page as text."""
    headline = domain_of(evaluation.env_id).headline
    names = sorted_agents(summary, sort)
    parts = [
        f"<h1>Evaluation on {escape(evaluation.env_id)}</h1>",
        f'<p class="lead">{escape(title(summary))}</p>',
    ]
    parts += [_section("Agents", _table(main_table(summary, headline, names)))]
    parts += [f'<p class="note">{escape(note)}</p>' for note in notes(summary, headline)]
    for caption, figure in draw_all(evaluation, summary, sort):
        alt = escape(caption, quote=True)
        parts.append(f'<figure><img alt="{alt}" src="{svg_data_uri(figure)}"><figcaption>{alt}</figcaption></figure>')
    paired = paired_table(summary, headline, names)
    if paired is not None:
        parts.append(_section(str(paired.title), _table(paired)))
    tail = tail_table(summary, headline, names)
    parts.append(_section(str(tail.title), _table(tail)))
    parts += [f'<p class="note">{escape(note)}</p>' for note in tail_notes(summary)]
    parts.append(_section("Every metric: means over the scenarios", _metrics(summary, names)))
    facts = {"settings": summary["settings"], "versions": summary["versions"]}
    parts.append(_section("Settings and versions", f"<pre>{escape(json.dumps(facts, indent=2))}</pre>"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(evaluation.env_id)}: evaluation</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def write_html(
    evaluation: Evaluation, summary: dict[str, Any], file: str | os.PathLike[str], sort: str | None = None
) -> Path:
    """Write the page to a file."""
    return write_atomically(file, render_html(evaluation, summary, sort))


def _section(heading: str, body: str) -> str:
    return f"<h2>{escape(heading)}</h2>\n{body}"


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
    head = "".join(f"<th>{escape(h).replace(chr(10), '<br>')}</th>" for h in heads)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def _metrics(summary: dict[str, Any], names: Sequence[str]) -> str:
    """Metrics down, agents across."""
    agents = summary["agents"]
    rows = []
    for column in all_columns(summary):
        cells = [f"<td>{escape(column.key)}</td>"]
        cells += [f"<td>{escape(column.text(agents[n].get(column.key)))}</td>" for n in names]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _html_table(["metric", *(f"{n} †" if agents[n]["privileged"] else n for n in names)], rows)
