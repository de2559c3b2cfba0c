"""The curves of a run's training for its page, from its `progress.csv`."""

from __future__ import annotations

import csv
import math
from itertools import islice
from pathlib import Path
from typing import Any

from stormgym.agents.domain import Headline

STEP = "time/total_timesteps"
"""Column of the steps so far."""
MOST_BYTES = 256 * 2**20
MOST_ROWS = 1_000_000
MOST_POINTS = 400
"""Of a curve; of a longer one every n-th is kept, and the last."""


def training_curves(file: Path, headline: Headline) -> dict[str, Any] | None:
    """What a run's log says of its learning: objective and constraint on its fixed scenarios, return, lambda.

    Args:
        file: `progress.csv`; a last line that was cut off is left out.
        headline: of the run's environment.

    Returns:
        `series`, a list with `title`, `steps`, `y`, and `limited` (whether the limit is on this one); None where there
        is no log, or nothing of these in it.

    Raises:
        ValueError: no such log, or one that is too large.
    """
    if not file.is_file():
        return None
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file}: a log must have at most {MOST_BYTES:,} bytes")
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            if STEP not in (reader.fieldnames or ()):
                raise ValueError(f"{file}: not the log of a run, whose first column is {STEP}")
            rows = [row for row in islice(reader, MOST_ROWS) if None not in row.values() and None not in row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: not the log of a run ({error})") from error
    where = "on the scenarios that choose the best model"
    wanted = [(f"eval/{c.key}", f"{c.axis_title} {where}", c is headline.constraint) for c in headline.leading]
    wanted += [("rollout/ep_rew_mean", "return of training episodes", False), ("train/lambda", "lambda", False)]
    series = [
        {"title": title, "limited": limited, **curve}
        for key, title, limited in wanted
        if (curve := _curve(rows, key)) is not None
    ]
    return {"series": series} if series else None


def _curve(rows: list[dict[str, str]], key: str) -> dict[str, list[float]] | None:
    """Steps and values of a column, where it has any."""
    points = [(_number(row[STEP]), _number(row.get(key, ""))) for row in rows]
    there = [(step, value) for step, value in points if step is not None and value is not None]
    if not there:
        return None
    every = -(-len(there) // MOST_POINTS)
    kept = there[::every] if there[-1] in there[::every] else [*there[::every], there[-1]]
    return {"steps": [step for step, _ in kept], "y": [value for _, value in kept]}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
