"""Undergrounding-v0: the native vector environment, B seasons advanced by the same array operations."""

from __future__ import annotations

from stormgym.envs.doors import BatchedVectorEnv
from stormgym.envs.undergrounding.core import UndergroundingCore
from stormgym.envs.undergrounding.env import HasProfile, UndergroundingEnv


class UndergroundingVectorEnv(HasProfile, BatchedVectorEnv):
    """B environments of undergrounding; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `UndergroundingEnv`.
    """

    core_class = UndergroundingCore
    metadata = dict(UndergroundingEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
