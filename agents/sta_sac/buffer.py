"""A replay buffer of whole episodes that carries costs and the probability with which each action was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, DictReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize

from stormgym.agents.attention.reading import COMMON, Layout, Shapes
from stormgym.agents.sta_sac.reading import reading_of
from stormgym.agents.storage.buffers import GROWTH, check_range, fill, ring_place

POOL = 4
"""Episodes of like size among which a batch is drawn, in batches."""


class _Store:
    """A ring of finished episodes: step fields `[E, T, ...]`, first observations `[E, ...]`, lengths `[E]`."""

    def __init__(self, capacity: int, layout: Layout) -> None:
        self.capacity = capacity
        self.layout = layout
        self.n_actions = layout.n_actions
        self.usual_length = layout.n_parts * layout.usual_steps
        self.steps = _zeros({**layout.steps, **COMMON}, (capacity, self.usual_length))
        self.first = _zeros(layout.first, (capacity,))
        self.lengths = np.zeros(capacity, dtype=np.int64)
        self.n_regions = np.zeros(capacity, dtype=np.int64)  # choices without padding
        self.place = np.zeros(capacity, dtype=np.int64)  # where each takes place
        self.pos, self.full = 0, False

    def size(self) -> int:
        """Episodes held."""
        return self.capacity if self.full else self.pos

    def keep(self, steps: Mapping[str, NDArray[Any]], first: Mapping[str, NDArray[Any]], length: int) -> None:
        """Add one episode over the oldest one."""
        while length > self.steps["actions"].shape[1]:
            self.grow()
        for key, store in self.steps.items():
            store[self.pos, :length] = steps[key][:length]
            store[self.pos, length:] = steps[key][length - 1]  # a state that is possible, so that nothing is NaN
        for key, store in self.first.items():
            store[self.pos] = first[key]
        self.lengths[self.pos] = length
        self.n_regions[self.pos] = self.layout.size(first)
        self.place[self.pos] = self.layout.place(first)
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
        if steps > GROWTH * self.usual_length:
            raise ValueError(f"episodes of {steps} steps where {self.usual_length} are usual")
        while self.steps["actions"].shape[1] < steps:
            self.grow()
        pos, full, size = ring_place(state, self.capacity)
        fill(self._rings(), state["rows"], size)
        n = self.n_actions
        check_range("lengths", self.lengths[:size], 1, steps)
        check_range("n_regions", self.n_regions[:size], 1, n)
        check_range("actions", self.steps["actions"][:size], 0, n - 1)
        self.place[:size] = [
            self.layout.place({key: array[row] for key, array in self.first.items()}) for row in range(size)
        ]
        self.pos, self.full = pos, full

    def _rings(self) -> dict[str, NDArray[Any]]:
        return {**self.steps, **self.first, "lengths": self.lengths, "n_regions": self.n_regions}

    def grow(self) -> None:
        """Make room for longer episodes (wasted trips lengthen them)."""
        for key, array in self.steps.items():
            self.steps[key] = np.concatenate([array, np.zeros_like(array)], axis=1)

    def episodes(self, index: NDArray[np.int64], device: torch.device) -> Any:
        """Return the episodes at `index` `[M]`, cut to the longest and to the largest number of choices among them."""
        length = self.lengths[index]
        t, n = int(length.max()), int(self.n_regions[index].max())
        arrays = {k: array[index, :t] for k, array in self.steps.items()}
        arrays |= {k: array[index] for k, array in self.first.items()}
        for key in self.layout.cut:
            arrays[key] = arrays[key][..., :n] if key in self.steps else arrays[key][:, :n]
        arrays["valid"] = np.arange(t) < length[:, None]
        return self.layout.batch(**{k: torch.from_numpy(array).to(device) for k, array in arrays.items()})

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

    def draw_of_one_place(self, batch_size: int) -> NDArray[np.int64]:
        """Draw episodes of one place `[M]`, without replacement: M is `batch_size`, or all that there are if fewer."""
        held = self.place[: self.size()]
        there = np.flatnonzero(held == held[np.random.randint(0, held.size)])
        return np.random.choice(there, min(batch_size, there.size), replace=False)


class EpisodeReplayBuffer(DictReplayBuffer):
    """Keeps the last finished episodes and samples whole ones (EPOPR eq. 17 averages over M episodes).

    What is kept of observations, and what episodes are handed out as, the environment's `Layout` says; the next
    observation is the next step's. A truncated episode counts as ended: what is left is settled in its last step.

    Where actions have several parts, each part is a step, and the last one has the reward and the cost.

    Episodes in which a teacher took steps (`info["taught"]`) are kept a second time, as demonstrations, so that the
    ring of the learner's own episodes does not push them out.

    Where all environments begin together (`begin_round`), one episode of each is kept, and `round` says where.

    Args:
        buffer_size: steps of environments kept over all of them (episodes kept = buffer_size // steps of a usual one).
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
        layout: Layout = reading_of(observation_space).layout_of(observation_space, action_space)
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs=n_envs)
        if optimize_memory_usage or handle_timeout_termination:
            raise ValueError(
                "EpisodeReplayBuffer stores each observation once and takes a truncated episode as ended; "
                "leave optimize_memory_usage and handle_timeout_termination False"
            )
        self.optimize_memory_usage = self.handle_timeout_termination = False
        n, usual = layout.n_parts * layout.usual_steps, layout.usual_steps
        self.layout = layout
        self.capacity = max(buffer_size // usual, n_envs, 1)
        self.buffer_size = self.capacity
        self._store = _Store(self.capacity, layout)
        self._demonstrations = _Store(max(demonstration_size // usual, 1), layout)
        self._stage = _zeros({**layout.steps, **COMMON}, (n_envs, n))
        self._stage_first = _zeros(layout.first, (n_envs,))
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
            seen = self.layout.read_first({key: value[first] for key, value in obs.items()})
            for key, value in seen.items():
                self._stage_first[key][first] = value
        values = {
            **self.layout.read_step(obs),
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
        cost = self.costs_of(infos)
        behaviour = np.array([info.get("behaviour", 1.0) for info in infos], dtype=np.float64)
        taught = np.array([info.get("taught", False) for info in infos], dtype=bool)
        self.add_step(
            obs, np.asarray(action).reshape(self.n_envs), reward, cost, behaviour, np.asarray(done, dtype=bool), taught
        )

    @staticmethod
    def costs_of(infos: list[dict[str, Any]]) -> NDArray[np.float64]:
        """The cost of a step in every environment, `[n_envs]`.

        Raises:
            KeyError: an info has none.
        """
        missing = [i for i, info in enumerate(infos) if "cost" not in info]
        if missing:
            raise KeyError(
                f"info of environment {missing[0]} has no key 'cost': STA-SAC learns a constrained problem. "
                "Put the step's cost (0.0 where there is none) into every info"
            )
        return np.array([info["cost"] for info in infos], dtype=np.float64)

    def state_dict(self) -> dict[str, Any]:
        """Finished episodes, demonstrations, and the steps of episodes under way."""
        under_way = {**self._stage, **self._stage_first, "at": self._at}
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
        steps, n = under_way["actions"].shape[1], self.layout.n_actions
        while self._stage["actions"].shape[1] < min(steps, GROWTH * self._store.usual_length):
            self._grow()
        fill({**self._stage, **self._stage_first, "at": self._at}, under_way, self.n_envs)
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
        first = {key: values[row] for key, values in self._stage_first.items()}
        self._store.keep(steps, first, length)
        if steps["taught"][:length].any():
            self._demonstrations.keep(steps, first, length)
        self._at[row] = 0
        self.pos, self.full = self._store.pos, self._store.full

    def _grow(self) -> None:
        for key, array in self._stage.items():
            self._stage[key] = np.concatenate([array, np.zeros_like(array)], axis=1)

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> Any:
        """Draw `batch_size` episodes with replacement (NumPy's global generator, as Stable-Baselines3's buffers do)."""
        if self.size() == 0:
            raise ValueError("the replay buffer holds no finished episode yet; collect one before sampling")
        return self.episodes(self._store.draw(batch_size))

    def any_episodes(self, batch_size: int) -> Any:
        """Draw different episodes of one place, all of the last ones or all demonstrations, by how many there are of
        each: `batch_size`, or as many as there are."""
        own, taught = self.size(), self.n_demonstrations
        store = self._store if np.random.random() * (own + taught) < own else self._demonstrations
        return store.episodes(store.draw_of_one_place(batch_size), self.device)

    def demonstrations(self, batch_size: int) -> Any:
        """Draw `batch_size` demonstrations with replacement, as `sample` draws episodes.

        Raises:
            ValueError: there are none.
        """
        if self.n_demonstrations == 0:
            raise ValueError("the replay buffer holds no demonstrations: no teacher has finished an episode")
        return self._demonstrations.episodes(self._demonstrations.draw(batch_size), self.device)

    def episodes(self, index: NDArray[np.int64]) -> Any:
        """Return the episodes at `index` `[M]`."""
        return self._store.episodes(index, self.device)


def _zeros(shapes: Shapes, leading: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    return {name: np.zeros((*leading, *shape), dtype=dtype) for name, (shape, dtype) in shapes.items()}
