"""What small networks share: seeded weights, a fit that validation stops, and weights as plain arrays."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

_PREFIX = "network."


@contextmanager
def seeded(random_state: int) -> Iterator[None]:
    """Torch's own generator, seeded for a block and put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_state)
        yield


def fit_until_stopped(
    network: nn.Module,
    epoch: Callable[[], None],
    validation_loss: Callable[[], float],
    *,
    most: int,
    patience: int,
    start_counts: bool = False,
) -> tuple[int, list[float]]:
    """Train until the validation loss has not fallen for a while, and leave the network at its best.

    Args:
        network: what learns; in training mode during an epoch, and evaluated outside of it.
        epoch: one pass of gradient steps.
        validation_loss: of the network as it is, called without gradients.
        most, patience: epochs at most, and without a better loss.
        start_counts: whether the untrained network is a candidate, as epoch 0.

    Returns:
        The best epoch (1 the first), and the loss of each candidate.
    """
    best, least, best_epoch = copy.deepcopy(network.state_dict()), math.inf, 0
    losses: list[float] = []
    for number in range(0 if start_counts else 1, most + 1):
        if number:
            network.train()
            epoch()
            network.eval()
        with torch.no_grad():
            losses.append(validation_loss())
        if losses[-1] < least:
            best, least, best_epoch = copy.deepcopy(network.state_dict()), losses[-1], number
        elif number - best_epoch >= patience:
            break
    network.load_state_dict(best)
    network.eval()
    return best_epoch, losses


def weights_as_arrays(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Weights by name, as plain arrays."""
    return {f"{_PREFIX}{name}": value.numpy().copy() for name, value in network.state_dict().items()}


def restore_weights(network: nn.Module, state: Mapping[str, NDArray[Any]]) -> None:
    """Take weights from `weights_as_arrays`, whatever else the state holds.

    Raises:
        RuntimeError: names or shapes of another network.
    """
    weights = {name.removeprefix(_PREFIX): values for name, values in state.items() if name.startswith(_PREFIX)}
    network.load_state_dict({name: torch.as_tensor(np.array(values)) for name, values in weights.items()})
    network.eval()
