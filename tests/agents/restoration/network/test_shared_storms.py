"""Minibatches, advantages and clipping of storms that several episodes met."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stormgym.agents.restoration.network.features import scales_of
from stormgym.agents.restoration.network.scenarios import expected_to_go
from stormgym.agents.restoration.network.shared_storms import SharedStorms
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.restoration.layout import regions_of


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [3] * 5), (8, [6, 6, 3]), (100, [15])])
def test_minibatches__are_whole_storms_and_every_storm_once_a_pass(batch_size: int, sizes: list[int]) -> None:
    np.random.seed(0)
    episodes = np.arange(100, 115).reshape(5, 3)
    batches = SharedStorms(3, 2, batch_size, 0.2).minibatches(episodes)
    assert [batch.size for batch in batches] == sizes * 2
    for part in (batches[: len(sizes)], batches[len(sizes) :]):
        storms = np.concatenate(part).reshape(-1, 3)
        np.testing.assert_array_equal(storms[np.argsort(storms[:, 0])], episodes)
    np.random.seed(0)
    again = SharedStorms(3, 2, batch_size, 0.2).minibatches(episodes)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_minibatches__of_no_storm_are_none() -> None:
    assert SharedStorms(3, 2, 8, 0.2).minibatches(np.zeros((0, 3), dtype=np.int64)) == []


def test_objective__gains_nothing_beyond_the_clip() -> None:
    ratio = torch.tensor([0.5, 1.0, 1.5, 0.5, 1.0, 1.5], requires_grad=True)
    advantage = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0, -2.0])
    value = SharedStorms(2, 1, 2, 0.2).objective(ratio, advantage)
    torch.testing.assert_close(value, torch.tensor([1.0, 2.0, 2.4, -1.6, -2.0, -3.0]))
    (slope,) = torch.autograd.grad(value.sum(), ratio)
    torch.testing.assert_close(slope, torch.tensor([2.0, 2.0, 0.0, 0.0, -2.0, -2.0]))


def test_advantages__are_returns_to_go_beside_the_mean_of_the_storm() -> None:
    env = make_vec_env("Restoration-v0", 4, seed=0, city="synthetic:7:1")
    env.unwrapped._seeds = [5, 5, 6, 6]
    regions = torch.as_tensor(regions_of(env.reset()))  # type: ignore[arg-type]
    is_open = torch.ones(4, 7, 7, dtype=torch.bool)
    for row, step in np.ndindex(4, 7):
        is_open[row, step, np.random.default_rng(row).permutation(7)[:step]] = False
    gain = torch.rand(4, 7)
    scales = scales_of(regions)
    got = SharedStorms(2, 1, 2, 0.2).advantages(gain, regions, is_open, scales)
    guess = expected_to_go(regions, is_open, scales) / scales.total_hours
    for row, step in np.ndindex(4, 7):
        to_go = [float(gain[r, step:].sum() - guess[r, step]) for r in (row, row ^ 1)]
        assert float(got[row, step]) == pytest.approx((to_go[0] - to_go[1]) / 2, abs=1e-5)
