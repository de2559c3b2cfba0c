"""What is known of a wave before it comes: a mean and an interval for every county and day."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from stormgym.envs.dispatch.profiles import resolve_profile
from stormgym.envs.dispatch.storms import Family, Floats, StormProfile

N_STORMS = 200
"""Simulated storms behind the default forecast."""
LEVELS = (0.05, 0.95)
_STREAM = 7_001


class WaveForecast(NamedTuple):
    """Customers out in each county and period, before the storm is known."""

    mean: Floats  # [T, K]
    lower: Floats  # [T, K] 5 % quantile
    upper: Floats  # [T, K] 95 % quantile


def typical_wave(profile: str | StormProfile) -> WaveForecast:
    """Mean and quantiles of 200 simulated storms of a profile, the same everywhere (no storm of an episode is one)."""
    return _typical_wave(Family(resolve_profile(profile) if isinstance(profile, str) else profile))


@lru_cache(maxsize=64)
def _typical_wave(family: Family) -> WaveForecast:
    streams = [np.random.default_rng([_STREAM, i]) for i in range(N_STORMS)]
    out = family.profile.simulate(streams).out[:, 1:]
    lower, upper = np.quantile(out, LEVELS, axis=0)
    parts = [out.mean(axis=0), lower, upper]
    for part in parts:
        part.setflags(write=False)
    return WaveForecast(*parts)
