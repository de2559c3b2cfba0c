"""Update of critics and actor from replayed episodes (EPOPR eq. 17 and 18)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from stable_baselines3.common.utils import polyak_update
from torch import Tensor

from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.restoration.network.features import Scales
from stormgym.agents.sta_sac.actor_step import ActorStep, Stage
from stormgym.agents.sta_sac.losses import drawn_surrogate, reduce_critics, retrace_targets
from stormgym.agents.sta_sac.policy import N_CRITICS, STASACPolicy
from stormgym.agents.sta_sac.rewards import Rewards
from stormgym.agents.sta_sac.settings import STASACSettings


@dataclass(frozen=True, eq=False)
class Judged:
    """M episodes as actor and critics saw them before the critics' step."""

    scales: Scales
    log_pi: Tensor
    """`[M, T, N]` the actor's log probabilities, with their graph."""
    slow: Tensor
    """`[M, T, N, 4]` values of the target critics."""
    online: Tensor
    """`[M, T, N, 4]` values of the critics that learn, without a graph."""
    targets: Tensor
    """`[M, T, 4]` of the actions taken."""
    loss: float
    """Of the critics."""


class CriticUpdate:
    """One step of the four critics towards their targets, then one of the actor up what the critics say.

    Args:
        policy: networks and optimisers.
        rewards: what episodes were worth.
        actor: the actor's step.
        settings: those of critics, and `actor_gradient`, `actor_follows` and `clip_range`.
    """

    def __init__(self, policy: STASACPolicy, rewards: Rewards, actor: ActorStep, settings: STASACSettings) -> None:
        self.policy = policy
        self.rewards = rewards
        self.actor = actor
        self.settings = settings

    def __call__(self, batch: EpisodeBatch, demonstrations: EpisodeBatch | None, stage: Stage) -> dict[str, float]:
        """Do the update.

        Args:
            batch: M replayed episodes.
            demonstrations: the teacher's episodes, to be imitated; None after its time and without imitation.
            stage: of the training; while the teacher plays, the critics learn and the actor imitates.

        Returns:
            Numbers to be logged under `train/`.
        """
        judged = self.fit(batch)
        logs = {"critic_loss": judged.loss}
        if stage.teaching:
            assert demonstrations is not None
            return logs | self.actor.imitate(demonstrations, stage)
        return logs | self.actor.ascend(batch, judged.log_pi, self.objective(batch, judged), demonstrations, stage)

    def fit(self, batch: EpisodeBatch) -> Judged:
        """One step of the critics on the squared error to their targets (eq. 17; print leaves the square out)."""
        policy, settings = self.policy, self.settings
        inputs, scales, log_pi = policy.episode_log_probs(batch)
        pi = log_pi.exp()
        entropy = -(pi * log_pi).sum(-1)  # [M, T]
        reward, cost = self.rewards.of(batch, scales)
        bonus = self.actor.alpha * entropy.detach() if settings.entropy_in_critic else torch.zeros_like(entropy)
        with torch.no_grad():
            slow = policy.values(inputs, batch, scales, target=True)  # [M, T, N, 4]
        targets = retrace_targets(
            batch,
            slow,
            pi.detach(),
            reward,
            cost,
            bonus,
            retrace=settings.retrace,
            cost_reduction=settings.cost_reduction,
        )

        q = policy.values(inputs, batch, scales)  # [M, T, N, 4]
        taken = q.gather(2, batch.actions[..., None, None].expand(-1, -1, 1, N_CRITICS)).squeeze(2)  # [M, T, 4]
        error = (taken - targets) * batch.valid.unsqueeze(-1)
        loss = error.square().sum() / batch.valid.sum()
        policy.critic_optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.critic.parameters(), settings.max_grad_norm)
        policy.critic_optimizer.step()
        polyak_update(policy.critic.parameters(), policy.critic_target.parameters(), settings.tau)
        return Judged(scales, log_pi, slow, q.detach(), targets, loss.item())

    def objective(self, batch: EpisodeBatch, judged: Judged) -> Tensor:
        """What the actor is to raise, `[M, T]`: the critics' value of its choices, or returns above a state's value.

        `actor_gradient="critics"` is SAC's E_pi[Q] with the cost priced (eq. 18). `"returns"` takes a drawn action's
        Retrace return less the critics' value of the state as its advantage: a critic that tells good states from bad
        ones well may still order the actions of one state badly, and its gradient then spoils a good policy.
        """
        settings, pi = self.settings, judged.log_pi.exp()
        price = self.rewards.price(batch, judged.scales).unsqueeze(-1)  # [M, T, 1]
        if settings.actor_gradient == "returns":
            q_reward, q_cost = reduce_critics(judged.slow, settings.cost_reduction)
            value = (pi.detach() * (q_reward - price * q_cost)).sum(-1)
            gain = judged.targets[..., 0] - price.squeeze(-1) * judged.targets[..., 2] - value
            return drawn_surrogate(batch, pi, gain, settings.clip_range)
        asked = judged.slow if settings.actor_follows == "target" else judged.online
        q_reward, q_cost = reduce_critics(asked, settings.cost_reduction)
        return (pi * (q_reward - price * q_cost)).sum(-1)  # eq. 18
