"""The tables in words: Markdown for the docs, rich for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.kit.tables import bracket, markdown, percent
from benchmarks.restoration.table.rows import GROUPS
from benchmarks.restoration.table.summary import EPOPR_MARGINS, AcrossLine, CityTable, Line
from stormgym.agents.statistics import Estimate
from stormgym.agents.terminal import PRIVILEGED_MARK, simple_table

_HEADS = (
    "agent",
    "EPOPR Table 1: outage, gap (h)",
    "seeds",
    "mean outage (h)",
    "IQM outage (h)",
    "mean gap (h)",
    "IQM gap (h)",
    "limit held",
    "outage against the equity planner",
    "P(shorter than STA-SAC)",
    "ms a decision",
    "training min",
)


def body(tables: Sequence[CityTable], across: Sequence[AcrossLine], command: str, figure: str | None) -> str:
    """Everything for the docs.

    Args:
        tables: one a city.
        across: rows over all cities.
        command: the command that makes it.
        figure: the figure's address as the page names it; None for none.
    """
    parts = [f"Made by `{command}`.", _legend()]
    if figure is not None:
        parts.append(f"![Mean outage against mean gap]({figure})")
    for table in tables:
        parts += [f"**City `{table.city}`**, {_storms(table)}", _markdown_table(table), *_notes(table)]
    if across:
        rows = [
            [line.label, f"{line.relative_iqm.value:.3f}{bracket(line.relative_iqm, 3)}", _share(line.improvement)]
            for line in across
        ]
        parts += [
            "**All cities**: mean outage relative to the equity planner's in the same city; strata of the bootstrap "
            "are the cities.",
            markdown(["agent", "IQM of relative outage", "P(shorter than STA-SAC)"], rows),
        ]
    return "\n\n".join(parts)


SUMMARY = (
    "status quo",
    "ROPU",
    "EPOPR as printed",
    "equity planner",
    "STA-SAC",
    "STA-SAC, looking ahead",
    "clairvoyant, fair",
)


def summary_table(table: CityTable) -> str:
    """The small table of the front page: some rows of one city."""
    lines = {line.row.label: line for line in table.lines}
    rows = [
        [
            _label(line),
            f"{line.outage_h.value:.2f}",
            f"{line.gap_h.value:.2f}",
            line.holds,
            percent(line.versus_planner),
        ]
        for line in (lines[label] for label in SUMMARY if label in lines)
    ]
    head = ["agent", "mean outage (h)", "mean gap (h)", "limit held", "outage against the equity planner"]
    notes = f'"No aim": does not aim at the limit. {PRIVILEGED_MARK} knows the true durations.'
    return f"{markdown(head, rows)}\n\nCity `{table.city}`, {_storms(table)[:-1]}.\n{notes}"


def _legend() -> str:
    return (
        "Brackets are 95 % intervals: of means Student's t over seeds (over storms where there is one seed), of "
        "interquartile means (IQM) and of P a bootstrap over seeds, of differences a bootstrap over storms and seeds. "
        "P is the probability that a seed's mean outage is shorter than that of a seed of STA-SAC, whatever the gaps. "
        '"No aim": the agent does not aim at the limit. A decision\'s time is that of the seed least disturbed by what '
        "else the machine did; minutes are processor minutes a seed (by the clock where marked c, and on a GPU that "
        "several seeds shared where marked g). "
        f"{PRIVILEGED_MARK} knows the true durations."
    )


def _storms(table: CityTable) -> str:
    return f"limit {table.limit_h:g} h, {table.episodes:,} held-out storms (seed {table.eval_seed}):"


def _markdown_table(table: CityTable) -> str:
    printed = any(line.row.printed for line in table.lines)
    heads = [head for head in _HEADS if printed or not head.startswith("EPOPR")]
    rows = []
    for group in GROUPS:
        lines = [line for line in table.lines if line.row.group == group]
        if lines:
            rows.append([f"*{group}*", *[""] * (len(heads) - 1)])
        rows += [[cell for head, cell in zip(_HEADS, _cells(line), strict=True) if head in heads] for line in lines]
    return markdown(heads, rows)


def _cells(line: Line) -> list[str]:
    printed = line.row.printed
    one = line.n_seeds == 1
    return [
        _label(line),
        "" if printed is None else f"{printed[0]:.2f}, {printed[1]:.2f}",
        str(line.n_seeds) if line.row.kind == "learner" else "",
        f"{line.outage_h.value:.2f}{bracket(line.outage_h)}",
        "" if one else f"{line.outage_iqm_h.value:.2f}{bracket(line.outage_iqm_h)}",
        f"{line.gap_h.value:.2f}{bracket(line.gap_h)}",
        "" if one else f"{line.gap_iqm_h.value:.2f}{bracket(line.gap_iqm_h)}",
        line.holds,
        percent(line.versus_planner),
        _share(line.improvement),
        _ms(line),
        _minutes(line),
    ]


def _notes(table: CityTable) -> list[str]:
    """What stands under a city's table: margins beside EPOPR's, and the source that trained it."""
    notes = []
    if table.margins:
        outage, gap = (f"{100 * share:.2f} %" for share in EPOPR_MARGINS)
        ours = "; ".join(
            f"{m.label} against {m.baseline}: outage {percent(m.outage)}, gap {percent(m.gap)}" for m in table.margins
        )
        notes.append(
            f"EPOPR reports {outage} shorter outages and a {gap} smaller gap than its best baseline, ROPU, on data "
            f"that are not public. Here, against the Table 1 baseline with the shortest outage: {ours}."
        )
    if table.commits:
        notes.append(f"Source: {', '.join(f'`{_short(commit)}`' for commit in table.commits)}.")
    return notes


def show(tables: Sequence[CityTable], across: Sequence[AcrossLine], console: Console) -> None:
    """Print one table a city, within 120 columns, and the comparison over cities."""
    for table in tables:
        console.print(_rich_table(table))
        if any(not line.row.constrained for line in table.lines):
            console.print(Text("* does not aim at the limit", style="dim"))
        for note in _notes(table):
            console.print(Text(note.replace("`", ""), style="dim"))
        console.print()
    if across:
        grid = simple_table(
            "all cities", ["IQM of outage\nrelative to planner", "P(shorter\nthan STA-SAC)"], first="agent"
        )
        for line in across:
            relative = f"{line.relative_iqm.value:.3f}{bracket(line.relative_iqm, 3)}"
            grid.add_row(line.label, relative, _share(line.improvement))
        console.print(grid)


def _rich_table(table: CityTable) -> Table:
    heads = ["seeds", "mean outage h\n± 95 %", "IQM\nh", "gap h\n± 95 %", "hold the\nlimit"]
    heads += ["vs equity\nplanner", "P(shorter\nthan STA-SAC)", "ms", "train\nmin"]
    grid = simple_table(f"{table.city}: {_storms(table)[:-1]}", heads, first="agent")
    for i, line in enumerate(table.lines):
        versus = line.versus_planner
        last = i + 1 < len(table.lines) and table.lines[i + 1].row.group != line.row.group
        gap_style = "green" if line.gap_h.value <= table.limit_h else "red"
        grid.add_row(
            _label(line),
            str(line.n_seeds) if line.row.kind == "learner" else "",
            _half(line.outage_h),
            "" if line.n_seeds == 1 else f"{line.outage_iqm_h.value:.2f}",
            Text(_half(line.gap_h), style=gap_style),
            line.holds.replace(", no aim", "*"),
            "" if versus is None else f"{100 * versus.value:+.1f} %",
            _share(line.improvement),
            _ms(line),
            _minutes(line),
            style="dim" if line.row.privileged else "",
            end_section=last,
        )
    return grid


def _label(line: Line) -> str:
    return f"{line.row.label} {PRIVILEGED_MARK}" if line.row.privileged else line.row.label


def _half(e: Estimate) -> str:
    return f"{e.value:.2f}" if math.isnan(e.low) else f"{e.value:.2f} ± {e.half_width:.2f}"


def _share(e: Estimate | None) -> str:
    return "" if e is None else f"{e.value:.2f}{bracket(e)}"


def _ms(line: Line) -> str:
    return f"{line.decision_ms:.2f}"


def _minutes(line: Line) -> str:
    if line.training_min is None:
        return ""
    return f"{line.training_min:.1f}{' g' if line.on_gpu else ' c' if line.by_clock else ''}"


def _short(commit: str) -> str:
    head, *rest = commit.split(" ", 1)
    return " ".join([head[:10], *rest])
