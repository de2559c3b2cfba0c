"""Which environments play which scenario, and what their episodes are worth to a policy gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stormgym.agents.sta_sac.features import Scales
from stormgym.envs.restoration.layout import COLUMN, regions_of


@dataclass(frozen=True)
class Rows:
    """B environments: S scenarios of M rollouts each, then K that act greedily on scenarios of their own."""

    n_scenarios: int
    n_rollouts: int
    n_greedy: int

    @classmethod
    def of(cls, n_envs: int, n_rollouts: int, greedy_share: float) -> Rows:
        """Divide B environments; those that do not fill a scenario act greedily.

        Args:
            n_envs: B >= 2.
            n_rollouts: M; fewer when B is small.
            greedy_share: wanted K / B; at least 2 environments are left to explore.

        Raises:
            ValueError: a single environment, which has nothing to be compared with.
        """
        if n_envs < 2:
            raise ValueError(
                f"a shared baseline needs at least 2 environments on the same scenario; got {n_envs}. "
                "Make more with make_vec_env(env_id, num_envs)"
            )
        exploring = n_envs - min(round(greedy_share * n_envs), n_envs - 2)
        m = min(n_rollouts, exploring)
        return cls(exploring // m, m, n_envs - exploring // m * m)

    @property
    def n_exploring(self) -> int:
        """S M, the rows whose episodes are learnt from; they come first."""
        return self.n_scenarios * self.n_rollouts

    @property
    def greedy(self) -> NDArray[np.bool_]:
        """`[B]` True for rows that act greedily."""
        return np.arange(self.n_exploring + self.n_greedy) >= self.n_exploring

    def seeds(self) -> list[int | None]:
        """B seeds for `reset`, equal within a scenario (NumPy's global generator, as Stable-Baselines3's)."""
        drawn = np.random.randint(0, 2**31 - 1, size=self.n_scenarios + self.n_greedy)
        return [*np.repeat(drawn[: self.n_scenarios], self.n_rollouts).tolist(), *drawn[self.n_scenarios :].tolist()]


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


def advantages(gain: Tensor, n_rollouts: int, expected: Tensor | None = None) -> Tensor:
    """Return-to-go minus the mean of the M rollouts of the same scenario at the same step, `[S * M, T]`.

    Rollouts are independent given their scenario, so the others' mean depends on nothing that a rollout chose; that
    its own return is in the mean only scales the gradient by (M - 1) / M (POMO, Kwon et al. 2020).

    Args:
        gain: `[S * M, T]` penalised rewards; rollouts of a scenario are neighbours.
        n_rollouts: M.
        expected: `[S * M, T]` any guess of the return-to-go that is made before the choice; it is taken off first and
            leaves the gradient unbiased.
    """
    to_go = gain.flip(1).cumsum(1).flip(1)
    if expected is not None:
        to_go = to_go - expected
    grouped = to_go.unflatten(0, (-1, n_rollouts))  # [S, M, T]
    return (grouped - grouped.mean(1, keepdim=True)).flatten(0, 1)


def expected_to_go(batch: Episodes, scales: Scales, pace: float = 0.35) -> Tensor:
    """Return (h) to go `[B, T]` if the open regions were served at their mean forecast, in any order.

    With k open regions of mean forecast p, the wait is (1 + pace) p (1 + ... + k) / N.

    Args:
        batch: episodes.
        scales: of these episodes.
        pace: travel between repairs, in mean forecasts.
    """
    is_open = batch.is_open.to(batch.rewards.dtype)
    total = torch.matmul(is_open, batch.regions[..., COLUMN["point_h"]].unsqueeze(-1)).squeeze(-1)  # [B, T]
    n_open = is_open.sum(-1)
    return -(total + pace * scales.hours * n_open) * (n_open + 1) / 2 / scales.n_regions
