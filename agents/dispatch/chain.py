"""Sums over all plans of whole generators: the stock of a county is a chain over days.

With the warehouse's row left out a plan costs a sum over counties, in each a sum over days of what its stock costs
there and over the trips between one day and the next. So the sum of exp(-cost / T) over all (J + 1)^D paths of a
county's stock over D days needs D products with a matrix of (J + 1)^2, and no sampling (the forward algorithm of hidden
Markov models).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class StockChain(NamedTuple):
    """B cases; each of K counties has 0 to J generators on each of T days, none before and none after."""

    stay: Tensor
    """`[B, T, K, J + 1]` what j generators in a county cost on a day."""
    trip: Tensor
    """`[B]` what one generator's trip costs, each way."""

    def log_sum(self, temperature: float) -> Tensor:
        """log of the sum of exp(-cost / temperature) over all plans, `[B]`, differentiable in both costs."""
        stay, trip = self.stay / temperature, (self.trip / temperature)[:, None, None]
        level = torch.arange(stay.shape[-1], dtype=stay.dtype)
        moves = trip[..., None] * (level[:, None] - level).abs()  # [B, 1, J + 1 before, J + 1 now]
        home = trip * level  # [B, 1, J + 1]
        forward = -home - stay[:, 0]  # [B, K, J + 1] of all paths that end in each stock
        for day in range(1, stay.shape[1]):
            forward = torch.logsumexp(forward[..., None] - moves, dim=-2) - stay[:, day]
        return torch.logsumexp(forward - home, dim=-1).sum(dim=-1)

    def means(self, temperature: float) -> tuple[Tensor, Tensor]:
        """Of plans drawn with probability ~ exp(-cost / temperature): the probability of each stock, and mean trips.

        Returns:
            `[B, T, K, J + 1]` probabilities, and `[B]` trips in all, without gradient: the derivatives of `log_sum`.
        """
        with torch.enable_grad():
            stay, trip = (cost.detach().requires_grad_() for cost in self)
            slopes = torch.autograd.grad(StockChain(stay, trip).log_sum(temperature).sum(), (stay, trip))
        probability, trips = (-temperature * slope for slope in slopes)
        return probability, trips
