"""Dispatch as a decision: prices of a flow add up to its cost, and clips that can be differentiated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stormgym.agents.dfl.losses import relaxed_plan
from stormgym.agents.dispatch.decision import DispatchProblem, simulated_events, soft_clip
from stormgym.envs.dispatch.profiles import resolve_profile

PROFILE = resolve_profile("A")
PROBLEM = DispatchProblem(PROFILE)


def flow_of(stock: np.ndarray) -> Tensor:
    """The vector x of whole stocks `[T, K]`: trips from their changes, segments filled in order."""
    change = np.diff(stock, axis=0, prepend=0)
    filled = (np.arange(PROBLEM.n_segments) < stock[..., None]).astype(float)
    home = PROFILE.generators - stock.sum(axis=1)
    parts = (torch.as_tensor(part, dtype=torch.float64) for part in (filled, np.maximum(change, 0), -change, home))
    segments, out, back, rest = parts
    return PROBLEM.constraints.pack(segments, out=out, back=back.clamp_min(0), home=rest)


@pytest.mark.parametrize("seed", range(3))
def test_prices__of_a_plan_add_up_to_its_cost(seed: int) -> None:
    wave = simulated_events(PROFILE, 1, seed).outcomes  # [1, T, K]
    stock = PROBLEM.decide(simulated_events(PROFILE, 1, seed + 50).outcomes[None])  # a plan for another storm
    x = flow_of(stock[0])
    prices = PROBLEM.prices(torch.as_tensor(wave))[0]
    nothing = PROFILE.interruption_cost * wave.sum()
    assert (prices * x).sum().item() + nothing == pytest.approx(PROBLEM.cost(stock, wave)[0])
    np.testing.assert_allclose(PROBLEM.constraints.times(x[None]), PROBLEM.constraints.b[None], atol=1e-12)
    best = relaxed_plan(PROBLEM, prices[None])
    whole = PROBLEM.cost(PROBLEM.decide(wave[None]), wave)[0]
    assert (prices * best[0]).sum().item() + nothing == pytest.approx(whole, rel=1e-4)  # the flow is integral


def test_soft_clip__is_the_mean_of_clips_with_logistic_noise() -> None:
    x = torch.linspace(-150.0, 250.0, 41, dtype=torch.float64)
    exact = soft_clip(x, 100.0, 20.0)
    noise = np.random.default_rng(0).logistic(scale=20.0, size=(40_000, 1))
    np.testing.assert_allclose(exact, np.clip(x.numpy() + noise, 0, 100).mean(axis=0), atol=0.8)
    np.testing.assert_allclose(soft_clip(x, 100.0, 1e-3), x.clamp(0, 100), atol=1e-2)
