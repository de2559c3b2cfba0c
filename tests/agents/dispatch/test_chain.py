"""Sums over all plans of a chain: by hand, and against every path."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from stormgym.agents.dispatch.chain import StockChain


def chain_of(seed: int, t: int = 4, k: int = 2, levels: int = 3) -> StockChain:
    rng = np.random.default_rng(seed)
    return StockChain(torch.as_tensor(rng.uniform(0.0, 5.0, (2, t, k, levels))), torch.as_tensor(rng.uniform(0, 2, 2)))


def path_costs(chain: StockChain, case: int, county: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All paths of one county `[P, T]`, their costs and their trips."""
    stay, trip = chain.stay[case, :, county].numpy(), float(chain.trip[case])
    paths = np.array(list(product(range(stay.shape[1]), repeat=len(stay))))
    trips = np.abs(np.diff(paths, axis=1, prepend=0, append=0)).sum(axis=1)
    return paths, stay[np.arange(len(stay)), paths].sum(axis=1) + trip * trips, trips


def test_log_sum__of_one_day_and_one_generator_is_by_hand() -> None:
    chain = StockChain(torch.tensor([[[[7.0, 2.0]]]]).double(), torch.tensor([1.5]).double())
    expected = math.log(math.exp(-7.0 / 2.0) + math.exp(-(2.0 + 2 * 1.5) / 2.0))  # out and home again
    assert chain.log_sum(2.0).item() == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 30.0])
def test_log_sum_and_means__are_those_of_all_paths(temperature: float) -> None:
    chain = chain_of(1)
    probability, trips = chain.means(temperature)
    for case in range(2):
        log_sum, mean_trips = 0.0, 0.0
        for county in range(2):
            paths, costs, moved = path_costs(chain, case, county)
            log_sum += float(torch.logsumexp(torch.as_tensor(-costs / temperature), 0))
            law = np.exp(-(costs - costs.min()) / temperature)
            law /= law.sum()
            mean_trips += float(law @ moved)
            for level in range(3):
                np.testing.assert_allclose(probability[case, :, county, level], law @ (paths == level), atol=1e-12)
        assert chain.log_sum(temperature)[case].item() == pytest.approx(log_sum, rel=1e-12)
        assert trips[case].item() == pytest.approx(mean_trips)
    torch.testing.assert_close(probability.sum(-1), torch.ones(2, 4, 2).double())


def test_log_sum__when_cold_is_the_cheapest_plan() -> None:
    chain = chain_of(2)
    least = [sum(path_costs(chain, case, county)[1].min() for county in range(2)) for case in range(2)]
    np.testing.assert_allclose(-1e-4 * chain.log_sum(1e-4), least, rtol=1e-9)
    assert torch.isfinite(chain.log_sum(1e-9)).all()
