"""A fit that validation stops keeps its best, and weights survive as plain arrays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stormgym.predictors.networks import fit_until_stopped, restore_weights, seeded, weights_as_arrays


def counting() -> nn.Linear:
    """One weight that begins at 0."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    return network


def run(losses: list[float], **settings: int) -> tuple[float, int, list[float], int]:
    """Weight left, best epoch, losses seen and epochs run, where each epoch adds 1 to the weight."""
    network, seen, epochs = counting(), iter(losses), [0]

    def epoch() -> None:
        assert network.training
        epochs[0] += 1
        with torch.no_grad():
            network.weight += 1.0

    best, found = fit_until_stopped(network, epoch, lambda: next(seen), **{"most": 10, "patience": 2, **settings})
    assert not network.training
    return float(network.weight.detach()), best, found, epochs[0]


def test_fit__keeps_the_best_epoch_and_stops_after_its_patience() -> None:
    assert run([3.0, 1.0, 2.0, 1.0, 9.0]) == (2.0, 2, [3.0, 1.0, 2.0, 1.0], 4)


def test_fit__ends_at_the_most_epochs() -> None:
    assert run([3.0, 2.0, 1.0], most=3) == (3.0, 3, [3.0, 2.0, 1.0], 3)


def test_fit__the_start_may_be_the_best() -> None:
    assert run([1.0, 2.0, 3.0], start_counts=True) == (0.0, 0, [1.0, 2.0, 3.0], 2)


def test_weights__survive_as_arrays_and_another_networks_are_an_error() -> None:
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    state = weights_as_arrays(first)
    restore_weights(second, {**state, "mean_": state["network.bias"]})
    assert torch.equal(first.weight, second.weight)
    with pytest.raises(RuntimeError, match="size mismatch"):
        restore_weights(nn.Linear(4, 2), state)


def test_seeded__repeats_itself_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    with seeded(3):
        first = torch.rand(2)
    with seeded(3):
        assert torch.equal(first, torch.rand(2))
    assert torch.equal(before, torch.get_rng_state())
