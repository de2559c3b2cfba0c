"""Restoration-v0: the native vector door, B environments advanced by the same array operations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.data import City
from stormgym.envs.doors import BatchedVectorEnv
from stormgym.envs.restoration.core import RestorationCore
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.limits import given_limits
from stormgym.envs.restoration.process import RestorationProcess


class RestorationVectorEnv(BatchedVectorEnv):
    """B environments of Restoration-v0 in one process; equal, episode by episode, to B single ones with the same seeds.

    Observations, rewards, costs and infos are those of `RestorationEnv` with a leading axis B (see `BatchedVectorEnv`).
    `reset(options={"cost_limit": ...})`, a number or `[B]` (h), fixes the limits of the episodes that begin.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED` (then `reset(options={"reset_mask": ...})`).
        **kwargs: as for `RestorationEnv`.
    """

    core_class = RestorationCore
    core: RestorationCore
    metadata = dict(RestorationEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
    options = ("cost_limit",)

    @property
    def city(self) -> City:
        """The city of these environments."""
        return self.core.city

    @property
    def cost_limit(self) -> float:
        """Limit d of the expected gap (h); the middle of the range where each episode draws its own."""
        return self.core.cost_limit

    @property
    def cost_limit_range(self) -> tuple[float, float] | None:
        """Range (low, high) from which each episode draws its limit (h); None where all have the same."""
        return self.core.cost_limit_range

    @property
    def process(self) -> RestorationProcess:
        """The process behind the door; it holds the true durations, so only privileged policies may look."""
        return self.core.process

    def _given(self, options: dict[str, Any], mask: NDArray[np.bool_]) -> Any:
        given = options.get("cost_limit")
        return None if given is None else given_limits(given, self.num_envs)[mask]
