"""Write the page of the results board from its file; nothing is measured.

    python -m benchmarks.board

Entries come from `evaluate.py --submit results/board.json --by NAME` (docs/board.md).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import tyro

from benchmarks.kit.pages import replace_block
from benchmarks.kit.tables import markdown
from stormgym.agents.domain import Column, Headline
from stormgym.agents.evaluation.board.entries import Entry, read_board
from stormgym.agents.registry import domain_of

OWN_COLUMNS = ("limit held", "training seeds", "by", "date", "commit", "reproduced")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Write the page of the results board."""

    board: Path = Path("results/board.json")
    """The board."""
    docs: Path = Path("docs")
    """Folder of the docs: the tables go into board.md."""


def tables(entries: list[Entry]) -> Iterator[str]:
    """A part of the page for each environment and its arguments."""

    def place(entry: Entry) -> tuple[str, str]:
        return entry["env"], json.dumps(entry["arguments"], sort_keys=True)

    for (env_id, _), group in groupby(sorted(entries, key=place), place):
        own = list(group)
        headline = domain_of(env_id).headline
        columns = [c for c in headline.columns if any(c.key in entry["metrics"] for entry in own)]
        own.sort(key=lambda entry: _rank(entry, headline))
        given = ", ".join(f"{name}={value}" for name, value in own[0]["arguments"].items())
        first = own[0]
        head = ["agent", *(c.title for c in columns), *OWN_COLUMNS]
        text = f"### {env_id}\n{first['episodes']:,} scenarios of seed {first['seed']}{f'; {given}' if given else ''}."
        if first["limit"] is not None and headline.constraint is not None:
            text += (
                f" Limit on the mean {headline.constraint.name}: {first['limit']:g} {headline.constraint.unit}".rstrip()
                + "."
            )
        commands = "\n".join(sorted({entry["command"] for entry in own}))
        rows = [_row(entry, columns) for entry in own]
        yield f"{text}\n\n{markdown(head, rows)}\n\n```bash no-run\n{commands}\n```"


def _rank(entry: Entry, headline: Headline) -> tuple[bool, bool, float]:
    """What anyone can use first, within the limit first, then by the objective."""
    value = entry["metrics"][headline.objective.key]["value"]
    return entry["privileged"], entry["limit_held"] is False, value if headline.lower_is_better else -value


def _row(entry: Entry, columns: list[Column]) -> list[str]:
    def number(column: Column) -> str:
        metric = entry["metrics"].get(column.key)
        return "" if metric is None else f"{column.text(metric['value'])} ± {column.text(metric['standard_error'])}"

    held = {None: "", True: "yes", False: "no"}[entry["limit_held"]]
    name = f"`{entry['agent']}`" + (" (knows the truth)" if entry["privileged"] else "")
    training: dict[str, Any] = entry["training"] or {}
    seeds = str(len(training["seeds"])) if training else ""
    others = sorted({one["by"] for one in entry["reproduced"]})
    told = f"{len(entry['reproduced'])} ({', '.join(others)})" if others else ""
    return [name, *map(number, columns), held, seeds, entry["by"], entry["date"], entry["commit"] or "", told]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    settings = tyro.cli(Settings, args=arguments, description=__doc__)
    entries = read_board(settings.board)
    if not entries:
        raise SystemExit(f"{settings.board} has no entries; evaluate.py --submit {settings.board} --by NAME adds some")
    replace_block(settings.docs / "board.md", "board", "\n\n".join(tables(entries)))
    print(f"{len(entries)} entries")
    return 0


if __name__ == "__main__":
    sys.exit(main())
