"""Policy gradient with several episodes on each storm: their mean return is the baseline, in place of a critic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stormgym.agents.restoration.network.features import Scales
from stormgym.agents.restoration.network.scenarios import advantages, expected_to_go


@dataclass(frozen=True)
class SharedStorms:
    """What an update does with S storms of M episodes each: minibatches, advantages, and the clipped objective.

    Episodes of a storm differ by the actions taken in them and by nothing else, so a return less the mean of its storm
    is due to actions. STA-SAC's actor and the attention model both learn from it; their rewards and their gradient
    steps differ.
    Source: Kool, van Hoof and Welling (2019); Kwon et al. (2020, POMO); the ratio and its clipping are PPO's.

    Attributes:
        n_rollouts: M.
        n_epochs: passes over a collection.
        batch_size: episodes of a minibatch, rounded to whole storms (at least one).
        clip_range: e; the ratio of new to old probability counts within 1 - e and 1 + e.
    """

    n_rollouts: int
    n_epochs: int
    batch_size: int
    clip_range: float

    def minibatches(self, episodes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Episodes of each update of a collection: whole storms in random order, `n_epochs` times.

        Draws from NumPy's global generator, which Stable-Baselines3 seeds.

        Args:
            episodes: `[S, M]` indices of the episodes that played each storm.

        Returns:
            Numbers `[k * M]` for each update; those of a storm are neighbours.
        """
        each = max(self.batch_size // self.n_rollouts, 1)  # storms
        result = []
        for _ in range(self.n_epochs):
            order = np.random.permutation(len(episodes))
            result += [episodes[order[i : i + each]].ravel() for i in range(0, order.size, each)]
        return result

    def advantages(self, gain: Tensor, regions: Tensor, is_open: Tensor, scales: Scales) -> Tensor:
        """Advantage of each episode at each step over the mean of its storm, `[k * M, T]`.

        Episodes reach a step with different regions left, so what is to be expected of those is taken off first: a
        guess that depends on the state alone leaves the gradient unbiased and takes out more of its variance.

        Args:
            gain: `[k * M, T]` reward less the price of the cost, in units of return; 0 after an episode's end.
            regions: `[k * M, N, 9]` the first observation of each episode.
            is_open: `[k * M, T, N]` bool.
            scales: of these episodes.
        """
        return self.advantages_over(gain, expected_to_go(regions, is_open, scales) / scales.total_hours)

    def advantages_over(self, gain: Tensor, expected: Tensor) -> Tensor:
        """As `advantages`, with any guess `[k * M, T]` of the return to go, in units of return."""
        return advantages(gain, self.n_rollouts, expected)

    def objective(self, ratio: Tensor, advantage: Tensor) -> Tensor:
        """PPO's clipped surrogate, of ratios pi / pi_old of the actions taken and their advantages, any shape."""
        return clipped_surrogate(ratio, advantage, self.clip_range)


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """min(ratio A, clip(ratio, 1 - e, 1 + e) A): beyond the clip nothing is gained by moving on (PPO, eq. 7)."""
    clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
    return torch.minimum(ratio * advantage, clipped * advantage)
