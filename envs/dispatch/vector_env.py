"""Generator dispatch: the native vector door, B environments advanced by the same array operations."""

from __future__ import annotations

from typing import Any

from gymnasium.vector import AutoresetMode

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

    core: DispatchCore
    metadata = dict(GeneratorDispatchEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **kwargs: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1; got {num_envs}")
        super().__init__(DispatchCore(num_envs, **kwargs), num_envs, autoreset_mode, kwargs.get("render_mode"))

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
