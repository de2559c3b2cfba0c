"""Restoration-v0: the native vector environment, B episodes advanced by the same array operations."""

from __future__ import annotations

from stormgym.envs.doors import BatchedVectorEnv
from stormgym.envs.restoration.core import RestorationCore
from stormgym.envs.restoration.env import HasCity, RestorationEnv


class RestorationVectorEnv(HasCity, BatchedVectorEnv):
    """B environments of Restoration-v0 in one process; equal, episode by episode, to B single ones with the same seeds.

    Observations, rewards, costs and infos are those of `RestorationEnv` with a leading axis B (see `BatchedVectorEnv`).
    `reset(options={"cost_limit": ...})`, a number or `[B]` (h), fixes the limits of the episodes that begin.

    Args:
        num_envs: B.
        autoreset_mode: `NEXT_STEP` (default), `SAME_STEP` or `DISABLED` (then `reset(options={"reset_mask": ...})`).
        **kwargs: as for `RestorationEnv`.
    """

    core_class = RestorationCore
    metadata = dict(RestorationEnv.metadata)  # noqa: RUF012 - as Gymnasium declares it
    options = ("cost_limit",)
