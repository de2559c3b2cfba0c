"""Settings of the attention model by policy gradient: options of `train.py`, kept in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class AttentionPGSettings:
    """Attention model trained by REINFORCE, rollouts on one scenario as each other's baseline."""

    learning_rate: float = 1e-3
    """Step size (Adam)."""
    lr_last: float = 0.1
    """Share of the step size that is left at the end; it falls linearly."""
    n_rollouts: int = 8
    """Environments that play the same scenario, whose mean return is the baseline."""
    n_epochs: int = 4
    """Passes over a collection; 1, with all episodes in one batch, is plain REINFORCE."""
    batch_size: int = 8
    """Episodes an update, rounded to whole scenarios."""
    clip_range: float = 0.2
    """Clipping of the policy's ratio, for updates after the first."""
    ent_coef: float = 0.0
    """Weight of the entropy bonus; advantages have unit variance."""
    limit_margin: float = 0.95
    """The multiplier aims at this share of the cost limit, so that a finite evaluation holds the limit."""
    multiplier_init: float = 0.2
    """Lambda at the start, per limit of cost."""
    multiplier_lr: float = 0.05
    """Step size of lambda, one step a collection."""
    multiplier_method: Literal["softplus", "projected"] = "softplus"
    """How lambda moves: softplus with Adam, or a projected gradient step."""
    greedy_share: float = 0.25
    """Share of the environments that act greedily, on scenarios of their own, and feed the dual step."""
    constrained: bool = True
    """Off leaves the cost out: the multiplier stays at zero."""
    max_grad_norm: float = 1.0
    """Gradient clipping."""
    width: int = 64
    """Width of the encoder."""
    n_layers: int = 2
    """Transformer layers."""
    n_heads: int = 4
    """Attention heads."""
    step_width: int = 32
    """Width of what is computed for every region at every step."""
    balance: bool = True
    """Show the networks what restoring each region does to the balance between groups."""
