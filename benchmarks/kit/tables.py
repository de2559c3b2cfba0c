"""Tables and their numbers, as Markdown and on the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from stormgym.agents.statistics import Estimate
from stormgym.agents.terminal import make_console, simple_table


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], right: bool = False) -> str:
    """A Markdown table of texts; `right` aligns all columns but the first to the right."""
    rule = ["---", *(["---:" if right else "---"] * (len(head) - 1))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


def show(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of texts."""
    first, *others = head
    grid: Any = simple_table(None, others, first=first)
    for cells in rows:
        grid.add_row(*cells)
    make_console().print(grid)


def number(estimate: Estimate, sign: str = "", decimals: int = 0) -> str:
    """Value and half-width; the value alone where one seed gives no interval."""
    text = f"{estimate.value:{sign},.{decimals}f}"
    return text if math.isnan(estimate.low) else f"{text} ± {estimate.half_width:,.{decimals}f}"


def bracketed(estimate: Estimate, decimals: int = 2) -> str:
    """Value and the ends of its interval; the value alone where there is none."""
    return f"{estimate.value:.{decimals}f}{bracket(estimate, decimals)}"


def bracket(estimate: Estimate, decimals: int = 2) -> str:
    """The ends of an interval, behind a value; nothing where there is none."""
    return "" if math.isnan(estimate.low) else f" [{estimate.low:.{decimals}f}, {estimate.high:.{decimals}f}]"


def percent(estimate: Estimate | None) -> str:
    """A share with its sign and the ends of its interval, in percent; nothing for None."""
    if estimate is None:
        return ""
    ends = "" if math.isnan(estimate.low) else f" [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"
    return f"{100 * estimate.value:+.1f} %{ends}"
