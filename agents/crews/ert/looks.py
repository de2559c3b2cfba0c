"""What is simulated at one decision of a batch of storms, before it is calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stormgym.agents.crews.ert.simulation import Draws, as_sent, power_back_times
from stormgym.agents.crews.planners import Plans
from stormgym.agents.crews.situation import Situation
from stormgym.envs.arrays import Bools, Floats, Ints

LOW, LOWER_QUARTER, MEDIAN, UPPER_QUARTER, HIGH = range(5)
"""Columns of simulated quantiles."""


class Told(NamedTuple):
    """M jobs at a time, as a calibration takes them."""

    quantile_h: Floats
    """`[M, 5]` simulated quantiles of when power is back, hours since the storm began."""
    now_h: Floats
    """`[M]`"""
    group: Ints
    """`[M]`"""
    late: Bools
    """`[M]` whether the job was reported after hour 0."""

    def rows(self, at: Ints | Bools) -> Told:
        """Some of them."""
        return Told(self.quantile_h[at], self.now_h[at], self.group[at], self.late[at])


@dataclass(frozen=True, eq=False)
class Look:
    """B storms at a decision, with what it decides."""

    now_h: Floats
    """`[B]`"""
    dark: Bools
    """`[B, N]` known, without power, and in a plan or under way."""
    sent: Bools
    """`[B, N]` a crew is sent by this decision."""
    crewed: Bools
    """`[B, N]` a crew has been sent, by this decision at the latest."""
    quantile_h: Floats
    """`[B, N, 5]` simulated quantiles; NaN where it is not dark."""
    group: Ints
    """`[B, N]`; 0 for jobs that are not known."""
    arrival_h: Floats
    """`[B, N]`; 0 for jobs that are not known."""

    def at(self, chosen: Bools) -> Told:
        """The chosen jobs `[B, N]` one after another."""
        row = np.nonzero(chosen)[0]
        return Told(self.quantile_h[chosen], self.now_h[row], self.group[chosen], self.arrival_h[chosen] > 0)


def look(situation: Situation, plans: Plans, action: Ints, draws: Draws, level: float = 0.9) -> Look:
    """Simulate what a decision comes to.

    Args:
        situation: B storms.
        plans: on which the decision is made.
        action: `[B]` the decision: a job for the asked crew, or N.
        draws: numbers of the simulations.
        level: coverage of the interval between the outer quantiles.
    """
    s = situation
    b, n = s.known.shape
    plans = as_sent(s, plans, action)
    times = power_back_times(s, plans, draws).swapaxes(1, 2)  # [B, N, S]
    dark = s.known & ~(s.power_h <= s.now_h[:, None])
    dark &= np.isfinite(times).all(axis=2)
    quantile = np.full((b, n, 5), np.nan)
    levels = ((1.0 - level) / 2.0, 0.25, 0.5, 0.75, (1.0 + level) / 2.0)
    if dark.any():
        quantile[dark] = np.quantile(times[dark], levels, axis=1).T
    sends = np.flatnonzero((action < n) & ~s.roster.assessor[s.asked])
    sent = np.zeros((b, n), dtype=bool)
    sent[sends, action[sends]] = True
    return Look(
        now_h=s.now_h,
        dark=dark,
        sent=sent & s.open,
        crewed=~s.open | sent,
        quantile_h=quantile,
        group=np.maximum(s.group, 0),
        arrival_h=s.arrival_h,
    )
