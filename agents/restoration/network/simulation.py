"""Storms played in simulation: an actor draws many whole orders of each at once, where repairs take known hours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stormgym.agents.attention.masking import masked_log_softmax
from stormgym.agents.attention.networks import EpisodeNet, PaperNet
from stormgym.agents.restoration.network.features import EpisodeFeatures
from stormgym.envs.arrays import Floats, Ints, Observation
from stormgym.envs.cities.tables import CityMap
from stormgym.envs.restoration.layout import COLUMN, REGION_COLUMNS, regions_of
from stormgym.envs.restoration.process import RestorationProcess

FORECASTS = ("lower_h", "upper_h", "point_h")
"""What an observation says of the hours of repairs to come."""


@dataclass(frozen=True)
class States:
    """All that an actor saw while it drew K orders of each of R storms; regions are numbered as in the simulation."""

    distance_km: Tensor
    """`[R, K, n, n]` at each step, to each region."""
    is_open: Tensor
    """`[R, K, n, n]` above 0 where a region is open."""
    allowed: Tensor
    """`[R, K, n, n]` bool, regions that could be chosen."""
    crew: Tensor
    """`[R, K, n, C]`"""
    log_pi: Tensor
    """`[R, K, n]` log probability of what was chosen."""


class Simulator:
    """Plays the rest of storms of one city from where they are observed, K orders of each at once.

    Args:
        city_map: of the city.
        n_groups: G of the actor's training.
        max_travel_km: of the environment.
    """

    def __init__(self, city_map: CityMap, n_groups: int, max_travel_km: float | None) -> None:
        self.map = city_map
        self.n_groups = n_groups
        self.max_travel_km = max_travel_km

    @torch.no_grad()
    def draw(
        self,
        actor: EpisodeNet | PaperNet,
        observation: Observation,
        repair_h: Floats,
        regions: Ints,
        n_orders: int,
        log_race: Callable[[int], Floats],
        *,
        keep: bool = False,
    ) -> tuple[Ints, States | None]:
        """Orders of the open regions that an actor draws; the first of each storm takes its most probable choices.

        Args:
            actor: scores regions.
            observation: of R storms with equally many open regions.
            repair_h: `[R, N]` hours that repairs take.
            regions: `[R, n]` the open regions, which orders number 0..n-1.
            n_orders: K.
            log_race: step -> logarithms `[R, K, n]` of exponential draws, which decide what is drawn at it.
            keep: also return what the actor saw.

        Returns:
            `[R, K, n]` orders, and the states where they are kept.
        """
        (r, n), k = regions.shape, n_orders
        process = RestorationProcess(self.map, r * k, cost_limit_h=0.0, max_travel_km=self.max_travel_km)
        copies = {key: np.repeat(values, k, axis=0) for key, values in observation.items()}
        process.stand_at(copies, np.repeat(repair_h, k, axis=0))
        index = torch.from_numpy(regions)  # [R, n] what is open now; nothing else will be
        columns = index[:, None].expand(-1, k, -1)
        features = EpisodeFeatures(torch.from_numpy(regions_of(observation).astype(np.float32)), self.n_groups)
        encoding = actor.narrow(actor.encode(features.at(*standing(observation))), index)
        features = features.narrow(index)
        order = np.empty((r, k, n), dtype=np.int64)
        seen: list[tuple[Tensor, ...]] = []
        for step in range(n):
            now_regions = torch.from_numpy(process.regions).view(r, k, len(REGION_COLUMNS), -1)
            distance_km = now_regions[:, :, COLUMN["distance_km"]].gather(2, columns)
            is_open = now_regions[:, :, COLUMN["open"]].gather(2, columns)
            crew = torch.from_numpy(process.crew.T.astype(np.float32)).view(r, k, -1)
            allowed = torch.from_numpy(process.action_mask).view(r, k, -1).gather(2, columns) > 0
            scores = actor.score(encoding, features.at(distance_km, is_open, crew)).squeeze(-1)
            log_pi = masked_log_softmax(scores, allowed)
            keys = log_pi.numpy() - log_race(step)  # exponential race: the largest log p - log E is a draw from p
            keys[:, 0] = log_pi[:, 0]
            chosen = keys.argmax(axis=-1)  # [R, K]
            order[:, :, step] = chosen
            if keep:
                taken = log_pi.gather(2, torch.from_numpy(chosen)[..., None]).squeeze(-1)
                seen.append((distance_km, is_open, allowed, crew, taken))
            process.step(np.take_along_axis(regions, chosen, axis=1).ravel())
        return order, States(*(torch.stack(each, dim=2) for each in zip(*seen, strict=True))) if keep else None


def standing(observation: Observation) -> tuple[Tensor, Tensor, Tensor]:
    """What changes from step to step, as `EpisodeFeatures.at` takes it, of the one step `[R, 1, ...]` observed."""
    distance_km, is_open, crew = (
        torch.from_numpy(observation[key][:, None].astype(np.float32)) for key in ("distance_km", "open", "crew")
    )
    return distance_km, is_open, crew
