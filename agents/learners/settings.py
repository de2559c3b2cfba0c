"""Settings of the learners, one frozen dataclass each: options of `train.py`, kept in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class _Limited:
    """What every learner on reward - lambda * cost has."""

    constrained: bool = True
    """Off leaves the cost out: the plain reward, lambda stays at zero."""
    limit_margin: float = 0.95
    """The multiplier aims at this share of the cost limit, so that a finite evaluation holds the limit."""
    multiplier_init: float = 0.15
    """Lambda at the start, per limit of cost."""
    multiplier_max: float = 10.0
    """Largest lambda: exploring episodes cost more than the policy will, and could push it without end."""
    multiplier_lr: float = 0.02
    """Step size of lambda, one step a rollout."""
    multiplier_method: Literal["softplus", "projected"] = "softplus"
    """How lambda moves: softplus with Adam, or a projected gradient step."""
    dual_episodes: int = 16
    """Episodes that must have finished before lambda moves again."""
    width: int = 64
    """Width of the networks."""


@dataclass(frozen=True, kw_only=True)
class PPOSettings(_Limited):
    """Stable-Baselines3's PPO on reward - lambda * cost.

    It sees no mask in training: a closed region is a wasted trip.
    """

    learning_rate: float = 1e-3
    """Step size (Adam)."""
    n_steps: int = 64
    """Steps of each environment a rollout."""
    batch_size: int = 256
    """Steps a minibatch."""
    n_epochs: int = 4
    """Passes over a rollout."""
    gamma: float = 1.0
    """Discount; 1 keeps the constraint what it says."""
    gae_lambda: float = 0.98
    """Bias against variance of the advantage."""
    clip_range: float = 0.2
    """Clipping of the policy's ratio."""
    ent_coef: float = 0.0
    """Weight of the entropy bonus."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Gradient clipping."""


@dataclass(frozen=True, kw_only=True)
class MaskablePPOSettings(PPOSettings):
    """sb3-contrib's MaskablePPO on reward - lambda * cost: as PPO, but it chooses among open regions only."""

    learning_rate: float = 3e-3
    """Step size (Adam)."""
    gae_lambda: float = 0.9
    """Bias against variance of the advantage: repairs are long or short by luck, and 0.98 takes all of it in."""


@dataclass(frozen=True, kw_only=True)
class STAPPOSettings(MaskablePPOSettings):
    """STA-SAC's attention network over regions to bury, trained by MaskablePPO on reward - lambda * cost."""

    learning_rate: float = 1e-3
    """Step size (Adam)."""


@dataclass(frozen=True, kw_only=True)
class DQNSettings(_Limited):
    """Stable-Baselines3's DQN on reward - lambda * cost.

    It sees no mask in training: a closed region is a wasted trip.
    """

    learning_rate: float = 5e-4
    """Step size (Adam)."""
    buffer_size: int = 20_000
    """Transitions kept in the replay buffer."""
    learning_starts: int = 2_000
    """Steps at random before the first update."""
    batch_size: int = 128
    """Transitions an update."""
    gamma: float = 1.0
    """Discount; 1 keeps the constraint what it says."""
    train_freq: int = 4
    """Steps of each environment between updates."""
    gradient_steps: int = 8
    """Updates after each collection."""
    target_update_interval: int = 400
    """Steps between copies to the target network."""
    exploration_fraction: float = 0.3
    """Share of the training over which random choices fade."""
    exploration_final_eps: float = 0.05
    """Share of random choices afterwards."""
    max_grad_norm: float = 10.0
    """Gradient clipping."""


@dataclass(frozen=True, kw_only=True)
class MaskableDQNSettings(_Limited):
    """DQN that keeps to the mask, with double-Q targets, on reward - lambda * cost."""

    learning_rate: float = 5e-4
    """Step size (Adam)."""
    buffer_size: int = 50_000
    """Transitions kept in the replay buffer."""
    learning_starts: int = 2_000
    """Steps at random, among open regions, before the first update."""
    batch_size: int = 128
    """Transitions an update."""
    tau: float = 1.0
    """Share of the Q network that a copy to the target network takes."""
    gamma: float = 1.0
    """Discount; 1 keeps the constraint what it says."""
    train_freq: int = 4
    """Steps of each environment between updates."""
    gradient_steps: int = 8
    """Updates after each collection."""
    target_update_interval: int = 400
    """Steps between copies to the target network."""
    exploration_fraction: float = 0.3
    """Share of the training over which random choices fade."""
    exploration_final_eps: float = 0.05
    """Share of random choices afterwards."""
    max_grad_norm: float = 10.0
    """Gradient clipping."""


@dataclass(frozen=True, kw_only=True)
class SACSettings(_Limited):
    """Stable-Baselines3's SAC, for continuous actions, on reward - lambda * cost where the cost has a limit."""

    learning_rate: float = 1e-3
    """Step size (Adam) of actor, critics and entropy weight."""
    buffer_size: int = 50_000
    """Transitions kept in the replay buffer."""
    learning_starts: int = 1_000
    """Steps at random before the first update."""
    batch_size: int = 256
    """Transitions an update."""
    tau: float = 0.01
    """Share of the critics that a copy to their targets takes."""
    gamma: float = 1.0
    """Discount; 1 keeps the constraint what it says."""
    train_freq: int = 1
    """Steps of each environment between updates."""
    gradient_steps: int = 4
    """Updates after each collection."""
    ent_coef: str = "auto_0.02"
    """Weight of the entropy bonus: a number, or auto_X to learn it from X on (from 1 on it would rule for long)."""
    width: int = 128
    """Width of the networks."""


@dataclass(frozen=True, kw_only=True)
class HRLDPDPSettings(MaskablePPOSettings):
    """A group first, then a region of it: a hierarchical policy trained by MaskablePPO on reward - lambda * cost."""
