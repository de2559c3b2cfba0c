"""Entries of the results board: made of an evaluation, checked, and written into its file."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from stormgym.agents.domain import Headline
from stormgym.agents.evaluation.board.protocol import PROTOCOL, trained
from stormgym.agents.files import write_atomically
from stormgym.agents.policy import Entrant
from stormgym.agents.registry import domain_of
from stormgym.agents.versions import package_versions
from stormgym.envs.data.tables import keys_once

Entry = dict[str, Any]
"""One agent's scores; its fields are in board.schema.json."""

KEY = ("protocol", "env", "arguments", "agent", "training")
"""Fields that say what was scored; scores of the same are one entry, which may be reproduced."""
SAME = 1e-6
"""Relative difference of means up to which scores of what is not trained are the same."""
STANDARD_ERRORS = 4.0
"""Those of two trainings may differ by so many standard errors of their difference."""
FIELDS: dict[str, Callable[[Any], bool]] = {
    "protocol": lambda v: _is_count(v),
    "env": lambda v: isinstance(v, str) and bool(v),
    "version": lambda v: isinstance(v, str),
    "arguments": lambda v: isinstance(v, dict),
    "agent": lambda v: isinstance(v, str) and bool(v),
    "privileged": lambda v: isinstance(v, bool),
    "training": lambda v: v is None or isinstance(v, dict),
    "episodes": lambda v: _is_count(v),
    "seed": lambda v: _is_count(v),
    "metrics": lambda v: isinstance(v, dict) and bool(v) and all(_is_metric(m) for m in v.values()),
    "limit": lambda v: v is None or _is_number(v),
    "limit_held": lambda v: v is None or isinstance(v, bool),
    "commit": lambda v: v is None or isinstance(v, str),
    "date": lambda v: _is_date(v),
    "command": lambda v: isinstance(v, str) and bool(v),
    "by": lambda v: isinstance(v, str) and bool(v),
    "reproduced": lambda v: isinstance(v, list) and all(_is_reproduction(r) for r in v),
}
"""Every field of an entry, and what holds of it."""


def entries_of(
    summary: Mapping[str, Any], entrants: Mapping[str, Entrant], *, command: str, by: str, today: date | None = None
) -> list[Entry]:
    """Entries of an evaluation that keeps the protocol: one an agent, runs that differ by their seed in one.

    Args:
        summary: of `stormgym.agents.evaluation.summary.summarise`.
        entrants: the agents that played.
        command: with which anyone gets these scores.
        by: who submits them.
        today: None for now, UTC.
    """
    headline, groups = domain_of(summary["env"]).headline, trained(entrants)
    followers = {name for runs in groups.values() for name, _ in runs[1:]}
    entries = []
    for name, agent in summary["agents"].items():
        if name in followers:
            continue
        runs = groups.get(name, [])
        metrics = _metrics(summary, headline, [own for own, _ in runs] or [name])
        constraint = None if headline.constraint is None else metrics.get(headline.constraint.key)
        limit = summary["cost_limit"] if summary["cost_limit_range"] is None else None
        entries.append(
            {
                "protocol": PROTOCOL,
                "env": summary["env"],
                "version": package_versions()["stormgym"],
                "arguments": summary["settings"]["env_kwargs"],
                "agent": runs[0][1].settings.agent + entrants[name].ahead if runs else name,
                "privileged": agent["privileged"],
                "training": _training(runs) if runs else None,
                "episodes": summary["episodes"],
                "seed": summary["settings"]["seed"],
                "metrics": metrics,
                "limit": limit,
                "limit_held": None if limit is None or constraint is None else constraint["value"] <= limit,
                "commit": commit(),
                "date": (today or datetime.now(UTC).date()).isoformat(),
                "command": command,
                "by": by,
                "reproduced": [],
            }
        )
    plain: list[Entry] = json.loads(json.dumps(entries))  # as a file gives it back
    return plain


def _training(runs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    settings = runs[0][1].settings
    return {
        "agent": settings.agent,
        "timesteps": settings.timesteps,
        "env_kwargs": dict(settings.env_kwargs),
        "learner": dict(settings.learner),
        "seeds": sorted(run.settings.seed for _, run in runs),
    }


def _metrics(summary: Mapping[str, Any], headline: Headline, names: Sequence[str]) -> dict[str, Any]:
    """Mean and standard error of what the table leads with: over scenarios, or over seeds of a training."""
    keys = [column.key for column in headline.columns if f"{column.key}_ci" in summary["agents"][names[0]]]
    if summary["cost_limit"] is not None:
        keys.append("violation_rate")
    found = {}
    for key in dict.fromkeys(keys):
        means = np.array([summary["agents"][name][key] for name in names], dtype=np.float64)
        if len(names) > 1:
            error = float(means.std(ddof=1) / math.sqrt(len(names)))
        elif key == "violation_rate":
            error = float(math.sqrt(means[0] * (1.0 - means[0]) / summary["episodes"]))
        else:
            values = np.array([episode[key] for episode in summary["agents"][names[0]]["episodes"]])
            error = float(values.std(ddof=1) / math.sqrt(values.size))
        found[key] = {"value": float(means.mean()), "standard_error": error}
    return found


def commit() -> str | None:
    """The commit of the source tree that this package runs from; None for an installed one."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).resolve().parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def read_board(file: Path) -> list[Entry]:
    """The entries of a file, checked; none where there is no file.

    Raises:
        ValueError: a file that is no board, with the entry and the field.
    """
    if not file.exists():
        return []
    try:
        board = json.loads(
            file.read_text(encoding="utf-8"), object_pairs_hook=lambda pairs: keys_once(str(file), pairs)
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{file} is no board: it is no JSON ({error}). Name another file") from None
    if not isinstance(board, dict) or not isinstance(board.get("entries"), list):
        raise ValueError(f'{file} is no board: it must be {{"entries": [...]}}. Name another file')
    for i, entry in enumerate(board["entries"]):
        _check_entry(entry, f"{file}, entry {i + 1}")
    return list(board["entries"])


def _check_entry(entry: Any, place: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: must be an object; got {str(entry)[:80]!r}")
    odd = sorted(FIELDS.keys() ^ entry.keys())
    if odd:
        raise ValueError(f"{place}: fields missing or unknown: {', '.join(odd)}; an entry has {', '.join(FIELDS)}")
    for name, holds in FIELDS.items():
        if not holds(entry[name]):
            raise ValueError(f"{place}: {name} is not as board.schema.json says; got {str(entry[name])[:80]!r}")


def submit(entries: Sequence[Entry], file: Path) -> list[str]:
    """Add entries to a board; one that is there is reproduced, if the scores agree. Nothing is written unless all do.

    Returns:
        What was done, a line an entry.

    Raises:
        ValueError: a file that is no board, or scores that do not agree with those that it has.
    """
    board, told = read_board(file), []
    for entry in entries:
        same = next((other for other in board if _key(other) == _key(entry)), None)
        if same is None:
            board.append(entry)
            told.append(f"{entry['agent']}: added")
            continue
        differing = _differing(same, entry)
        if differing:
            key, here, there = differing
            raise ValueError(
                f"{entry['agent']} on {entry['env']}: {key} is {here:.6g} here and {there:.6g} on the board (by "
                f"{same['by']}, {same['date']}, commit {same['commit']}). Compare versions and commits; nothing written"
            )
        same["reproduced"].append({name: entry[name] for name in ("by", "date", "version", "commit")})
        told.append(f"{entry['agent']}: reproduced")
    board.sort(key=lambda entry: (entry["env"], json.dumps(entry["arguments"], sort_keys=True), entry["agent"]))
    write_atomically(file, json.dumps({"entries": board}, indent=1, allow_nan=False) + "\n")
    return told


def _key(entry: Entry) -> str:
    """What was scored. Which seeds a training had does not matter."""
    training = entry["training"]
    if training is not None:
        entry = {**entry, "training": {name: value for name, value in training.items() if name != "seeds"}}
    return json.dumps([entry[name] for name in KEY], sort_keys=True)


def _differing(old: Entry, new: Entry) -> tuple[str, float, float] | None:
    """The first metric in which two entries do not agree, and its means in the new one and the old."""
    for key in old["metrics"].keys() & new["metrics"].keys():
        a, b = old["metrics"][key], new["metrics"][key]
        allowed = SAME * max(abs(a["value"]), 1.0)
        if new["training"] is not None:
            allowed += STANDARD_ERRORS * math.hypot(a["standard_error"], b["standard_error"])
        if abs(a["value"] - b["value"]) > allowed:
            return key, b["value"], a["value"]
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_metric(value: Any) -> bool:
    names = {"value", "standard_error"}
    return isinstance(value, dict) and value.keys() == names and all(_is_number(v) for v in value.values())


def _is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_reproduction(value: Any) -> bool:
    names = ("by", "date", "version", "commit")
    return isinstance(value, dict) and set(value) == {*names} and all(FIELDS[name](value[name]) for name in names)
