"""The actor's gradient step, with which every update of STA-SAC ends; the entropy's weight; the average that acts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from stable_baselines3.common.utils import polyak_update
from torch import Tensor
from torch.optim import Optimizer

from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.sta_sac.losses import imitation_loss
from stormgym.agents.sta_sac.policy import STASACPolicy
from stormgym.agents.sta_sac.settings import STASACSettings

ALPHA_RANGE = (1e-5, 1.0)
"""The weight of the entropy stays within."""


@dataclass(frozen=True)
class Stage:
    """Where in the training an update is: what the schedules say there."""

    teaching: bool
    """It is the teacher's time: the actor does nothing but imitate."""
    entropy_share: float
    """Target entropy of the policy, as a share of log(open regions)."""
    imitation_weight: float
    """Weight of the imitation loss after the teacher's time."""
    n_updates: int
    """Updates before this one."""
    own_left: float = 1.0
    """Share that is left of the learner's own part of the training."""


class ActorStep:
    """Moves the actor, the weight of its entropy, and the running average of the actor that acts.

    Args:
        policy: holds both actors and the optimiser.
        log_alpha: logarithm of the entropy's weight, a leaf tensor.
        alpha_optimizer: moves it.
        settings: `actor_tau` and `max_grad_norm` are read.
    """

    def __init__(
        self, policy: STASACPolicy, log_alpha: Tensor, alpha_optimizer: Optimizer, settings: STASACSettings
    ) -> None:
        self.policy = policy
        self.log_alpha = log_alpha
        self.alpha_optimizer = alpha_optimizer
        self.settings = settings

    @property
    def alpha(self) -> Tensor:
        """The weight of the entropy, a constant to the actor's loss."""
        return self.log_alpha.exp().detach()

    def ascend(
        self,
        batch: EpisodeBatch,
        log_pi: Tensor,
        objective: Tensor,
        demonstrations: EpisodeBatch | None,
        stage: Stage,
    ) -> dict[str, float]:
        """One step up E[objective + alpha entropy], and one of alpha towards the target entropy.

        Args:
            batch: M episodes.
            log_pi: `[M, T, N]` the actor's log probabilities, with their graph.
            objective: `[M, T]` what is to be raised, with its graph.
            demonstrations: the teacher's episodes, imitated on the side; None for no imitation.
            stage: of the training.

        Returns:
            Numbers to be logged under `train/`.
        """
        total = batch.valid.sum()
        entropy = -(log_pi.exp() * log_pi).sum(-1)  # [M, T]
        alpha = self.alpha
        loss = -((objective + alpha * entropy) * batch.valid).sum() / total
        if demonstrations is not None:
            loss = loss + stage.imitation_weight * self._imitation_loss(demonstrations)
        self.descend(loss, stage)
        self._follow_target(batch, entropy.detach(), stage.entropy_share)
        return {
            "actor_loss": loss.item(),
            "entropy": ((entropy.detach() * batch.valid).sum() / total).item(),
            "alpha": alpha.item(),
        }

    def imitate(self, demonstrations: EpisodeBatch, stage: Stage) -> dict[str, float]:
        """One step towards the teacher's choices and nothing else; numbers to be logged."""
        loss = self._imitation_loss(demonstrations)
        self.descend(loss, stage)
        return {"actor_loss": loss.item()}

    def _imitation_loss(self, demonstrations: EpisodeBatch) -> Tensor:
        return imitation_loss(demonstrations, self.policy.episode_log_probs(demonstrations)[2])

    def descend(self, loss: Tensor, stage: Stage, optimizer: Optimizer | None = None) -> None:
        """One step of Adam (the actor's, or another `optimizer`) on the actor's loss; the averaged actor follows."""
        policy = self.policy
        optimizer = policy.actor_optimizer if optimizer is None else optimizer
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.actor.parameters(), self.settings.max_grad_norm)
        optimizer.step()
        # at first the plain mean of all actors so far, so that the random first one does not linger in the average
        rate = max(self.settings.actor_tau, 1.0 / (stage.n_updates + 1))
        polyak_update(policy.actor.parameters(), policy.actor_average.parameters(), rate)

    def _follow_target(self, batch: EpisodeBatch, entropy: Tensor, share: float) -> None:
        """Raise alpha where the entropy `[M, T]` is below its target and lower it where it is above."""
        n_open = batch.action_mask.sum(-1).to(entropy.dtype)
        wanted = share * n_open.clamp_min(1.0).log()
        surplus = ((entropy - wanted) * batch.valid).sum() / batch.valid.sum()
        loss = self.log_alpha * surplus
        self.alpha_optimizer.zero_grad()
        loss.backward()
        self.alpha_optimizer.step()
        with torch.no_grad():
            self.log_alpha.clamp_(*map(math.log, ALPHA_RANGE))
