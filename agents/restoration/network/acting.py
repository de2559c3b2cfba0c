"""From observations to choices: what a trained actor needs to act, without critics, optimisers or a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stormgym.agents.attention.masking import masked_log_softmax
from stormgym.agents.attention.networks import Encoding, EpisodeNet, PaperNet
from stormgym.agents.restoration.network.features import EpisodeFeatures
from stormgym.envs.restoration.layout import regions_of


@dataclass
class Memory:
    """Encodings that the steps of an episode share: a cache, which does not change what is chosen."""

    features: EpisodeFeatures
    encoding: Encoding | None = None


@torch.no_grad()
def step_probs(
    actor: EpisodeNet | PaperNet,
    observation: dict[str, NDArray[Any]],
    state: Memory | None,
    start: NDArray[np.bool_],
    n_groups: int,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Memory]:
    """Probabilities of every region at one step.

    Args:
        actor: a network with one output a region.
        observation: of B environments with N regions each.
        state: of the steps before; it is made anew when None, when it is of another batch, or when an episode begins.
        start: `[B]` bool, rows whose episode begins here.
        n_groups: G.
        device: where the actor is.

    Returns:
        Probabilities `[B, N]`, zero for closed regions, and the next `state`.
    """

    def tensor(array: NDArray[Any], dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

    mask = tensor(observation["action_mask"], torch.bool)
    memory = state
    if memory is None or memory.features.tokens.shape[:2] != mask.shape or start.any():
        memory = Memory(EpisodeFeatures(tensor(regions_of(observation), torch.float32), n_groups))
    inputs = memory.features.at(
        tensor(observation["distance_km"], torch.float32)[:, None],
        tensor(observation["open"], torch.float32)[:, None],
        tensor(observation["crew"], torch.float32)[:, None],
    )
    if memory.encoding is None:
        memory.encoding = actor.encode(inputs)
    logits = actor.score(memory.encoding, inputs)[:, 0, :, 0]
    return masked_log_softmax(logits, mask).exp(), memory
