"""Generator dispatch: the native vector door, B environments advanced by the same array operations."""

from __future__ import annotations

from stormgym.envs.dispatch.core import DispatchCore
from stormgym.envs.dispatch.env import GeneratorDispatchEnv
from stormgym.envs.dispatch.generators import StormProfile
from stormgym.envs.dispatch.process import DispatchProcess
from stormgym.envs.doors import BatchedVectorEnv


class GeneratorDispatchVectorEnv(BatchedVectorEnv):
    """B environments of generator dispatch; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `GeneratorDispatchEnv`.
    """

    core_class = DispatchCore
    core: DispatchCore
    metadata = dict(GeneratorDispatchEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it

    @property
    def profile(self) -> StormProfile:
        """Counties, storms and costs of these environments."""
        return self.core.profile

    @property
    def cost_limit(self) -> float:
        """Limit of the expected gap (periods unserved per customer)."""
        return self.core.cost_limit

    @property
    def process(self) -> DispatchProcess:
        """The process behind the door; it holds whole waves, so only privileged policies may look."""
        return self.core.process
