"""Update of the actor on storms that are played in simulation, at the price of the gap that real storms set.

It has an optimiser of its own: gradients of imitation, and those of few real episodes, are so much larger that Adam,
which divides by what it remembers of them, would hardly move.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.sta_sac.actor_step import ActorStep, Stage
from stormgym.agents.sta_sac.policy import STASACPolicy
from stormgym.agents.sta_sac.rewards import Rewards
from stormgym.agents.sta_sac.settings import STASACSettings

EXCESS_PRICE = 4.0
"""Price of an hour of gap above what is free, in prices of any hour: there are few of them."""


class PracticeUpdate:
    """One step of the actor on drawn orders of simulated storms; the multiplier stays what real storms made of it.

    Args:
        policy: networks.
        rewards: says the price of an hour of gap.
        actor: the actor's step.
        practice: plays storms in simulation (`Reading.practice`).
        settings: `practice_cost`, `practice_margin`, `practice_lr` and `lr_last` are read.
        own_limits: storms have limits of their own, and so prices of their own.
    """

    def __init__(
        self,
        policy: STASACPolicy,
        rewards: Rewards,
        actor: ActorStep,
        practice: Any,
        settings: STASACSettings,
        *,
        own_limits: bool,
    ) -> None:
        self.policy = policy
        self.rewards = rewards
        self.actor = actor
        self.practice = practice
        self.settings = settings
        self.own_limits = own_limits

    def __call__(self, storms: EpisodeBatch, stage: Stage) -> dict[str, float]:
        """Raise the probability of choices in orders that are better than others of their storm.

        Args:
            storms: an episode of each storm, of which only the first observation is read.
            stage: of the training.

        Returns:
            Numbers to be logged under `practice/`.
        """
        scales = self.policy.scales(storms)
        per_limit = self.rewards.price(storms, scales)[:, :1]  # of a gap as large as the limit, in units of return
        limits = self.policy.limits(storms)[:, :1]
        price = (per_limit * scales.total_hours / limits).squeeze(1).detach().cpu().numpy()
        free_h = np.zeros_like(price)
        if self.settings.practice_cost == "excess":
            price, free_h = EXCESS_PRICE * price, self.settings.practice_margin * limits.squeeze(1).cpu().numpy()
        drawn = self.practice.draw(self.policy.actor, storms)
        advantage = self.practice.advantages(drawn, price, free_h) / scales.total_hours.cpu()[:, :, None]
        if self.own_limits:  # as where storms are really played
            advantage = advantage / (1.0 + per_limit.detach().cpu()[:, :, None])
        loss = -self.practice.objective(self.policy.actor, drawn, advantage)
        last = self.settings.lr_last
        for group in self.policy.practice_optimizer.param_groups:
            group["lr"] = self.settings.practice_lr * (last + (1.0 - last) * stage.own_left)
        self.actor.descend(loss, stage, self.policy.practice_optimizer)
        return {
            "outage_h": float(drawn.outage_h.sum(axis=-1)[:, 0].mean()),
            "gap_h": float(drawn.gap_h[:, 0].mean()),
            "price": float(price.mean()),
            "probability": float(torch.exp(drawn.states.log_pi[:, 1:]).mean()),
        }
