"""Probabilities over choices of which some are closed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CLOSED = -1e9
"""Logit of a closed choice."""


def masked_log_softmax(logits: Tensor, action_mask: Tensor) -> Tensor:
    """Log probabilities over the last axis, with True = allowed in the mask."""
    return torch.log_softmax(logits.masked_fill(~action_mask, CLOSED), dim=-1)


def choose(probs: Tensor, deterministic: bool, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
    """Most probable or drawn choices `[B]` of probabilities `[B, N]`.

    Draws come from `rng`, or from NumPy's global generator, which Stable-Baselines3 seeds and saves.
    """
    p = probs.cpu().numpy()
    if deterministic:
        return p.argmax(axis=1)
    # exponential races: argmin E/p is a draw from p, and closed choices (p = 0) never win
    race = np.random.exponential(size=p.shape) if rng is None else rng.exponential(size=p.shape)
    with np.errstate(divide="ignore"):
        return (race / p).argmin(axis=1)
