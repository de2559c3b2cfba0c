"""Undergrounding: the native vector door, B environments advanced by the same array operations."""

from __future__ import annotations

from stormgym.envs.doors import BatchedVectorEnv
from stormgym.envs.undergrounding.core import UndergroundingCore
from stormgym.envs.undergrounding.env import UndergroundingEnv
from stormgym.envs.undergrounding.process import UndergroundingProcess
from stormgym.envs.undergrounding.regions import UndergroundingProfile


class UndergroundingVectorEnv(BatchedVectorEnv):
    """B environments of undergrounding; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `UndergroundingEnv`.
    """

    core_class = UndergroundingCore
    core: UndergroundingCore
    metadata = dict(UndergroundingEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it

    @property
    def profile(self) -> UndergroundingProfile:
        """Regions, storms and costs of these environments."""
        return self.core.profile

    @property
    def cost_limit(self) -> float:
        """Limit of the expected gap (h)."""
        return self.core.cost_limit

    @property
    def process(self) -> UndergroundingProcess:
        """The process behind the door; it holds storms, so only privileged policies may look."""
        return self.core.process
