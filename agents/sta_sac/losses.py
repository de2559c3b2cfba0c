"""The losses of STA-SAC as plain functions: critics' targets, the actor's objectives, imitation, and its cooling."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from stormgym.agents.attention.masking import masked_log_softmax
from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.restoration.network.shared_storms import clipped_surrogate

CostReduction = Literal["mean", "max"]
"""How the two cost critics count together."""
DRAWN_BELOW = 0.999
"""An action that was taken with a larger probability was not drawn: greedy, or the teacher's."""


def reduce_critics(q: Tensor, cost_reduction: CostReduction) -> tuple[Tensor, Tensor]:
    """Reward and cost values `[...]` of four critics `[..., 4]`: min of the first two, mean (or max) of the last two.

    EPOPR eq. 18 takes the minimum over pairs, which is optimistic about cost.
    """
    cost = q[..., 2:].mean(-1) if cost_reduction == "mean" else q[..., 2:].amax(-1)
    return q[..., :2].amin(-1), cost


@torch.no_grad()
def retrace_targets(
    batch: EpisodeBatch,
    q: Tensor,
    pi: Tensor,
    reward: Tensor,
    cost: Tensor,
    bonus: Tensor,
    *,
    retrace: float,
    cost_reduction: CostReduction,
) -> Tensor:
    """Retrace targets `[M, T, 4]` from the target critics' values `[M, T, N, 4]`.

    G_t = r_t + V(s_t+1) + c_t+1 (G_t+1 - Q(s_t+1, a_t+1)), c = retrace * min(1, pi / behaviour); no entropy for
    costs. With `retrace=0` they are r + V(next) of EPOPR eq. 17. Source: Munos et al. (2016).

    One-step targets move what happens at the end of an episode of N steps to its beginning in N updates of the target
    critics; these in one, as far as the actions taken are ones that the actor might still take.

    Args:
        batch: episodes.
        q: values of the target critics.
        pi: `[M, T, N]` the actor's probabilities.
        reward, cost: `[M, T]` in units of return and of the limit.
        bonus: `[M, T]` entropy bonus of each state.
        retrace: lambda in [0, 1].
        cost_reduction: over the two cost critics.
    """
    q_reward, q_cost = reduce_critics(q, cost_reduction)
    at = batch.actions.unsqueeze(-1)
    ratio = pi.gather(-1, at).squeeze(-1) / batch.behaviour.clamp_min(1e-6)
    trace = retrace * ratio.clamp_max(1.0) * batch.valid
    result = []
    for values, gain, extra in ((q_reward, reward, bonus), (q_cost, cost, torch.zeros_like(bonus))):
        taken = values.gather(-1, at).squeeze(-1)
        value = ((pi * values.masked_fill(~batch.action_mask, 0.0)).sum(-1) + extra) * batch.valid  # [M, T]
        target = torch.zeros_like(gain)
        following = torch.zeros_like(gain[:, 0])  # [M] what the state after step t is worth; nothing after the last
        for t in range(gain.shape[1] - 1, -1, -1):
            following = gain[:, t] + following
            target[:, t] = following
            # on the padding V, the trace and the gain are 0, so what follows an episode's last step is 0 as it must be
            following = value[:, t] + trace[:, t] * (following - taken[:, t])
        result += [target, target]  # both critics of a pair have the same target
    return torch.stack(result, dim=-1)


def drawn_surrogate(batch: EpisodeBatch, pi: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """PPO's clipped surrogate `[M, T]` of the advantages `[M, T]`, on actions that the learner drew; 0 on others.

    Greedy actions and the teacher's are left out: they were certain when they were taken, so their ratio says nothing
    about the other actions of their state.

    Args:
        batch: episodes.
        pi: `[M, T, N]` the actor's probabilities.
        advantage: `[M, T]`.
        clip_range: as in PPO.
    """
    ratio = pi.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1) / batch.behaviour.clamp_min(1e-6)
    drawn = batch.valid & (batch.behaviour < DRAWN_BELOW)
    return clipped_surrogate(ratio, advantage, clip_range) * drawn


def imitation_loss(batch: EpisodeBatch, log_pi: Tensor) -> Tensor:
    """Cross entropy of the actor's log probabilities `[M, T, N]` on the teacher's choices, a mean over its steps."""
    taken = log_pi.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
    return -(taken * batch.taught).sum() / batch.taught.sum()


@torch.no_grad()
def cooling_factor(logits: Tensor, batch: EpisodeBatch, entropy_share: float, most: float = 16.0) -> float:
    """Factor in [1, `most`] of the scores `[M, T, N]` at which their mean entropy is the wanted one; 1 if it is lower.

    Found by bisection of the factor's logarithm: the entropy falls as the factor rises.

    Args:
        logits: scores of regions.
        batch: the episodes that they belong to.
        entropy_share: wanted entropy as a share of log(open regions).
        most: largest factor.
    """
    n_open = batch.action_mask.sum(-1).to(logits.dtype)
    wanted = float((entropy_share * n_open.clamp_min(1.0).log() * batch.valid).sum())

    def entropy(factor: float) -> float:
        log_pi = masked_log_softmax(factor * logits, batch.action_mask)
        return float((-(log_pi.exp() * log_pi).sum(-1) * batch.valid).sum())

    low, high = 1.0, most
    if entropy(low) <= wanted:
        return 1.0
    for _ in range(20):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if entropy(middle) > wanted else (low, middle)
    return high
