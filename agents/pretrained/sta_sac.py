"""A pretrained STA-SAC: its acting network alone, without critics, optimisers or an algorithm around it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stormgym.agents.attention.masking import choose
from stormgym.agents.attention.networks import SHAPES, EpisodeNet, PaperNet
from stormgym.agents.policy import BasePolicy
from stormgym.agents.pretrained.cards import Card
from stormgym.agents.pretrained.tokens import SHAPE, PretrainedTokens
from stormgym.agents.restoration.network.acting import step_probs
from stormgym.agents.restoration.network.features import N_STATIC, check_observation_space, n_crew_features
from stormgym.envs.arrays import Observation
from stormgym.envs.restoration.layout import n_groups_of

NETWORK = ("shape", "width", "n_layers", "n_heads", "step_width", "balance")
"""What a card says of the network; `update` as well where it was trained under a shock."""


class PretrainedSTASAC(BasePolicy):
    """A trained STA-SAC as a policy.

    Its network has one set of weights for all regions, so that cities may have any number of them. The groups are part
    of its input: their number must be that of the training.

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
        self.actor = read_weights(card, weights).to(self.device)
        self._rng = np.random.default_rng(seed)

    def act(
        self, observation: Observation, state: Any, episode_start: NDArray[np.bool_], deterministic: bool
    ) -> tuple[NDArray[np.int64], Any]:
        """Regions `[B]`; `state` holds the encodings that an episode's steps share, and only saves time."""
        self._check_groups(observation["crew"].shape[-1], "these observations have")
        probs, state = step_probs(self.actor, observation, state, episode_start, self.card.n_groups, self.device)
        return choose(probs, deterministic, self._rng), state

    @property
    def acting_network(self) -> tuple[EpisodeNet | PaperNet, int]:
        """The network that scores regions, and G, the number of groups that it was trained with."""
        return self.actor, self.card.n_groups

    def check(self, env: Any) -> None:
        """Raise `ValueError` unless it can act in the environment (Env, VectorEnv or VecEnv)."""
        space = getattr(env, "single_observation_space", None) or env.observation_space
        check_observation_space(space)
        self._check_groups(space["crew"].shape[0], "this environment has")

    def _check_groups(self, n_crew_columns: int, who: str) -> None:
        n_groups = n_groups_of(n_crew_columns)
        if n_groups != self.card.n_groups:
            raise ValueError(
                f"pretrained agent {self.name!r} was trained on cities with {self.card.n_groups} groups; {who} "
                f"{n_groups}. Take a city with {self.card.n_groups} groups (and any number of regions), or train on "
                f"your own: python train.py --agent {self.card.agent} --city CITY"
            )


def load_sta_sac(card: Card, weights: Path, *, device: str = "cpu", seed: int = 0) -> BasePolicy:
    """The pretrained policy of a card: over regions, or over tokens that its domain reads."""
    if card.network.get("shape") == SHAPE:
        return PretrainedTokens(card, weights, device=device, seed=seed)
    return PretrainedSTASAC(card, weights, device=device, seed=seed)


def write_weights(weights: Mapping[str, torch.Tensor], file: Path) -> Path:
    """Write a network's weights (its `state_dict()`) as float32 arrays; the same weights give the same bytes."""
    arrays: dict[str, Any] = {key: value.cpu().numpy().astype(np.float32) for key, value in weights.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **arrays)
    return file


def read_weights(card: Card, file: Path) -> EpisodeNet | PaperNet:
    """The acting network of a card, ready to act.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of weights, or not those of the card's network.
    """
    if not file.is_file():
        raise FileNotFoundError(f"pretrained agent {card.full_name!r} has a card and no weights: {file} does not exist")
    sizes = dict(card.network)
    try:
        with torch.random.fork_rng(devices=[]):  # fresh weights are drawn only to be replaced
            actor = SHAPES[sizes.pop("shape")](N_STATIC + card.n_groups, n_crew_features(card.n_groups), 1, **sizes)
        with np.load(file, allow_pickle=False) as arrays:
            weights = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
        actor.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, OSError, RuntimeError, zipfile.BadZipFile, AttributeError) as error:
        raise ValueError(
            f"{file} does not hold the weights of {card.full_name!r} with network {card.network} and "
            f"{card.n_groups} groups: {error}"
        ) from error
    return actor.eval().requires_grad_(False)
