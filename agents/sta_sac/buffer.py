"""A replay buffer of whole episodes that carries costs and the probability with which each action was chosen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, DictReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize

from stormgym.agents.restoration.network.features import check_observation_space
from stormgym.agents.storage.buffers import GROWTH, check_range, fill, ring_place
from stormgym.envs.restoration.layout import COLUMN, REGION_COLUMNS, regions_of


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


_STEP_FIELDS = EpisodeBatch._fields[1:-1]
_REGION_FIELDS = ("distance_km", "is_open", "action_mask")
POOL = 4
"""Episodes of like size among which a batch is drawn, in batches."""


class _Store:
    """A ring of finished episodes: step fields `[E, T, ...]`, first observations `[E, N, 9]`, lengths `[E]`."""

    def __init__(self, capacity: int, shapes: dict[str, tuple[tuple[int, ...], Any]], n: int) -> None:
        self.capacity = capacity
        self.steps = {k: np.zeros((capacity, n, *s), dtype=d) for k, (s, d) in shapes.items()}
        self.regions = np.zeros((capacity, n, len(REGION_COLUMNS)), dtype=np.float32)
        self.lengths = np.zeros(capacity, dtype=np.int64)
        self.n_regions = np.zeros(capacity, dtype=np.int64)  # without padding
        self.pos, self.full = 0, False

    def size(self) -> int:
        """Episodes held."""
        return self.capacity if self.full else self.pos

    def keep(self, steps: dict[str, NDArray[Any]], regions: NDArray[Any], length: int) -> None:
        """Add one episode over the oldest one."""
        while length > self.steps["actions"].shape[1]:
            self.grow()
        for key, store in self.steps.items():
            store[self.pos, :length] = steps[key][:length]
            store[self.pos, length:] = steps[key][length - 1]  # a state that is possible, so that nothing is NaN
        self.regions[self.pos] = regions
        self.lengths[self.pos] = length
        self.n_regions[self.pos] = (regions[:, COLUMN["group"]] >= 0).sum()
        self.pos += 1
        if self.pos == self.capacity:
            self.pos, self.full = 0, True

    def state_dict(self) -> dict[str, Any]:
        """Episodes held, and where the next one goes."""
        rows = {name: array[: self.size()] for name, array in self._rings().items()}
        return {"pos": self.pos, "full": self.full, "steps": self.steps["actions"].shape[1], "rows": rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; raises `ValueError` where it does not fit."""
        steps = int(state["steps"])
        if steps > GROWTH * self.regions.shape[1]:
            raise ValueError(f"episodes of {steps} steps in a city of {self.regions.shape[1]} regions")
        while self.steps["actions"].shape[1] < steps:
            self.grow()
        pos, full, size = ring_place(state, self.capacity)
        fill(self._rings(), state["rows"], size)
        n = self.regions.shape[1]
        check_range("lengths", self.lengths[:size], 1, steps)
        check_range("n_regions", self.n_regions[:size], 1, n)
        check_range("actions", self.steps["actions"][:size], 0, n - 1)
        self.pos, self.full = pos, full

    def _rings(self) -> dict[str, NDArray[Any]]:
        return {**self.steps, "regions": self.regions, "lengths": self.lengths, "n_regions": self.n_regions}

    def grow(self) -> None:
        """Make room for longer episodes (wasted trips lengthen them)."""
        for key, array in self.steps.items():
            self.steps[key] = np.concatenate([array, np.zeros_like(array)], axis=1)

    def episodes(self, index: NDArray[np.int64], device: torch.device) -> EpisodeBatch:
        """Return the episodes at `index` `[M]`, cut to the longest and to the largest city among them."""
        length = self.lengths[index]
        t, n = int(length.max()), int(self.n_regions[index].max())
        cut = {k: array[index, :t] for k, array in self.steps.items()}
        cut |= {k: cut[k][..., :n] for k in _REGION_FIELDS}
        valid = np.arange(t) < length[:, None]
        return EpisodeBatch(
            regions=torch.from_numpy(self.regions[index, :n]).to(device),
            valid=torch.from_numpy(valid).to(device),
            **{k: torch.from_numpy(cut[k]).to(device) for k in _STEP_FIELDS},
        )

    def draw(self, batch_size: int) -> NDArray[np.int64]:
        """Draw episodes `[batch_size]`, with replacement.

        Where cities of several sizes are mixed, those of one batch are of like size (one is drawn, then others among
        the episodes nearest to it in size), so that little is padding.
        """
        held = self.n_regions[: self.size()]
        if held.min() == held.max():
            return np.random.randint(0, self.size(), size=batch_size)
        off = np.abs(held - held[np.random.randint(0, held.size)]) + np.random.random(held.size)
        pool = min(held.size, POOL * batch_size)
        near = np.argpartition(off, pool - 1)[:pool]
        return near[np.random.randint(0, pool, size=batch_size)]


class EpisodeReplayBuffer(DictReplayBuffer):
    """Keeps the last finished episodes and samples whole ones (EPOPR eq. 17 averages over M episodes).

    What the observations of an episode share (coordinates, forecasts, groups) is kept once; the next observation is
    the next step's. A truncated episode counts as ended: Restoration-v0 settles everything inside its last step.

    Episodes in which a teacher took steps (`info["taught"]`) are kept a second time, as demonstrations, so that the
    ring of the learner's own episodes does not push them out.

    Where all environments begin together (`begin_round`), one episode of each is kept, and `round` says where.

    Args:
        buffer_size: steps kept over all environments (episodes kept = buffer_size // N).
        observation_space, action_space, device, n_envs: as in Stable-Baselines3.
        demonstration_size: steps of demonstrations kept beside them.
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
        demonstration_size: int = 0,
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
            "taught": ((), np.bool_),
        }
        self._store = _Store(self.capacity, shapes, n)
        self._demonstrations = _Store(max(demonstration_size // n, 1), shapes, n)
        self._stage = {k: np.zeros((n_envs, n, *s), dtype=d) for k, (s, d) in shapes.items()}
        self._stage_regions = np.zeros((n_envs, n, len(REGION_COLUMNS)), dtype=np.float32)
        self._at = np.zeros(n_envs, dtype=np.int64)
        self.round: NDArray[np.int64] | None = None

    def size(self) -> int:
        """Finished episodes held."""
        return self._store.size()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each episode held `[E]`."""
        return self._store.lengths[: self.size()]

    @property
    def n_demonstrations(self) -> int:
        """Demonstrations held."""
        return self._demonstrations.size()

    def reset(self) -> None:
        """Forget everything."""
        for store in (self._store, self._demonstrations):
            store.pos, store.full = 0, False
        self._at[:] = 0
        self.round = None

    def drop_unfinished(self) -> None:
        """Forget the steps of episodes under way (their environments were reset from outside)."""
        self._at[:] = 0

    def begin_round(self) -> None:
        """All environments were reset: keep the first episode of each from here on, at `round` `[n_envs]` (-1 yet)."""
        self.drop_unfinished()
        self.round = np.full(self.n_envs, -1, dtype=np.int64)

    def add_step(
        self,
        obs: dict[str, NDArray[Any]],
        action: NDArray[np.int64],
        reward: NDArray[np.float64],
        cost: NDArray[np.float64],
        behaviour: NDArray[np.float64],
        done: NDArray[np.bool_],
        taught: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add one step of every environment; arrays have the leading axis n_envs.

        An episode is a demonstration if a step of it is `taught`.
        """
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
            "taught": np.zeros(self.n_envs, dtype=bool) if taught is None else taught,
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
        taught = np.array([info.get("taught", False) for info in infos], dtype=bool)
        self.add_step(
            obs, np.asarray(action).reshape(self.n_envs), reward, cost, behaviour, np.asarray(done, dtype=bool), taught
        )

    def state_dict(self) -> dict[str, Any]:
        """Finished episodes, demonstrations, and the steps of episodes under way."""
        under_way = {**self._stage, "regions": self._stage_regions, "at": self._at}
        stores = {"episodes": self._store.state_dict(), "demonstrations": self._demonstrations.state_dict()}
        return {**stores, "under_way": under_way, "round": self.round}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`.

        Raises:
            ValueError: a buffer of another size, or of another number of environments.
        """
        self._store.load_state_dict(state["episodes"])
        self._demonstrations.load_state_dict(state["demonstrations"])
        self.pos, self.full = self._store.pos, self._store.full
        under_way = dict(state["under_way"])
        steps, n = under_way["actions"].shape[1], self._stage_regions.shape[1]
        while self._stage["actions"].shape[1] < min(steps, GROWTH * n):
            self._grow()
        fill({**self._stage, "regions": self._stage_regions, "at": self._at}, under_way, self.n_envs)
        check_range("at", self._at, 0, steps)
        check_range("actions", self._stage["actions"], 0, n - 1)
        self.round = None
        if state["round"] is not None:
            self.round = np.full(self.n_envs, -1, dtype=np.int64)
            fill({"round": self.round}, {"round": state["round"]}, self.n_envs)
            check_range("round", self.round, -1, self.capacity - 1)

    def _keep(self, row: int) -> None:
        steps = {key: values[row] for key, values in self._stage.items()}
        length = int(self._at[row])
        if self.round is not None:
            if self.round[row] >= 0:  # not the first of this round
                self._at[row] = 0
                return
            self.round[row] = self._store.pos
        self._store.keep(steps, self._stage_regions[row], length)
        if steps["taught"][:length].any():
            self._demonstrations.keep(steps, self._stage_regions[row], length)
        self._at[row] = 0
        self.pos, self.full = self._store.pos, self._store.full

    def _grow(self) -> None:
        for key, array in self._stage.items():
            self._stage[key] = np.concatenate([array, np.zeros_like(array)], axis=1)

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> EpisodeBatch:  # type: ignore[override]
        """Draw `batch_size` episodes with replacement (NumPy's global generator, as Stable-Baselines3's buffers do)."""
        if self.size() == 0:
            raise ValueError("the replay buffer holds no finished episode yet; collect one before sampling")
        return self.episodes(self._store.draw(batch_size))

    def demonstrations(self, batch_size: int) -> EpisodeBatch:
        """Draw `batch_size` demonstrations with replacement, as `sample` draws episodes.

        Raises:
            ValueError: there are none.
        """
        if self.n_demonstrations == 0:
            raise ValueError("the replay buffer holds no demonstrations: no teacher has finished an episode")
        return self._demonstrations.episodes(self._demonstrations.draw(batch_size), self.device)

    def episodes(self, index: NDArray[np.int64]) -> EpisodeBatch:
        """Return the episodes at `index` `[M]`."""
        return self._store.episodes(index, self.device)
