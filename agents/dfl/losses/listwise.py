"""Ranking what to choose within a budget: the energy-based model of a linear choice, with the budget kept by its price.

Choosing k saves g_k and costs b_k, so the energy E(x, a) = sum_k g_k (1 - a_k) is linear in the plan a. Without the
budget q ~ exp(-E / T) chooses each k by itself, with logit g_k / T, and l_MLE is logistic regression on "was k among
the best" (`so-ebm` on such a decision). But nothing saves less than 0, so every logit is positive and all is chosen
more often than not: that loss pushes down to 0 what is not among the best. Here plans keep the budget in the mean. Of
all such laws the one of most entropy has

    logit_k = (g_k - nu b_k) / T,      nu >= 0 the price of the budget: sum_k b_k P(a_k = 1) <= B,
    log Z - sum_k g_k / T = F(g) = min over nu >= 0 of  sum_k log(1 + exp((g_k - nu b_k) / T)) + nu B / T.

Both losses of SO-EBM (`stormgym.agents.dfl.losses.energy`) are then F(g) - t.g / T, convex in g with gradient
(P - t) / T: t is the best plan in hindsight in l_MLE, and what P would be of the true g in l_KL. They are Fenchel-Young
losses (Blondel, Martins and Niculae 2020). A common shift of all g_k / b_k moves the price and nothing else: what is
learnt is the order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from stormgym.agents.dfl.decision import Decision, Forecast
from stormgym.agents.dfl.losses.contract import LossValue

N_HALVINGS = 60


class Choice(Decision, Protocol):
    """A decision on which of K things to choose within a budget, linear in what each saves."""

    protect_cost: Any
    """`[K]` b, above 0."""
    budget: float
    """B."""

    def gains(self, outcomes: Tensor) -> Tensor:
        """What each saves `[..., K]`, at least 0."""
        ...


@dataclass(frozen=True)
class ListwiseLoss:
    """mle_weight l_MLE + kl_weight l_KL of plans that keep the budget in the mean; constants are left out.

    Cost: one bisection a season and step; no linear or quadratic program. Source: SO-EBM eq. 3-5, with the constraint.

    Attributes:
        temperature: T, in units of cost.
        mle_weight: weight of l_MLE, which knows of the truth only which plan is best.
        kl_weight: weight of l_KL, which knows how much each saved, where that is within some T of the price.

    Raises:
        ValueError: a setting out of range.
    """

    temperature: float = 1.0
    mle_weight: float = 1.0
    kl_weight: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be above 0 and finite, in units of cost; got {self.temperature!r}")
        if self.mle_weight < 0 or self.kl_weight < 0 or self.mle_weight + self.kl_weight == 0:
            raise ValueError(
                f"mle_weight and kl_weight must be at least 0 and not both 0; got {self.mle_weight}, {self.kl_weight}"
            )

    def targets(self, decision: Choice, outcomes: Tensor) -> tuple[Tensor, ...]:
        """t of l_MLE, the best plans in hindsight, and t of l_KL, each `[E, K]`."""
        best = torch.as_tensor(np.asarray(decision.decide(outcomes.numpy()[None])), dtype=outcomes.dtype)
        gain = decision.gains(outcomes)
        return best, torch.sigmoid(logits(decision, gain, self.temperature))

    def scale(self, targets: tuple[Tensor, ...]) -> float:
        """1."""
        del targets
        return 1.0

    def __call__(
        self,
        decision: Choice,
        forecast: Forecast,
        outcomes: Tensor,
        targets: tuple[Tensor, ...],
        noise: torch.Generator,
    ) -> LossValue:
        """The loss `[B]` of samples `[S, B, K]`, through the mean of what they save."""
        del outcomes, noise
        best, soft = targets
        gain = decision.gains(forecast).mean(dim=0)
        both = self.mle_weight * best + self.kl_weight * soft
        weight = self.mle_weight + self.kl_weight
        log_sum = constrained_log_sum(decision, gain, self.temperature)
        return LossValue(weight * log_sum - (both * gain).sum(dim=-1) / self.temperature)


def constrained_log_sum(decision: Choice, gain: Tensor, temperature: float) -> Tensor:
    """F `[...]` of gains `[..., K]`; its gradient is P / T."""
    # at the best price the derivative in the price is 0 (or the price is), so it is held
    price = budget_price(decision, gain, temperature)
    cost = torch.as_tensor(decision.protect_cost, dtype=gain.dtype)
    log_odds = nn.functional.softplus((gain - price * cost) / temperature) * _possible(decision, gain)
    return log_odds.sum(dim=-1) + price[..., 0] * decision.budget / temperature


def logits(decision: Choice, gain: Tensor, temperature: float) -> Tensor:
    """Logits `[..., K]` of choosing each; -inf for what is dearer than the whole budget."""
    cost = torch.as_tensor(decision.protect_cost, dtype=gain.dtype)
    found = (gain - budget_price(decision, gain, temperature) * cost) / temperature
    return found.masked_fill(_possible(decision, gain) == 0.0, -math.inf)


def budget_price(decision: Choice, gain: Tensor, temperature: float) -> Tensor:
    """nu `[..., 1]`, without gradient: by bisection where the budget binds, else 0."""
    with torch.no_grad():
        cost, possible = torch.as_tensor(decision.protect_cost, dtype=gain.dtype), _possible(decision, gain)

        def too_dear(price: Tensor) -> Tensor:
            share = torch.sigmoid((gain - price * cost) / temperature) * possible
            return (share * cost).sum(dim=-1, keepdim=True) > decision.budget

        low = torch.zeros_like(gain[..., :1])
        # where every logit is at most -log(sum b / B), what is spent is at most B
        least = math.log(max(float(cost.sum()) / decision.budget, 1.0)) * temperature / float(cost.min())
        high = (gain / cost).amax(dim=-1, keepdim=True).clamp_min(0.0) + least
        binds = too_dear(low)
        for _ in range(N_HALVINGS):
            price = 0.5 * (low + high)
            over = too_dear(price)
            low, high = torch.where(over, price, low), torch.where(over, high, price)
        return torch.where(binds, 0.5 * (low + high), torch.zeros_like(low))


def _possible(decision: Choice, gain: Tensor) -> Tensor:
    """`[K]` 1 for what the budget can pay, else 0."""
    cost = torch.as_tensor(decision.protect_cost, dtype=gain.dtype)
    return (cost <= decision.budget * (1.0 + 1e-9)).to(gain.dtype)
