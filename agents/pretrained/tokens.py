"""A pretrained STA-SAC over tokens: its acting network alone, and its domain's way to read observations."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stormgym.agents.attention.masking import choose
from stormgym.agents.attention.reading import Reading
from stormgym.agents.attention.token_net import TokenNet, step_probs
from stormgym.agents.domain import load_entry
from stormgym.agents.policy import BasePolicy
from stormgym.agents.pretrained.cards import Card
from stormgym.agents.registry import domain_of
from stormgym.envs.arrays import Observation

SHAPE = "tokens"
"""What a card calls the network."""
SIZES = ("width", "n_layers", "n_heads", "step_width")
"""What a card says of it, beside the widths of tokens: `choice`, `actor` and `common`."""


class PretrainedTokens(BasePolicy):
    """A trained STA-SAC over tokens as a policy; jobs and crews, or counties, may be as many as they like.

    Args:
        card: its card, which says the network's sizes and its groups.
        weights: its `AGENT-NAME.npz`.
        device: torch device.
        seed: of sampled actions, where `deterministic` is False.
    """

    def __init__(self, card: Card, weights: Path, *, device: str = "cpu", seed: int = 0) -> None:
        self.card = card
        self.name = card.full_name
        self.device = torch.device(device)
        entry = domain_of(card.trained_on.env_id).tokens
        if entry is None:
            raise ValueError(f"the domain of {card.trained_on.env_id} does not say how its observations are read")
        self.reading: Reading = load_entry(entry)
        self.actor = _read(card, weights).to(self.device)
        self._rng = np.random.default_rng(seed)

    def act(
        self, observation: Observation, state: Any, episode_start: NDArray[np.bool_], deterministic: bool
    ) -> tuple[NDArray[np.int64], Any]:
        """Actions `[B]`, or `[B, K]` where they have K parts."""
        memory = state
        if self.reading.recall is not None:
            observation, memory = self.reading.recall(observation, state, episode_start)

        def one(asked: Observation) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
            assert self.reading.tokens is not None
            tokens = self.reading.tokens(asked)
            self._check_width(tokens.common.shape[-1], "these observations have")
            probs = step_probs(self.actor, tokens, asked["action_mask"], self.device)
            choice = choose(probs, deterministic, self._rng)
            return choice, probs.cpu().numpy()[np.arange(len(choice)), choice].astype(np.float64)

        parts = self.reading.parts
        if parts is None:
            return one(observation)[0], memory
        return parts.join(observation, parts.choose(observation, one)[0]), memory

    @property
    def acting_network(self) -> tuple[TokenNet, int]:
        """The network that scores choices, and G, the number of groups that it was trained with."""
        return self.actor, self.card.n_groups

    def check(self, env: Any) -> None:
        """Raise `ValueError` unless it can act in the environment (Env, VectorEnv or VecEnv)."""
        space = getattr(env, "single_observation_space", None) or env.observation_space
        if not self.reading.fits(space):
            raise ValueError(
                f"pretrained agent {self.name!r} reads an observation {self.reading.needs}; this environment has "
                f"{space}. It plays {self.card.trained_on.env_id}"
            )
        assert self.reading.sizes is not None
        self._check_width(self.reading.sizes(space).common, "this environment has")

    def _check_width(self, common: int, who: str) -> None:
        if common != self.card.network["common"]:
            raise ValueError(
                f"pretrained agent {self.name!r} was trained on cities with {self.card.n_groups} groups; {who} another "
                f"number. Take a city with {self.card.n_groups} groups, or train on your own: "
                f"python train.py --env {self.card.trained_on.env_id} --agent {self.card.agent} --city CITY"
            )


def _read(card: Card, file: Path) -> TokenNet:
    """The acting network of a card, ready to act.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of weights, or not those of the card's network.
    """
    if not file.is_file():
        raise FileNotFoundError(f"pretrained agent {card.full_name!r} has a card and no weights: {file} does not exist")
    try:
        choice, actor_width, common = (int(card.network[name]) for name in ("choice", "actor", "common"))
        with torch.random.fork_rng(devices=[]):  # fresh weights are drawn only to be replaced
            actor = TokenNet(choice, actor_width, common, 1, **{name: card.network[name] for name in SIZES})
        with np.load(file, allow_pickle=False) as arrays:
            actor.load_state_dict({key: torch.from_numpy(arrays[key]) for key in arrays.files})
    except (KeyError, TypeError, ValueError, OSError, RuntimeError, zipfile.BadZipFile, AttributeError) as error:
        raise ValueError(
            f"{file} does not hold the weights of {card.full_name!r} with network {card.network}: {error}"
        ) from error
    return actor.eval().requires_grad_(False)
