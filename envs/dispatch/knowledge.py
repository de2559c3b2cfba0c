"""What planners of GeneratorDispatch-v0 may know beside the observation, and what only privileged policies may."""

from __future__ import annotations

from dataclasses import dataclass

from stormgym.envs.arrays import Floats
from stormgym.envs.dispatch.generators import StormProfile


@dataclass(frozen=True, eq=False)
class DispatchAnnounced:
    """What any planner may know: nothing of an episode's storm that the observation does not show."""

    profile: StormProfile
    """Counties, generators and costs; `profile.simulate` gives storms to reason with, none of which is an episode's."""
    cost_limit: float
    """Limit on the expected gap (periods unserved per customer)."""


@dataclass(frozen=True, eq=False)
class DispatchTruth:
    """What only policies with `privileged = True` may read."""

    out: Floats
    """`[B, T + 1, K]` customers out in the current episodes, the days to come included."""
