"""From a name to a pretrained policy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from stormgym.agents.pretrained.cards import load_card, weights_file

if TYPE_CHECKING:
    from stormgym.agents.pretrained.sta_sac import PretrainedSTASAC


def load_pretrained(
    full_name: str,
    env: Any = None,
    *,
    device: str = "cpu",
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> PretrainedSTASAC:
    """Return a pretrained agent: a policy that acts on single and batched observations of any number of regions.

    Args:
        full_name: AGENT:NAME, such as `"sta-sac:default"`; `known_pretrained()` lists them.
        env: the environment (Env, VectorEnv or VecEnv) that it will act in, to be checked now; None checks at the
            first observation.
        device: torch device.
        seed: of the draws, where `predict` is asked for `deterministic=False`.
        folder: where its files are; None takes the package's own.

    Raises:
        KeyError: no such agent; the message lists those there are.
        FileNotFoundError: its weights are missing.
        ValueError: the environment does not fit, or the weights do not fit the network of the card.
    """
    card = load_card(full_name, folder)
    from stormgym.agents.pretrained.sta_sac import PretrainedSTASAC  # loads torch

    policy = PretrainedSTASAC(card, weights_file(card, folder), device=device, seed=seed)
    if env is not None:
        policy.check(env)
    return policy
