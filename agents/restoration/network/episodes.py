"""Whole episodes of Restoration-v0 as STA-SAC learns from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from stormgym.agents.attention.reading import Layout
from stormgym.envs.restoration.layout import COLUMN, REGION_COLUMNS, regions_of

PLACE = [COLUMN[name] for name in ("x_km", "y_km", "group")]
"""Columns of regions that are the city's and the same in all its storms."""


class EpisodeBatch(NamedTuple):
    """M whole episodes, padded to T steps; `valid` is False on the padding."""

    regions: torch.Tensor  # [M, N, 9] float32, the first observation of each episode
    distance_km: torch.Tensor  # [M, T, N] float32
    is_open: torch.Tensor  # [M, T, N] bool
    action_mask: torch.Tensor  # [M, T, N] bool
    crew: torch.Tensor  # [M, T, K] float32
    actions: torch.Tensor  # [M, T] int64
    rewards: torch.Tensor  # [M, T] float32
    costs: torch.Tensor  # [M, T] float32
    behaviour: torch.Tensor  # [M, T] float32, probability of the action when it was chosen
    taught: torch.Tensor  # [M, T] bool, whether a teacher took the step
    valid: torch.Tensor  # [M, T] bool


@dataclass(frozen=True)
class RegionLayout(Layout):
    """What the observations of an episode share (coordinates, forecasts, groups) is kept once."""

    @classmethod
    def of(cls, space: spaces.Dict) -> RegionLayout:
        """For an observation space."""
        crew_shape, mask_shape = space["crew"].shape, space["action_mask"].shape
        assert crew_shape is not None
        assert mask_shape is not None
        n = mask_shape[0]
        return cls(
            n_actions=n,
            steps={
                "distance_km": ((n,), np.float32),
                "is_open": ((n,), np.bool_),
                "action_mask": ((n,), np.bool_),
                "crew": (crew_shape, np.float32),
            },
            first={"regions": ((n, len(REGION_COLUMNS)), np.float32)},
            batch=EpisodeBatch,
            cut=("distance_km", "is_open", "action_mask", "regions"),
        )

    def read_step(self, observation: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What changes from step to step."""
        return {
            "distance_km": observation["distance_km"],
            "is_open": observation["open"] > 0,
            "action_mask": observation["action_mask"],
            "crew": observation["crew"],
        }

    def read_first(self, observation: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What does not."""
        return {"regions": regions_of(dict(observation))}

    def size(self, first: Mapping[str, NDArray[Any]]) -> int:
        """Regions without padding to the largest city."""
        return int((first["regions"][:, COLUMN["group"]] >= 0).sum())

    def place(self, first: Mapping[str, NDArray[Any]]) -> int:
        """The city's number, by which `place_of` finds it again."""
        return place_of(first["regions"][: self.size(first)])


def place_of(regions: NDArray[Any]) -> int:
    """A number for a city, from its regions `[N, F]` as they are observed: where they lie, and their groups."""
    return crc32(np.ascontiguousarray(regions[:, PLACE], dtype=np.float32).tobytes())
