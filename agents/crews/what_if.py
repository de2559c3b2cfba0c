"""Changes of today's crews that a plan is made for beside the plan as things are: `--what-if n_crews=6,off_h=0`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stormgym.agents.crews.todays_jobs import Today

HOURS = {"start_h": (-1e4, 1e4), "on_h": (1e-6, 1e4), "off_h": (0.0, 1e4), "speed_kmh": (0.01, 1000.0)}
"""Fields that a change sets for all crews, and their ranges."""
MOST_CREWS = 200
KEYS = ("n_crews", *HOURS)


def read_change(text: str) -> dict[str, float]:
    """A change such as "n_crews=6" or "n_crews=6,off_h=0".

    Raises:
        ValueError: another form, an unknown or a double name, or a number out of range.
    """
    change: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or name not in KEYS:
            raise ValueError(f"--what-if takes NAME=NUMBER with a name of {', '.join(KEYS)}; got {part.strip()!r}")
        if name in change:
            raise ValueError(f"--what-if {text}: {name} stands twice; give it once, or a --what-if each")
        change[name] = _number(name, value)
    return change


def _number(name: str, text: str) -> float:
    low, high = HOURS.get(name, (1.0, float(MOST_CREWS)))
    try:
        value = float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        value = np.nan
    if not low <= value <= high or (name == "n_crews" and value != int(value)):
        kind = "a whole number" if name == "n_crews" else "a number"
        raise ValueError(f"--what-if {name} must be {kind} from {low:g} to {high:g}; got {text!r}")
    return value


def changed(today: Today, change: Mapping[str, float]) -> Today:
    """Today with other crews.

    `n_crews` counts crews that repair: of fewer those at work stay, and the first of the others; further ones are like
    the first, second, ... of the list, and start at their depots. The other names set a field of every crew.

    Raises:
        ValueError: fewer crews than are at work, or a skill that an open job needs and none of them has.
    """
    crews, hand = list(today.crews), today.hand.tolist()
    if "n_crews" in change:
        crews, hand = _counted(crews, hand, int(change["n_crews"]))
    own: dict[str, Any] = {name: value for name, value in change.items() if name in HOURS}
    crews = [replace(crew, **own) for crew in crews]
    return replace(today, city=replace(today.city, crews=tuple(crews)), hand=np.array(hand, dtype=np.int64))


def _counted(crews: Sequence[Any], hand: Sequence[int], n: int) -> tuple[list[Any], list[int]]:
    """Crews of which n repair, and the jobs that they have in hand."""
    repairs = [k for k, crew in enumerate(crews) if not crew.assessor]
    busy = [k for k in repairs if hand[k] >= 0]
    if n < len(busy):
        raise ValueError(f"--what-if n_crews={n} is fewer than the {len(busy)} crews that are at work")
    idle = [k for k in repairs if hand[k] < 0]
    kept = sorted([*busy, *idle[: n - len(busy)]])
    chosen = sorted([*kept, *(k for k, crew in enumerate(crews) if crew.assessor)])
    result, jobs = [crews[k] for k in chosen], [hand[k] for k in chosen]
    for extra in range(n - len(kept)):
        model = crews[repairs[extra % len(repairs)]]
        result.append(replace(model, name=f"{model.name} (+{extra // len(repairs) + 1})", at=None))
        jobs.append(-1)
    return result, jobs
