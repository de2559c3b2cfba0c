"""What a page shows of a storm as an agent played it: the contract between domains, which tell, and pages, which draw.

A domain names a `StormRecorder` (`Domain.replay`). It watches one storm, and afterwards gives a `ReplayScene` (what is
the same in every storm: places, groups, words) and a `Replay` (what happened, at T instants that a slider steps
through). Both are arrays and words, and know nothing of pages.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.core import Core
from stormgym.envs.data import City

N_FRAMES = 101
"""Instants of a storm, where time is continuous."""
DECIMALS = 3
"""Of places, shares and bars in a replay: what a picture can show."""

Fill = Literal["dark", "work", "lit", "absent", "square", "star"]
"""How a page draws a place in a state: filled, at work, hollow, a dot; or a mark on it: a square, a star."""


@dataclass(frozen=True)
class PlaceState:
    """One of the states that a place can be in."""

    label: str
    fill: Fill


@dataclass(frozen=True, kw_only=True)
class ReplayScene:
    """What all replays of one environment share: P places in G groups, and what things are called."""

    time_title: str
    """Of the axis of time, with its unit."""
    place_word: str
    """What one place is: "region"."""
    place_names: tuple[str, ...]
    xy: Floats
    """`[P, 2]`, in any unit of length."""
    group: Ints
    """`[P]`"""
    group_names: tuple[str, ...]
    states: tuple[PlaceState, ...] = ()
    size: Floats | None = None
    """`[P]` in (0, 1], how large places are drawn; None: all alike."""
    depots: Floats | None = None
    """`[D, 2]` where crews begin; None where there is none."""
    curve_title: str
    curve_percent: bool = False
    wait_title: str
    """What `Replay.waits` is, with its unit."""
    level_title: str | None = None
    """What the darkness of a place is; None where only its state shows."""
    level_of_one: str = ""
    """What the darkest place has: "all customers"."""
    count_title: str | None = None
    """What the numbers beside places count."""
    lane_names: tuple[str, ...] = ()
    """Of those whose work is told by bars; () for none."""
    bar_kinds: tuple[str, ...] = ()
    """What a bar can mean; the first kind is drawn thin, the others in the colour of the place's group."""
    bar_title: str = ""

    def as_json(self) -> dict[str, Any]:
        """As plain lists and words."""
        return {
            "time_title": self.time_title,
            "place_word": self.place_word,
            "places": list(self.place_names),
            "x": rounded(self.xy[:, 0]),
            "y": rounded(self.xy[:, 1]),
            "group": self.group.tolist(),
            "groups": list(self.group_names),
            "states": [{"label": state.label, "fill": state.fill} for state in self.states],
            "size": None if self.size is None else rounded(self.size),
            "depots": [] if self.depots is None else rounded(self.depots),
            "curve_title": self.curve_title,
            "curve_percent": self.curve_percent,
            "wait_title": self.wait_title,
            "level_title": self.level_title,
            "level_of_one": self.level_of_one,
            "count_title": self.count_title,
            "lanes": list(self.lane_names),
            "bar_kinds": list(self.bar_kinds),
            "bar_title": self.bar_title,
        }


@dataclass(frozen=True)
class Vehicle:
    """Somebody on the way: where at each of T instants."""

    name: str
    xy: Floats
    """`[T, 2]`"""


@dataclass(frozen=True)
class Curve:
    """A figure over the T instants, of a group or of all."""

    name: str
    values: Floats
    """`[T]`"""
    group: int | None = None


@dataclass(frozen=True)
class Bar:
    """What a lane does from one time to another."""

    lane: int
    start: float
    end: float
    kind: int
    place: int = -1
    """-1 where it is at none."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One storm as one agent played it, at T instants."""

    curves: tuple[Curve, ...]
    waits: Floats
    """`[P]` how long each place waited, in all; NaN where nothing was to wait for."""
    state: Ints | None = None
    """`[T, P]` index of `ReplayScene.states`; -1 for none."""
    level: Floats | None = None
    """`[T, P]` in [0, 1], how dark a place is."""
    count: Ints | None = None
    """`[T, P]` the number beside it."""
    vehicles: tuple[Vehicle, ...] = ()
    bars: tuple[Bar, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """As plain lists; `state` as the changes of each place, `[frame, state]`."""
        return {
            "curves": [{"name": c.name, "group": c.group, "y": rounded(c.values)} for c in self.curves],
            "waits": [None if np.isnan(w) else float(w) for w in self.waits],
            "state": None if self.state is None else changes(self.state),
            "level": None if self.level is None else rounded(self.level),
            "count": None if self.count is None else self.count.tolist(),
            "vehicles": [{"name": v.name, "x": rounded(v.xy[:, 0]), "y": rounded(v.xy[:, 1])} for v in self.vehicles],
            "bars": [[b.lane, round(b.start, DECIMALS), round(b.end, DECIMALS), b.kind, b.place] for b in self.bars],
        }


@dataclass(frozen=True)
class Told:
    """A time that was announced of something, with its interval, and the time that came."""

    name: str
    """What it was announced of: "job 3"."""
    place: int
    at: float
    """When it was announced."""
    low: float
    middle: float
    high: float
    came: float


@dataclass(frozen=True)
class ToldTimes:
    """What a policy announced in a storm (its `told_times(state, row)`, asked when the storm is over)."""

    title: str
    told: tuple[Told, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain lists: `[name, place, at, low, middle, high, came]` of each."""
        rows = [[t.name, t.place, *rounded([t.at, t.low, t.middle, t.high, t.came])] for t in self.told]
        return {"title": self.title, "rows": rows}


def rounded(values: Floats | Sequence[float]) -> list[Any]:
    """Numbers as a picture needs them."""
    return list(np.round(np.asarray(values, dtype=np.float64), DECIMALS).tolist())


def changes(state: Ints) -> list[list[list[int]]]:
    """States `[T, P]` as the list of `[frame, state]` of each place: its first one, and each that differs."""
    differs = np.ones(state.shape, dtype=bool)
    differs[1:] = state[1:] != state[:-1]
    return [[[int(t), int(state[t, p])] for t in np.flatnonzero(differs[:, p])] for p in range(state.shape[1])]


def along(hours: Floats, at_h: Sequence[float], xy: Sequence[Any]) -> Floats:
    """Where somebody is at `hours` `[T]`, `[T, 2]`: straight from one place to the next.

    Args:
        hours: instants.
        at_h: ascending times at which it is somewhere.
        xy: where, two numbers each.
    """
    corners = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    return np.column_stack([np.interp(hours, np.asarray(at_h), corners[:, axis]) for axis in (0, 1)])


def share_by_group(dark: Any, group: Ints, names: Sequence[str]) -> tuple[Curve, ...]:
    """Curves of the share of each group's places that are dark.

    Args:
        dark: `[T, P]` bool.
        group: `[P]`.
        names: of the groups.
    """
    return tuple(Curve(name, dark[:, group == g].mean(axis=1), g) for g, name in enumerate(names))


def places_of_city(city: City) -> dict[str, Any]:
    """The arguments of `ReplayScene` that are a city's: its regions, with time in hours."""
    return {
        "time_title": "hours since the storm",
        "place_word": "region",
        "place_names": city.region_ids,
        "xy": city.xy_km,
        "group": city.group,
        "group_names": city.group_names,
    }


def places_of_profile(profile: Any, names: Sequence[str]) -> dict[str, Any]:
    """The arguments of `ReplayScene` that are a profile's: its places, drawn as large as they are populated.

    Args:
        profile: has `label`, `place` `[P, 2]`, `group` and `population` `[P]`.
        names: of groups, as many as any profile has.
    """
    return {
        "place_names": profile.label,
        "xy": profile.place,
        "group": profile.group,
        "group_names": names[: int(profile.group.max()) + 1],
        "size": np.sqrt(profile.population / profile.population.max()),
    }


class StormRecorder(ABC):
    """Watches an agent play one storm, in a core of one row; made when the storm has been drawn.

    What it reads of the core it keeps as copies: the next storm is played in the same arrays.

    Args:
        core: the environment.
    """

    def __init__(self, core: Core) -> None:
        del core

    def step(self, core: Core) -> None:
        """A step has been played, the last one included."""
        del core

    @abstractmethod
    def end(self, core: Core) -> None:
        """The storm is over; called once, after the last `step`."""

    @property
    @abstractmethod
    def end_time(self) -> float:
        """When it was over, in the unit of the time axis."""

    @abstractmethod
    def scene(self) -> ReplayScene:
        """What is the same in every storm."""

    @abstractmethod
    def replay(self, times: Floats) -> Replay:
        """What happened, at the instants `[T]` that `times_of` gave."""

    @classmethod
    def times_of(cls, recorders: Sequence[StormRecorder]) -> Floats:
        """Instants `[T]` that show one storm as several agents played it: evenly from 0 to the latest end."""
        return np.linspace(0.0, max(recorder.end_time for recorder in recorders), N_FRAMES)

    @classmethod
    def labels_of(cls, recorders: Sequence[StormRecorder], times: Floats) -> list[str]:
        """What each instant is called beside the slider."""
        del recorders
        return [f"{hours:.1f} h" for hours in times]
