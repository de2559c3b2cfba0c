"""Unit-free network inputs made from the observation alone, so that one network fits any city."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from stormgym.agents.attention.networks import Inputs
from stormgym.envs.equity import pair_matrix
from stormgym.envs.restoration.layout import COLUMN, CREW_SCALARS, REGION_COLUMNS

CREW = {name: i for i, name in enumerate(CREW_SCALARS)}
N_STATIC = 7
"""Static features beside the group."""
PRIOR_REPAIRS = 6.0
"""Prior weight, in repairs: how many observed repairs count as much as the prior that a group's factor is 1."""


REGION_KEYS = frozenset({*REGION_COLUMNS, "crew", "action_mask"})
"""Keys of Restoration-v0's observation."""


def has_regions(space: spaces.Space[Any]) -> bool:
    """Whether an observation space is that of Restoration-v0: regions, crew and a mask."""
    return isinstance(space, spaces.Dict) and set(space.spaces) >= REGION_KEYS


def check_regions(learner: str, space: spaces.Space[Any]) -> None:
    """Raise `ValueError`, which names the learner, unless an observation space has regions to choose among."""
    if not has_regions(space):
        raise ValueError(
            f"{learner} chooses among regions: it needs an observation with regions, crew and action_mask, "
            "as Restoration-v0 gives. For other environments take ppo"
        )


def check_observation_space(space: Any) -> None:
    """Raise `ValueError` unless the observation is Restoration-v0's."""
    if not has_regions(space):
        raise ValueError(
            f"STA-SAC needs an observation Dict with {', '.join(sorted(REGION_KEYS))} (Restoration-v0); got {space}"
        )


@dataclass
class Scales:
    """Scales of B episodes, each `[B, 1]`: they depend on the city and the forecasts, not on what was done."""

    hours: Tensor  # mean forecast repair (h)
    km: Tensor  # spread of the city (km)
    centre: Tensor  # [B, 2] km
    n_regions: Tensor  # regions that exist
    total_hours: Tensor  # unit of the return (h)


def exists(regions: Tensor) -> Tensor:
    """Which regions `[B, N, 9]` are real, `[B, N]` bool: padding to the largest city of a batch has group -1."""
    return regions[..., COLUMN["group"]] >= 0


def scales_of(regions: Tensor) -> Scales:
    """Scales from the first (or any) observation's `regions` `[B, N, 9]`."""
    real = exists(regions).to(regions.dtype)
    n = real.sum(dim=1, keepdim=True)  # [B, 1]
    xy = regions[..., : COLUMN["y_km"] + 1]
    centre = (xy * real.unsqueeze(-1)).sum(dim=1) / n
    off = (xy - centre[:, None]).square() * real.unsqueeze(-1)
    km = (off.sum(dim=(1, 2)) / (2.0 * n[:, 0])).sqrt().clamp_min(1e-3)[:, None]
    hours = ((regions[..., COLUMN["point_h"]] * real).sum(dim=1, keepdim=True) / n).clamp_min(1e-3)
    return Scales(hours=hours, km=km, centre=centre, n_regions=n, total_hours=hours * n / 20.0)


def group_one_hot(regions: Tensor, n_groups: int) -> Tensor:
    """Group of each region, `[B, N, G]` float; zero for padding."""
    index = regions[..., COLUMN["group"]].long()
    one_hot = torch.nn.functional.one_hot(index.clamp_min(0), n_groups)
    return one_hot.to(regions.dtype) * exists(regions).unsqueeze(-1)


def static_features(regions: Tensor, scales: Scales, n_groups: int) -> Tensor:
    """What does not change in an episode: place, forecast, interval, group; `[B, N, 7 + G]`."""
    xy = (regions[..., : COLUMN["y_km"] + 1] - scales.centre[:, None]) / scales.km[:, None]
    point = regions[..., COLUMN["point_h"]] / scales.hours
    lower = regions[..., COLUMN["lower_h"]] / scales.hours
    upper = (regions[..., COLUMN["upper_h"]] / scales.hours).clamp_max(50.0)
    columns = [point, point.clamp_min(1e-3).log(), lower, upper.log1p(), (upper - lower).log1p()]
    features = torch.cat([xy, torch.stack(columns, dim=-1), group_one_hot(regions, n_groups)], dim=-1)
    return features * exists(regions).unsqueeze(-1)


def crew_features(crew: Tensor, share_open: Tensor, scales: Scales, n_groups: int) -> Tensor:
    """State of the crew `[B, T, K]` and the share of open regions `[B, T]` -> `[B, T, C]`, C = 7 + 3 G + P."""
    limit = crew[..., CREW["cost_limit_h"]]
    total = (scales.total_hours * 20.0).expand_as(limit)
    position = (crew[..., CREW["x_km"] : CREW["y_km"] + 1] - scales.centre[:, None]) / scales.km[:, None]
    km_per_repair = crew[..., CREW["speed_kmh"]] * scales.hours / scales.km
    first = len(CREW_SCALARS)
    log_ratio = crew[..., first : first + n_groups]
    means = crew[..., first + n_groups : first + 2 * n_groups] / total[..., None]
    shares = crew[..., first + 2 * n_groups : first + 3 * n_groups]
    pair_gaps = crew[..., first + 3 * n_groups :] / limit[..., None]
    scalars = [
        crew[..., CREW["elapsed_h"]] / total,
        crew[..., CREW["gap_h"]] / limit,
        limit / total * 10.0,
        km_per_repair.clamp_min(1e-3).log(),
        share_open,
    ]
    return torch.cat([torch.stack(scalars, dim=-1), position, log_ratio, 2.0 * means, shares, pair_gaps], dim=-1)


def split_groups(crew: Tensor, n_groups: int) -> tuple[Tensor, Tensor]:
    """Shares restored `[..., G]` and pair gaps `[..., P]` (h) from the crew's columns `[..., K]`."""
    first = len(CREW_SCALARS) + 2 * n_groups
    return crew[..., first : first + n_groups], crew[..., first + n_groups :]


def n_crew_features(n_groups: int) -> int:
    """C for G groups."""
    return 7 + 3 * n_groups + n_groups * (n_groups - 1) // 2


def travel_hours(distance_km: Tensor, crew: Tensor) -> Tensor:
    """Hours from the crew to each region `[B, T, N]`."""
    return distance_km / crew[..., CREW["speed_kmh"]].unsqueeze(-1)


def way_features(travel: Tensor) -> Tensor:
    """The way to each region `[..., 3]` from its hours in mean repairs."""
    return torch.stack([travel, travel.sqrt(), (-3.0 * travel).exp()], dim=-1)


class EpisodeFeatures:
    """Network inputs of B episodes at any of their steps; what does not change in an episode is computed once.

    Args:
        regions: `[B, N, 9]` one observation of each episode (only static columns are read).
        n_groups: G.
    """

    def __init__(self, regions: Tensor, n_groups: int) -> None:
        self.n_groups = n_groups
        self.scales = scales_of(regions)
        real = exists(regions)
        self.exists = None if bool(real.all()) else real
        self.tokens = static_features(regions, self.scales, n_groups)
        self.group = group_one_hot(regions, n_groups)  # [B, N, G]
        self.members = self.group.sum(1)  # [B, G]
        self.log_point = (regions[..., COLUMN["point_h"]] / self.scales.hours).clamp_min(1e-3).log()  # [B, N]
        self.pairs = torch.as_tensor(pair_matrix(n_groups), dtype=regions.dtype, device=regions.device)  # [G, P]
        self.step = (self.group / self.members[:, None].clamp_min(1.0)) @ self.pairs  # [B, N, P]

    def narrow(self, index: Tensor) -> EpisodeFeatures:
        """Features of some regions `[B, n]` of each episode, for steps at which no other one is open."""
        part = copy(self)
        for name in ("tokens", "group", "step", "log_point"):
            values = getattr(self, name)
            at = index if values.ndim == 2 else index.unsqueeze(-1).expand(-1, -1, values.shape[-1])
            setattr(part, name, values.gather(1, at))
        part.exists = None
        return part

    def at(self, distance_km: Tensor, is_open: Tensor, crew: Tensor) -> Inputs:
        """Inputs at T steps (or in T states).

        Args:
            distance_km: `[B, T, N]`.
            is_open: `[B, T, N]`, above 0 where a region is open.
            crew: `[B, T, K]`.
        """
        scales = self.scales
        is_open = is_open > 0
        share_open = is_open.to(crew.dtype).sum(dim=-1) / scales.n_regions
        travel = travel_hours(distance_km, crew) / scales.hours[:, None]
        return Inputs(
            exists=self.exists,
            tokens=self.tokens,
            is_open=is_open,
            travel=travel,
            moving=torch.cat([way_features(travel), self.balance(crew), self.update(crew)], dim=-1),
            crew=crew_features(crew, share_open, scales, self.n_groups),
        )

    def balance(self, crew: Tensor) -> Tensor:
        """Features of the imbalance between groups that restoring each region changes: `[B, T, N, 4]`, no units.

        Lead of its group in share restored over the least and over the most restored group; its weighted lead over the
        other groups; and by how much its restoration would narrow (-) or widen (+) the weighted leads, in regions.
        Weights of pairs are a softmax of their gaps: those near the largest gap decide the cost, others little.
        """
        shares, pair_gaps = split_groups(crew, self.n_groups)  # [B, T, G], [B, T, P]
        pairs, step = self.pairs, self.step
        limit = crew[..., CREW["cost_limit_h"], None]
        weight = (4.0 * pair_gaps / limit).softmax(-1)  # [B, T, P]
        ahead = shares @ pairs  # [B, T, P] F_a - F_b
        widening = ((ahead[:, :, None] + step[:, None]).abs() - ahead.abs()[:, :, None]) * weight[:, :, None]
        size = step.abs().amax(-1).clamp_min(1e-6)[:, None]  # [B, 1, N]
        most, least = shares.amax(-1, keepdim=True), shares.amin(-1, keepdim=True)
        lead = torch.stack([shares - least, shares - most, (ahead * weight) @ pairs.T], dim=-1)  # [B, T, G, 3]
        own = torch.einsum("bng,btgk->btnk", self.group, lead)
        return torch.cat([4.0 * own, (widening.sum(-1) / size).unsqueeze(-1)], dim=-1)

    def update(self, crew: Tensor) -> Tensor:
        """Forecasts updated by observed repairs: `[B, T, N, 2]`, hours in units of the mean forecast, and their log.

        The factor of a group is exp(n / (n + 6) * mean log(realised / forecast)) after n of its repairs: the posterior
        of a shared factor whose log varies a sixth as much as one repair's. Before the first repair it is 1.
        """
        first = len(CREW_SCALARS)
        shares, _ = split_groups(crew, self.n_groups)
        n_seen = shares * self.members[:, None]  # [B, T, G]
        log_factor = crew[..., first : first + self.n_groups] * n_seen / (n_seen + PRIOR_REPAIRS)
        updated = self.log_point[:, None] + torch.einsum("bng,btg->btn", self.group, log_factor)
        updated = updated.clamp(-7.0, 4.0)
        return torch.stack([updated.exp(), updated], dim=-1)


def make_inputs(
    regions: Tensor, distance_km: Tensor, is_open: Tensor, crew: Tensor, n_groups: int
) -> tuple[Inputs, Scales]:
    """Inputs of B episodes at T steps, and their scales; arguments as in `EpisodeFeatures` and its `at`."""
    features = EpisodeFeatures(regions, n_groups)
    return features.at(distance_km, is_open, crew), features.scales
