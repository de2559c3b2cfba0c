"""Crews and their duty hours: who can do what, from where, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from stormgym.envs.arrays import Bools, Floats, Ints, read_only
from stormgym.envs.data.sizes import MAX_CREWS, SPEED_RANGE_KMH

FIELDS = ("depot", "speed_kmh", "skills", "start_h", "on_h", "off_h", "assessor")
"""Fields of a crew in a file; `skills` lists numbers."""
RANGES: dict[str, tuple[float, float]] = {
    "speed_kmh": SPEED_RANGE_KMH,
    "on_h": (1e-6, 1e6),
    "off_h": (0.0, 1e6),
    "start_h": (0.0, 1e6),
}
"""Least and most of a crew's numbers: beyond, hours run out of range."""


@dataclass(frozen=True, eq=False)
class Duty:
    """Windows on duty [start + m p, start + m p + on), m = 0, 1, ..., of crews: arrays of one shape, hours."""

    start_h: Floats
    on_h: Floats
    period_h: Floats

    def at(self, columns: Ints) -> Duty:
        """Those of some crews, in any number."""
        return Duty(self.start_h[columns], self.on_h[columns], self.period_h[columns])

    def next_on(self, x: Floats) -> Floats:
        """The earliest instant on duty that is not before `x` (h)."""
        window = np.floor((x - self.start_h) / self.period_h)
        within = x - self.start_h - window * self.period_h < self.on_h
        later = np.where(within, x, self.start_h + (window + 1.0) * self.period_h)
        result: Floats = np.where(x < self.start_h, self.start_h, later)
        return result

    def hours(self, x: Floats) -> Floats:
        """Hours on duty from the first window's start to `x` (h)."""
        since = np.maximum(x - self.start_h, 0.0)
        window = np.floor(since / self.period_h)
        result: Floats = window * self.on_h + np.minimum(since - window * self.period_h, self.on_h)
        return result

    def end_of_window(self, x: Floats) -> Floats:
        """When the window ends that `x` lies in (h)."""
        window = np.maximum(np.floor((x - self.start_h) / self.period_h), 0.0)
        result: Floats = self.start_h + window * self.period_h + self.on_h
        return result

    def overtime(self, end: Floats, done: Floats) -> Floats:
        """Hours off duty of work that was begun in windows which end at `end` and is done at `done`, later (h)."""
        result: Floats = (done - end) - (self.hours(done) - self.hours(end))
        return result


@dataclass(frozen=True, eq=False)
class Roster:
    """K crews. Crew k is on duty in the half-open windows [start + m p, start + m p + on), p = on + off, m = 0, 1, ...

    The calendar is fixed: rest that overtime used up is lost.
    """

    depot: Ints  # [K] row of the distance table where it starts
    speed_kmh: Floats  # [K]
    skills: Bools  # [K, Z] kinds of jobs that it can repair; none for an assessor
    start_h: Floats  # [K] of its first window
    on_h: Floats  # [K] hours of a window, above 0
    off_h: Floats  # [K] hours between windows, at least 0
    assessor: Bools  # [K] it only looks

    def __post_init__(self) -> None:
        """Keep read-only copies; raise `ValueError` for hours, speeds or skills that make no crew."""
        for f in fields(self):
            object.__setattr__(self, f.name, read_only(np.asarray(getattr(self, f.name))))
        rules: dict[str, Bools] = {
            "speed_kmh": (self.speed_kmh > 0) & np.isfinite(self.speed_kmh),
            "on_h": (self.on_h > 0) & np.isfinite(self.on_h),
            "off_h": (self.off_h >= 0) & np.isfinite(self.off_h),
            "start_h": (self.start_h >= 0) & np.isfinite(self.start_h),
        }
        for name, good in rules.items():
            if not np.all(good):
                crew = int(np.flatnonzero(~np.asarray(good))[0])
                rule = "at least 0" if name in ("off_h", "start_h") else "above 0"
                raise ValueError(f"{name} of crew {crew} must be finite and {rule}; got {getattr(self, name)[crew]}")
        for name, (low, high) in RANGES.items():
            odd = (getattr(self, name) < low) | (getattr(self, name) > high)
            if odd.any():
                crew = int(odd.argmax())
                raise ValueError(
                    f"{name} of crew {crew} must be from {low:g} to {high:g}; got {getattr(self, name)[crew]:g}"
                )
        if self.n_crews > MAX_CREWS:
            raise ValueError(f"there must be at most {MAX_CREWS:,} crews; got {self.n_crews:,}")
        idle = np.asarray(~self.assessor & ~np.any(self.skills, axis=1))
        if idle.any():
            raise ValueError(f"crew {int(idle.argmax())} repairs and has no skill; give it one, or make it an assessor")

    @property
    def n_crews(self) -> int:
        """K, assessors included."""
        return self.depot.size

    @property
    def n_skills(self) -> int:
        """Z."""
        return self.skills.shape[1]

    @property
    def serves(self) -> Bools:
        """`[K, Z + 1]` classes of work that each crew does: repairs by skill, and looking, the last."""
        repairs = self.skills & ~self.assessor[:, None]
        return np.concatenate([repairs, self.assessor[:, None]], axis=1)

    def check_needs(self, need: Ints) -> None:
        """Raise `ValueError` unless every skill among `need` is had by a crew that repairs."""
        had = np.asarray((self.skills & ~self.assessor[:, None]).any(axis=0))
        lacking = [int(z) for z in np.unique(need) if not (0 <= z < self.n_skills and had[z])]
        if lacking:
            raise ValueError(f"jobs need skill {lacking[0]}, which no crew that repairs has; give it to one")

    @cached_property
    def duty(self) -> Duty:
        """Their hours."""
        return Duty(self.start_h, self.on_h, self.on_h + self.off_h)

    def next_on(self, x: Floats) -> Floats:
        """The earliest instant on duty that is not before `x` `[..., K]` (h)."""
        return self.duty.next_on(x)

    def duty_h(self, x: Floats) -> Floats:
        """Hours on duty from the first window's start to `x` `[..., K]` (h)."""
        return self.duty.hours(x)

    @classmethod
    def of(cls, crews: Sequence[Mapping[str, Any]], n_skills: int) -> Roster:
        """From records with `FIELDS`.

        Raises:
            ValueError: no crew, a field that is missing or unknown, or a value out of range.
        """
        if not crews:
            raise ValueError("crews is empty; at least one crew is needed")
        skills = np.zeros((len(crews), n_skills), dtype=bool)
        for k, crew in enumerate(crews):
            odd = set(FIELDS) ^ set(crew)
            if odd:
                raise ValueError(
                    f"crew {k} must have the fields {', '.join(FIELDS)}; missing or unknown: {sorted(odd)}"
                )
            for z in crew["skills"]:
                if z not in range(n_skills):
                    raise ValueError(f"skills of crew {k} must be numbers 0 to {n_skills - 1}; got {z!r}")
                skills[k, z] = True

        def column(name: str, kind: type[Any]) -> Any:
            return np.array([crew[name] for crew in crews], dtype=kind)

        hours = {name: column(name, np.float64) for name in ("speed_kmh", "start_h", "on_h", "off_h")}
        return cls(depot=column("depot", np.int64), skills=skills, assessor=column("assessor", np.bool_), **hours)
