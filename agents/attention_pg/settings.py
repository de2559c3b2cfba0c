"""Settings of the attention model by policy gradient: what `AttentionPG` takes, and options of `train.py`.

Loads nothing heavy: a command line reads it for its help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

NETWORK = ("width", "n_layers", "n_heads", "step_width", "balance")
"""Settings that the policy takes."""


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

    @property
    def network(self) -> dict[str, Any]:
        """Keyword arguments of the policy."""
        return {name: getattr(self, name) for name in NETWORK}

    def check(self) -> None:
        """Raise `ValueError` for a value out of range."""
        if self.n_rollouts < 2:
            raise ValueError(f"n_rollouts must be at least 2, so that there is a baseline; got {self.n_rollouts!r}")
        if self.n_epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"n_epochs and batch_size must be at least 1; got {self.n_epochs!r} and {self.batch_size!r}"
            )
        if not 0 <= self.greedy_share < 1:
            raise ValueError(f"greedy_share must be in [0, 1); got {self.greedy_share!r}")
        if not 0 < self.limit_margin <= 1:
            raise ValueError(f"limit_margin must be in (0, 1]; got {self.limit_margin!r}")
        if not self.clip_range > 0:
            raise ValueError(f"clip_range must be above 0; got {self.clip_range!r}")
