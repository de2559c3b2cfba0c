"""Gathers whole episodes of environments that begin together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stormgym.envs.restoration.layout import regions_of


class Episodes(NamedTuple):
    """M whole episodes of at most T steps; `valid` is False after their ends."""

    regions: Tensor  # [M, N, 9] float32, the first observation of each episode
    distance_km: Tensor  # [M, T, N] float32
    is_open: Tensor  # [M, T, N] bool
    action_mask: Tensor  # [M, T, N] bool
    crew: Tensor  # [M, T, K] float32
    actions: Tensor  # [M, T] int64
    log_probs: Tensor  # [M, T] float32, of the actions when they were chosen
    rewards: Tensor  # [M, T] float32
    costs: Tensor  # [M, T] float32
    valid: Tensor  # [M, T] bool

    def take(self, index: Tensor) -> Episodes:
        """The episodes `index` `[K]`."""
        return Episodes(*(field[index] for field in self))


class EpisodeCollector:
    """Gathers the steps of B episodes that begin together, and hands them out as one `Episodes`."""

    def __init__(self) -> None:
        self._regions: NDArray[Any] | None = None
        self._steps: dict[str, list[NDArray[Any]]] = {}

    def add(
        self,
        obs: dict[str, NDArray[Any]],
        action: NDArray[np.int64],
        log_prob: NDArray[Any],
        reward: NDArray[Any],
        cost: NDArray[np.float64],
        running: NDArray[np.bool_],
    ) -> None:
        """Add one step of all environments; `running` `[B]` is False for rows whose episode is over."""
        if self._regions is None:
            self._regions = regions_of(obs).astype(np.float32)
        values = {
            "distance_km": np.asarray(obs["distance_km"], dtype=np.float32),
            "is_open": obs["open"] > 0,
            "action_mask": np.asarray(obs["action_mask"], dtype=bool),
            "crew": np.asarray(obs["crew"], dtype=np.float32),
            "actions": np.asarray(action, dtype=np.int64),
            "rewards": np.where(running, reward, 0.0).astype(np.float32),
            "costs": np.where(running, cost, 0.0).astype(np.float32),
            "log_probs": np.asarray(log_prob, dtype=np.float32),
            "valid": running.copy(),
        }
        for key, value in values.items():
            self._steps.setdefault(key, []).append(value)

    def batch(self, n_rows: int, device: torch.device) -> Episodes:
        """The episodes of the first `n_rows` environments."""
        assert self._regions is not None
        steps = {k: torch.from_numpy(np.stack(v, axis=1)[:n_rows]).to(device) for k, v in self._steps.items()}
        return Episodes(regions=torch.from_numpy(self._regions[:n_rows]).to(device), **steps)
