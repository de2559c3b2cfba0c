"""Ranking within a budget: the law of plans, its price, and gradients."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stormgym.agents.dfl.losses import EnergyLoss, ListwiseLoss
from stormgym.agents.dfl.losses.listwise import budget_price, constrained_log_sum, logits
from stormgym.agents.undergrounding.decision import KnapsackProblem

NOISE = torch.Generator()


def problem_of(seed: int, k: int = 6, budget: float = 0.4) -> KnapsackProblem:
    rng = np.random.default_rng(seed)
    cost = rng.uniform(1.0, 5.0, k)
    return KnapsackProblem(cost, budget * float(cost.sum()), rng.uniform(0.5, 2.0, k))


def hours_of(seed: int, n: int = 8, k: int = 6) -> Tensor:
    return torch.as_tensor(np.random.default_rng([seed, 1]).gamma(2.0, 3.0, (n, k)))


def value(loss: Any, problem: KnapsackProblem, forecast: Tensor, outcomes: Tensor) -> Tensor:
    found: Tensor = loss(problem, forecast, outcomes, loss.targets(problem, outcomes), NOISE).value
    return found


@given(seed=st.integers(0, 10_000), temperature=st.floats(0.05, 50.0))
@settings(max_examples=25, deadline=None)
def test_budget_price__makes_the_mean_plan_spend_the_budget(seed: int, temperature: float) -> None:
    problem = problem_of(seed)
    gain = problem.gains(hours_of(seed))
    price = budget_price(problem, gain, temperature)
    spent = torch.sigmoid(logits(problem, gain, temperature)) @ torch.as_tensor(problem.protect_cost)
    assert (price >= 0).all()
    assert (spent <= problem.budget * (1 + 1e-6)).all()
    torch.testing.assert_close(spent[price[:, 0] > 0], torch.full_like(spent[price[:, 0] > 0], problem.budget))


def test_log_sum__is_the_most_that_a_plan_and_its_entropy_reach_within_the_budget() -> None:
    """F(g) = max over P within the budget of P.g / T + entropy: no grid of plans is better, and P attains it."""
    problem, gain = KnapsackProblem([1.0, 2.0, 1.5], 2.0, [1.0, 1.0, 1.0]), torch.tensor([[2.0, 3.0, 0.5]]).double()
    p = torch.sigmoid(logits(problem, gain, 1.3))[0]
    grid = torch.tensor(list(product(np.linspace(1e-9, 1 - 1e-9, 81), repeat=3)))
    grid = torch.cat([grid[grid @ torch.as_tensor(problem.protect_cost) <= 2.0], p[None]])
    entropy = torch.special.entr(grid).sum(-1) + torch.special.entr(1 - grid).sum(-1)
    reached = (grid * gain).sum(-1) / 1.3 + entropy
    best = constrained_log_sum(problem, gain, 1.3).item()
    assert reached[-1].item() == pytest.approx(best, abs=1e-9)
    assert reached.max().item() == pytest.approx(best, abs=1e-9)


def test_gradient__is_the_mean_plan_less_the_target_and_agrees_with_finite_differences() -> None:
    problem, outcomes = problem_of(1), hours_of(2)
    forecast = hours_of(3)[None].requires_grad_()
    loss = ListwiseLoss(2.0, mle_weight=0.7, kl_weight=0.3)
    best, soft = loss.targets(problem, outcomes)
    (gradient,) = torch.autograd.grad(value(loss, problem, forecast, outcomes).sum(), forecast)
    mean = torch.sigmoid(logits(problem, problem.gains(forecast[0].detach()), 2.0))
    expected = (mean - 0.7 * best - 0.3 * soft) / 2.0 * torch.as_tensor(problem.weights)
    torch.testing.assert_close(gradient[0], expected)
    for place in range(0, gradient.numel(), 5):
        step = torch.zeros(gradient.numel()).double()
        step[place] = 1e-4
        with torch.no_grad():
            ends = [value(loss, problem, forecast + s * step.view_as(forecast), outcomes).sum() for s in (1, -1)]
        assert gradient.flatten()[place].item() == pytest.approx((ends[0] - ends[1]).item() / 2e-4, rel=1e-5, abs=1e-8)


def test_loss__of_a_budget_that_pays_for_all_is_that_of_the_energy_based_model() -> None:
    """Then each is chosen by itself, and l_MLE is logistic regression on what was among the best."""
    problem, outcomes, forecast = problem_of(4, budget=1.0), hours_of(4), hours_of(5)[None]
    for mle, kl in ((1.0, 0.0), (0.0, 1.0), (1.0, 0.01)):
        ours = value(ListwiseLoss(3.0, mle, kl), problem, forecast, outcomes)
        theirs = value(EnergyLoss(3.0, mle_weight=mle, kl_weight=kl), problem, forecast, outcomes)
        torch.testing.assert_close(ours, theirs)
    logit = problem.gains(forecast[0]) / 3.0
    chosen = torch.as_tensor(problem.decide(outcomes.numpy()[None]))
    regression = torch.nn.functional.binary_cross_entropy_with_logits(logit, chosen, reduction="none").sum(-1)
    torch.testing.assert_close(value(ListwiseLoss(3.0, 1.0, 0.0), problem, forecast, outcomes), regression)


def test_kl__is_least_at_the_truth_and_mle_knows_the_order_alone() -> None:
    problem, outcomes = problem_of(6), hours_of(6)
    kl, mle = ListwiseLoss(1.0, 0.0, 1.0), ListwiseLoss(1.0, 1.0, 0.0)
    at_truth = value(kl, problem, outcomes[None], outcomes)
    for seed in range(20):
        assert (value(kl, problem, hours_of(seed + 50)[None], outcomes) >= at_truth - 1e-9).all()
    equal = KnapsackProblem(np.ones(6), 2.0)
    spread = value(mle, equal, 50.0 * outcomes[None], outcomes)
    assert (spread < value(mle, equal, outcomes[None], outcomes)).all()  # the same order, more surely
    shifted = value(mle, equal, outcomes[None] + 7.0, outcomes)
    torch.testing.assert_close(shifted, value(mle, equal, outcomes[None], outcomes))  # a common shift is nothing
    bare = EnergyLoss(1.0, kl_weight=0.0)  # but where the budget is left out it is
    assert (value(bare, equal, outcomes[None] + 7.0, outcomes) > value(bare, equal, outcomes[None], outcomes)).all()


def test_loss__leaves_out_what_no_budget_pays_for_and_takes_the_mean_of_samples() -> None:
    problem = KnapsackProblem([2.0, 9.0, 2.5], 4.0)
    outcomes, samples = hours_of(7, 4, 3), torch.stack([hours_of(seed, 4, 3) for seed in (8, 9)])
    assert logits(problem, problem.gains(outcomes), 1.0)[:, 1].eq(-math.inf).all()
    loss = ListwiseLoss(0.5, 1.0, 1.0)
    moved = samples + torch.tensor([0.0, 5.0, 0.0])
    torch.testing.assert_close(
        value(loss, problem, samples, outcomes), value(loss, problem, samples.mean(0, keepdim=True), outcomes)
    )
    torch.testing.assert_close(value(loss, problem, moved, outcomes), value(loss, problem, samples, outcomes))


def test_loss__bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"temperature must be above 0 and finite, in units of cost; got 0\.0"):
        ListwiseLoss(0.0)
    with pytest.raises(ValueError, match=r"must be at least 0 and not both 0; got 0\.0, 0\.0"):
        ListwiseLoss(1.0, 0.0, 0.0)
