"""Rewards, costs and the price of a cost as STA-SAC learns from them: without units and without the luck of repairs."""

from __future__ import annotations

import torch
from torch import Tensor

from stormgym.agents.attention.multiplier import LagrangeMultiplier
from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.restoration.network.features import Scales
from stormgym.agents.sta_sac.policy import STASACPolicy
from stormgym.agents.sta_sac.settings import STASACSettings

CHANCE_WIDTH = 0.1
"""Half-width, in what lambda aims at, of the ramp in place of the step at the limit, where a share of episodes must be
within it: of a storm whose rollouts are all on one side of a step nothing would be learnt. The dual step counts
episodes beyond the limit, so what the ramp is off moves lambda and not the constraint."""


class Rewards:
    """Turns what environments paid into what the networks learn from.

    Rewards are divided by an episode's unit of return, costs by its limit; so cities of different size, and episodes of
    different limits, count alike. With `control_variate` the luck of repair durations is taken out of both, and the
    line that says what a repair should take is fitted on the way.

    Where the limit is on the tail of the cost, a step costs what it adds to g of the cost so far (`RiskMeasure`), so
    that an episode's steps add up to its g. Luck stays in it: a tail is made of it, and the other rollouts of a storm
    have had the same.

    Args:
        policy: its `forecast` is the line, moved by `forecast_optimizer`.
        multiplier: lambda of each episode.
        settings: `control_variate` and `constrained` are read.
        limit_margin: share of a limit that the multiplier aims at.
        shock: repairs of a storm share a factor, which is no luck: it can be told from the repairs seen so far.
    """

    def __init__(
        self,
        policy: STASACPolicy,
        multiplier: LagrangeMultiplier,
        settings: STASACSettings,
        limit_margin: float,
        shock: bool,
    ) -> None:
        self.policy = policy
        self.multiplier = multiplier
        self.settings = settings
        self.limit_margin = limit_margin
        self.shock = shock

    def of(self, batch: EpisodeBatch, scales: Scales) -> tuple[Tensor, Tensor]:
        """Rewards in units of return and costs in limits, each `[M, T]`; also fits what repairs should take."""
        reward, cost = batch.rewards, batch.costs
        if self.settings.control_variate:
            reward, cost = self.policy.without_luck(batch, scales, self.shock)
        if self.multiplier.measure.is_mean:
            return reward / scales.total_hours, cost / self.policy.limits(batch)
        return reward / scales.total_hours, self.limit_margin * self.growth_of_burden(batch, scales)

    def growth_of_burden(self, batch: EpisodeBatch, scales: Scales) -> Tensor:
        """What each step adds to g of the cost so far `[M, T]`, in what lambda aims at; an episode's steps sum to g."""
        limits = self.policy.limits(batch)[:, :1]
        so_far = (batch.costs * batch.valid).cumsum(1) / (limits * self.limit_margin)
        burden = self.multiplier.burden(so_far, limits, scales.total_hours, CHANCE_WIDTH)
        return torch.diff(burden, dim=1, prepend=torch.zeros_like(burden[:, :1]))

    def fit(self, batch: EpisodeBatch, scales: Scales) -> Tensor:
        """One step of the line towards the repairs of these episodes; by how much (h) each took longer, `[M, T]`."""
        return self.policy.fit_forecast(batch, scales)

    def price(self, batch: EpisodeBatch, scales: Scales) -> Tensor:
        """What a cost of one limit takes off the return, `[M, T]`.

        The multiplier aims at `limit_margin * d`, so lambda is per that; costs here are in limits d.
        """
        limits = self.policy.limits(batch)
        lam = self.multiplier.of(limits, scales.total_hours.expand_as(limits)) * float(self.settings.constrained)
        return lam / self.limit_margin
