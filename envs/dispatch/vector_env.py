"""GeneratorDispatch-v0: the native vector environment, B episodes advanced by the same array operations."""

from __future__ import annotations

from stormgym.envs.dispatch.core import DispatchCore
from stormgym.envs.dispatch.env import GeneratorDispatchEnv, HasProfile
from stormgym.envs.doors import BatchedVectorEnv


class GeneratorDispatchVectorEnv(HasProfile, BatchedVectorEnv):
    """B environments of generator dispatch; equal, episode by episode, to B single ones with the same seeds.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED`.
        **kwargs: as for `GeneratorDispatchEnv`.
    """

    core_class = DispatchCore
    metadata = dict(GeneratorDispatchEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
