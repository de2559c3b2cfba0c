"""Rewards, costs and the price of a cost as STA-SAC learns from them: without units and without the luck of repairs."""

from __future__ import annotations

from torch import Tensor

from stormgym.agents.attention.multiplier import LagrangeMultiplier
from stormgym.agents.restoration.network.features import CREW, Scales
from stormgym.agents.sta_sac.buffer import EpisodeBatch
from stormgym.agents.sta_sac.control_variate import without_luck
from stormgym.agents.sta_sac.policy import STASACPolicy
from stormgym.agents.sta_sac.settings import STASACSettings


class Rewards:
    """Turns what environments paid into what the networks learn from.

    Rewards are divided by an episode's unit of return, costs by its limit; so cities of different size, and episodes of
    different limits, count alike. With `control_variate` the luck of repair durations is taken out of both, and the
    line that says what a repair should take is fitted on the way.

    Args:
        policy: its `forecast` is the line, moved by `forecast_optimizer`.
        multiplier: lambda of each episode.
        settings: `control_variate`, `constrained` and `limit_margin` are read.
        shock: repairs of a storm share a factor, which is no luck: it can be told from the repairs seen so far.
    """

    def __init__(
        self, policy: STASACPolicy, multiplier: LagrangeMultiplier, settings: STASACSettings, shock: bool
    ) -> None:
        self.policy = policy
        self.multiplier = multiplier
        self.settings = settings
        self.shock = shock

    def of(self, batch: EpisodeBatch, scales: Scales) -> tuple[Tensor, Tensor]:
        """Rewards in units of return and costs in limits, each `[M, T]`; also fits what repairs should take."""
        reward, cost = batch.rewards, batch.costs
        if self.settings.control_variate:
            late = self.fit(batch, scales)
            if self.shock:
                late = self.policy.forecast.surprise(batch, scales, self.policy.n_groups).detach()
            reward, cost = without_luck(batch, late, scales, self.policy.n_groups)
        return reward / scales.total_hours, cost / batch.crew[..., CREW["cost_limit_h"]]

    def fit(self, batch: EpisodeBatch, scales: Scales) -> Tensor:
        """One step of the line towards the repairs of these episodes; by how much (h) each took longer, `[M, T]`."""
        policy = self.policy
        late = policy.forecast.surprise(batch, scales)
        policy.forecast_optimizer.zero_grad()
        ((late / scales.hours).square().sum() / batch.valid.sum()).backward()
        policy.forecast_optimizer.step()
        return late.detach()

    def price(self, batch: EpisodeBatch, scales: Scales) -> Tensor:
        """What a cost of one limit takes off the return, `[M, T]`.

        The multiplier aims at `limit_margin * d`, so lambda is per that; costs here are in limits d.
        """
        limits = batch.crew[..., CREW["cost_limit_h"]]
        lam = self.multiplier.of(limits, scales.total_hours.expand_as(limits)) * float(self.settings.constrained)
        return lam / self.settings.limit_margin
