"""Environments that play the same storm: which rows share one, and advantages of their episodes over each other.

A scenario is one storm: one draw of all that is random in an episode, whatever is chosen in it. Environments that are
reset with the same seed play the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stormgym.agents.restoration.network.features import Scales
from stormgym.envs.restoration.layout import COLUMN


@dataclass(frozen=True, eq=False)
class Rows:
    """B environments: some play scenarios together, M rollouts each; the others act greedily on scenarios of their own.

    Attributes:
        scenario: `[B]` number of each row's scenario; -1 for a greedy row.
        n_rollouts: M, the same for all scenarios.
    """

    scenario: NDArray[np.int64]
    n_rollouts: int

    @classmethod
    def of(cls, n_envs: int | Sequence[int], n_rollouts: int, greedy_share: float) -> Rows:
        """Divide B environments; those that do not fill a scenario act greedily.

        Args:
            n_envs: B, or the rows of each city, which follow one another: only rows of one city can share a scenario.
            n_rollouts: M >= 2; fewer where a city has few rows.
            greedy_share: wanted share of greedy rows in each city; at least 2 of a city's rows are left to explore.

        Raises:
            ValueError: a city with a single environment, which has nothing to be compared with.
        """
        sizes = [n_envs] if isinstance(n_envs, int) else list(n_envs)
        if min(sizes) < 2:
            raise ValueError(
                f"a shared baseline needs at least 2 environments on the same scenario; got {min(sizes)}. "
                "Make more with make_vec_env(env_id, num_envs)"
            )
        exploring = [n - min(round(greedy_share * n), n - 2) for n in sizes]
        m = min(n_rollouts, *exploring)
        scenario: list[NDArray[np.int64]] = []
        first = 0
        for n, k in zip(sizes, exploring, strict=True):
            number = np.arange(n) // m
            scenario.append(np.where(number < k // m, first + number, -1))
            first += k // m
        return cls(np.concatenate(scenario), m)

    @property
    def n_scenarios(self) -> int:
        """S."""
        return int(self.scenario.max()) + 1

    @property
    def n_greedy(self) -> int:
        """K, rows that act greedily."""
        return int(self.greedy.sum())

    @property
    def exploring(self) -> NDArray[np.int64]:
        """`[S * M]` rows whose episodes are learnt from; rollouts of a scenario are neighbours."""
        return np.flatnonzero(self.scenario >= 0)

    @property
    def greedy(self) -> NDArray[np.bool_]:
        """`[B]` True for rows that act greedily."""
        return self.scenario < 0

    def seeds(self) -> list[int | None]:
        """B seeds for `reset`, equal within a scenario (NumPy's global generator, as Stable-Baselines3's)."""
        drawn = np.random.randint(0, 2**31 - 1, size=self.n_scenarios + self.n_greedy)
        own = self.n_scenarios + np.cumsum(self.greedy) - 1
        return [int(seed) for seed in drawn[np.where(self.greedy, own, self.scenario)]]


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


def expected_to_go(regions: Tensor, is_open: Tensor, scales: Scales, pace: float = 0.35) -> Tensor:
    """Return (h) to go `[B, T]` if the open regions were served at their mean forecast, in any order.

    With k open regions of mean forecast p, the wait is (1 + pace) p (1 + ... + k) / N.

    Args:
        regions: `[B, N, 9]` the first observation of each episode.
        is_open: `[B, T, N]` bool.
        scales: of these episodes.
        pace: travel between repairs, in mean forecasts.
    """
    remain = is_open.to(regions.dtype)
    total = torch.matmul(remain, regions[..., COLUMN["point_h"]].unsqueeze(-1)).squeeze(-1)  # [B, T]
    n_open = remain.sum(-1)
    return -(total + pace * scales.hours * n_open) * (n_open + 1) / 2 / scales.n_regions
