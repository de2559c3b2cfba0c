"""Load a pretrained policy by name."""

from __future__ import annotations

import os
from typing import Any, Protocol, runtime_checkable

from stormgym.agents.domain import load_entry
from stormgym.agents.policy import Policy
from stormgym.agents.pretrained.cards import Card, load_card, weights_file
from stormgym.agents.registry import agent_spec


@runtime_checkable
class Pretrained(Policy, Protocol):
    """A policy that comes with the package: it knows its card, and can tell whether an environment fits."""

    card: Card
    name: str

    def check(self, env: Any) -> None:
        """Raise `ValueError` unless it can act in the environment (Env, VectorEnv or VecEnv)."""
        ...


def load_pretrained(
    full_name: str,
    env: Any = None,
    *,
    device: str = "cpu",
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> Pretrained:
    """Return a pretrained agent: a policy that acts on single and batched observations.

    Args:
        full_name: AGENT:NAME, such as `"sta-sac:default"`; `known_pretrained()` lists them.
        env: the environment (Env, VectorEnv or VecEnv) that it will act in, to be checked now; None checks at the
            first observation.
        device: torch device.
        seed: of sampled actions, where `deterministic=False`.
        folder: where its files are; None takes the package's own.

    Raises:
        KeyError: no such agent; the message lists those there are.
        FileNotFoundError: its weights are missing.
        ValueError: torch lacks the device, the environment does not fit, or the weights do not fit the card's network.
    """
    card = load_card(full_name, folder)
    entry_point = agent_spec(card.agent).pretrained
    if entry_point is None:
        raise ValueError(f"{full_name!r} has a card, but agents of {card.agent!r} have no class that loads weights")
    from stormgym.agents.devices import check_device  # here, since it loads torch

    check_device(device, "device")
    policy: Pretrained = load_entry(entry_point)(card, weights_file(card, folder), device=device, seed=seed)
    if env is not None:
        policy.check(env)
    return policy
