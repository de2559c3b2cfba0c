"""Update of the actor on storms that rollouts share: their mean return is the baseline, and no critic is asked."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.restoration.network.shared_storms import SharedStorms
from stormgym.agents.sta_sac.actor_step import ActorStep, Stage
from stormgym.agents.sta_sac.losses import drawn_surrogate
from stormgym.agents.sta_sac.policy import STASACPolicy
from stormgym.agents.sta_sac.rewards import Rewards


class StormUpdate:
    """One step of the actor on whole storms, and what goes before it while the teacher plays.

    Args:
        policy: networks.
        rewards: what episodes were worth.
        actor: the actor's step.
        storms: minibatches, advantages and clipping.
        control_variate: rewards lose the luck of repairs, so that what repairs should take has to be learnt first.
        own_limits: episodes have limits of their own, and so prices of their own.
    """

    def __init__(
        self,
        policy: STASACPolicy,
        rewards: Rewards,
        actor: ActorStep,
        storms: SharedStorms,
        *,
        control_variate: bool,
        own_limits: bool,
    ) -> None:
        self.policy = policy
        self.rewards = rewards
        self.actor = actor
        self.storms = storms
        self.control_variate = control_variate
        self.own_limits = own_limits

    def __call__(self, batch: EpisodeBatch, demonstrations: EpisodeBatch | None, stage: Stage) -> dict[str, float]:
        """Raise the probability of drawn actions whose return to the end is above the mean of their storm.

        Args:
            batch: S storms of M episodes each, those of a storm side by side.
            demonstrations: the teacher's episodes, imitated on the side; None for no imitation.
            stage: of the training.

        Returns:
            Numbers to be logged under `train/`.
        """
        _, scales, log_pi = self.policy.episode_log_probs(batch)
        gain, price = self._gain(batch, scales)
        advantage = self.storms.advantages_over(gain, self.policy.expected_to_go(batch, scales))
        self.policy.fit_expectation(batch, gain)
        if self.own_limits:  # else the episodes of tight limits, whose price is high, would drown the others
            advantage = advantage / (1.0 + price)
        objective = drawn_surrogate(batch, log_pi.exp(), advantage, self.storms.clip_range)
        return self.actor.ascend(batch, log_pi, objective, demonstrations, stage)

    def imitate(self, batch: EpisodeBatch, demonstrations: EpisodeBatch, stage: Stage) -> dict[str, float]:
        """While the teacher plays: one step of imitation, and one of what repairs should take, on replayed episodes."""
        scales = self.policy.scales(batch)
        if self.control_variate:
            self.rewards.fit(batch, scales)
        self.policy.fit_expectation(batch, batch.rewards / scales.total_hours)
        return self.actor.imitate(demonstrations, stage)

    def _gain(self, batch: EpisodeBatch, scales: Any) -> tuple[Tensor, Tensor]:
        """Rewards less the price of costs, 0 after an episode's end, and that price, both `[M, T]`."""
        reward, cost = self.rewards.of(batch, scales)
        price = self.rewards.price(batch, scales)
        return (reward - price * cost) * batch.valid, price
