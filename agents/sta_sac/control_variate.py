"""Rewards and costs without the luck of repair durations: a control variate for returns and critics' targets.

Most of what makes one episode's return differ from another's is not what was chosen but how long repairs took beside
their forecasts. That part is known once the episode is over, its effect on rewards and costs is known in closed form,
and its mean is zero; so it can be taken out of them, which leaves every expectation and far less variance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stormgym.agents.restoration.network.episodes import EpisodeBatch
from stormgym.agents.restoration.network.features import CREW, Scales, group_one_hot, split_groups, travel_hours
from stormgym.envs.equity import pair_matrix
from stormgym.envs.restoration.layout import COLUMN


class Forecast(nn.Module):
    """Expected repair hours given the mean forecast: a + b * forecast, a in mean forecasts of the episode.

    Forecasts are spread a little wider than what they forecast: the shortest ones are too short, the longest too long
    (regression to the mean). A policy that prefers short repairs would see systematic bad luck in that, so a and b are
    learnt from the repairs that are seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Parameter(torch.tensor([0.0, 1.0]))

    def surprise(self, batch: EpisodeBatch, scales: Scales, n_groups: int | None = None) -> Tensor:
        """By how many hours each repair took longer than expected, `[M, T]`; 0 at an episode's last step.

        Read from the clock: what passed between two observations, less the travel and the expected repair. After the
        last step nothing is observed, so its repair counts as expected.

        Args:
            batch: episodes.
            scales: of the episodes.
            n_groups: G where repairs of a group share a factor in each storm: the group's other repairs of the episode,
                earlier and later ones, then say what this one should have taken. None for durations that are
                independent given their forecasts.
        """
        at = batch.actions.unsqueeze(-1)
        travel = travel_hours(batch.distance_km, batch.crew).gather(-1, at).squeeze(-1)  # [M, T]
        point = batch.regions[..., COLUMN["point_h"]].gather(-1, batch.actions)
        elapsed = batch.crew[..., CREW["elapsed_h"]]
        wait = torch.zeros_like(elapsed)
        wait[:, :-1] = elapsed[:, 1:] - elapsed[:, :-1]
        followed = torch.zeros_like(batch.valid)
        followed[:, :-1] = batch.valid[:, 1:]
        worked = batch.is_open.gather(-1, at).squeeze(-1)  # a wasted trip repairs nothing
        seen = followed & worked  # [M, T]
        took = (wait - travel) * seen
        expected = (self.line[0] * scales.hours + self.line[1] * point) * seen
        if n_groups is None:
            return took - expected
        group = group_one_hot(batch.regions, n_groups).gather(1, at.expand(-1, -1, n_groups))  # [M, T, G]
        return took - expected * _others_ratio(took, expected, group)


def _others_ratio(took: Tensor, expected: Tensor, group: Tensor) -> Tensor:
    """Hours that a group's other repairs took over those expected `[M, T]`; 1 where there are none."""

    def of_others(hours: Tensor) -> Tensor:  # [M, T] sum over the group's repairs, less one's own
        total = torch.einsum("mt,mtg->mg", hours, group)
        return torch.einsum("mg,mtg->mt", total, group) - hours

    others = of_others(expected)
    return torch.where(others > 1e-6, of_others(took) / others.clamp_min(1e-6), torch.ones_like(others))


def without_luck(batch: EpisodeBatch, late: Tensor, scales: Scales, n_groups: int) -> tuple[Tensor, Tensor]:
    """Rewards and costs `[M, T]` (h) had each repair taken what was expected, with the same sums in expectation.

    While a repair takes u hours longer than expected, every open region waits u longer: that takes u * open / N off the
    reward, and adds u * |F_a - F_b| to the gap between groups a and b, of which shares F are restored. Both factors
    are known before the repair begins. So where u has mean zero given what was known then (durations independent given
    their forecasts), adding these terms back leaves every expected return as it is and takes out most of its variance.
    The cost is the growth of the largest gap, so for it the pair that leads is taken; where the lead changes hands
    inside a step some luck stays.

    Args:
        batch: episodes.
        late: u `[M, T]` (h), from `Forecast.surprise`.
        scales: of the episodes.
        n_groups: G.
    """
    n_open = batch.is_open.sum(-1).to(late.dtype)
    shares, pair_gaps = split_groups(batch.crew, n_groups)
    pairs = torch.as_tensor(pair_matrix(n_groups), dtype=late.dtype, device=late.device)
    ahead = (shares @ pairs).abs()  # [M, T, P] |F_a - F_b|
    leading = pair_gaps.argmax(-1, keepdim=True)
    rate = ahead.gather(-1, leading).squeeze(-1)
    return batch.rewards + late * n_open / scales.n_regions, batch.costs - late * rate
