"""A replay buffer of whole episodes that carries costs and the probability with which each action was chosen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, DictReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize

from stormgym.agents.sta_sac.features import check_observation_space
from stormgym.envs.restoration.layout import REGION_COLUMNS, regions_of


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
    valid: torch.Tensor  # [M, T] bool


_STEP_FIELDS = EpisodeBatch._fields[1:-1]


class EpisodeReplayBuffer(DictReplayBuffer):
    """Keeps the last finished episodes and samples whole ones (EPOPR eq. 17 averages over M episodes).

    What the observations of an episode share (coordinates, forecasts, groups) is kept once; the next observation is
    the next step's. A truncated episode counts as ended: Restoration-v0 settles everything inside its last step.

    Args:
        buffer_size: steps kept over all environments (episodes kept = buffer_size // N).
        observation_space, action_space, device, n_envs: as in Stable-Baselines3.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = False,
    ) -> None:
        check_observation_space(observation_space)
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs=n_envs)
        if optimize_memory_usage or handle_timeout_termination:
            raise ValueError(
                "EpisodeReplayBuffer stores each observation once and takes a truncated episode as ended; "
                "leave optimize_memory_usage and handle_timeout_termination False"
            )
        self.optimize_memory_usage = self.handle_timeout_termination = False
        crew_shape, mask_shape = observation_space["crew"].shape, observation_space["action_mask"].shape
        assert crew_shape is not None
        assert mask_shape is not None
        n = mask_shape[0]
        region_shape = (n, len(REGION_COLUMNS))
        self.capacity = max(buffer_size // n, n_envs, 1)
        self.buffer_size = self.capacity
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "distance_km": ((n,), np.float32),
            "is_open": ((n,), np.bool_),
            "action_mask": ((n,), np.bool_),
            "crew": (crew_shape, np.float32),
            "actions": ((), np.int64),
            "rewards": ((), np.float32),
            "costs": ((), np.float32),
            "behaviour": ((), np.float32),
        }
        self._store = {k: np.zeros((self.capacity, n, *s), dtype=d) for k, (s, d) in shapes.items()}
        self._stage = {k: np.zeros((n_envs, n, *s), dtype=d) for k, (s, d) in shapes.items()}
        self._store_regions = np.zeros((self.capacity, *region_shape), dtype=np.float32)
        self._stage_regions = np.zeros((n_envs, *region_shape), dtype=np.float32)
        self.lengths = np.zeros(self.capacity, dtype=np.int64)
        self._at = np.zeros(n_envs, dtype=np.int64)

    def size(self) -> int:
        """Finished episodes held."""
        return self.capacity if self.full else self.pos

    def reset(self) -> None:
        """Forget everything."""
        self.pos, self.full = 0, False
        self._at[:] = 0

    def drop_unfinished(self) -> None:
        """Forget the steps of episodes under way (their environments were reset from outside)."""
        self._at[:] = 0

    def add_step(
        self,
        obs: dict[str, NDArray[Any]],
        action: NDArray[np.int64],
        reward: NDArray[np.float64],
        cost: NDArray[np.float64],
        behaviour: NDArray[np.float64],
        done: NDArray[np.bool_],
    ) -> None:
        """Add one step of every environment; arrays have the leading axis n_envs."""
        step = self._at
        if step.max() >= self._stage["actions"].shape[1]:
            self._grow()
        rows = np.arange(self.n_envs)
        first = step == 0
        if first.any():
            self._stage_regions[first] = regions_of({key: value[first] for key, value in obs.items()})
        values = {
            "distance_km": obs["distance_km"],
            "is_open": obs["open"] > 0,
            "action_mask": obs["action_mask"],
            "crew": obs["crew"],
            "actions": action,
            "rewards": reward,
            "costs": cost,
            "behaviour": behaviour,
        }
        for key, value in values.items():
            self._stage[key][rows, step] = value
        self._at += 1
        for row in np.flatnonzero(done):
            self._keep(int(row))

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: list[dict[str, Any]]) -> None:
        """As Stable-Baselines3; the cost is `info["cost"]`, the action's probability `info["behaviour"]` (1 if absent).

        Raises:
            KeyError: an info has no cost.
        """
        missing = [i for i, info in enumerate(infos) if "cost" not in info]
        if missing:
            raise KeyError(
                f"info of environment {missing[0]} has no key 'cost': STA-SAC learns a constrained problem. "
                "Put the step's cost (0.0 where there is none) into every info"
            )
        cost = np.array([info["cost"] for info in infos], dtype=np.float64)
        behaviour = np.array([info.get("behaviour", 1.0) for info in infos], dtype=np.float64)
        self.add_step(
            obs, np.asarray(action).reshape(self.n_envs), reward, cost, behaviour, np.asarray(done, dtype=bool)
        )

    def _keep(self, row: int) -> None:
        length = int(self._at[row])
        for key, store in self._store.items():
            store[self.pos, :length] = self._stage[key][row, :length]
        self._store_regions[self.pos] = self._stage_regions[row]
        self.lengths[self.pos] = length
        self._at[row] = 0
        self.pos += 1
        if self.pos == self.capacity:
            self.pos, self.full = 0, True

    def _grow(self) -> None:
        """Make room for longer episodes (wasted trips lengthen them)."""
        for group in (self._store, self._stage):
            for key, array in group.items():
                group[key] = np.concatenate([array, np.zeros_like(array)], axis=1)

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> EpisodeBatch:  # type: ignore[override]
        """Draw `batch_size` episodes with replacement (NumPy's global generator, as Stable-Baselines3's buffers do)."""
        if self.size() == 0:
            raise ValueError("the replay buffer holds no finished episode yet; collect one before sampling")
        return self.episodes(np.random.randint(0, self.size(), size=batch_size))

    def episodes(self, index: NDArray[np.int64]) -> EpisodeBatch:
        """Return the episodes at `index` `[M]`."""
        length = self.lengths[index]
        t = int(length.max())
        valid = np.arange(t) < length[:, None]
        steps = {k: torch.from_numpy(self._store[k][index, :t]).to(self.device) for k in _STEP_FIELDS}
        return EpisodeBatch(
            regions=torch.from_numpy(self._store_regions[index]).to(self.device),
            valid=torch.from_numpy(valid).to(self.device),
            **steps,
        )
