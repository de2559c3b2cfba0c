"""Features of regions for Stable-Baselines3's algorithms: no units, weights shared by regions."""

from __future__ import annotations

from typing import ClassVar

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from stormgym.agents.attention.networks import N_BALANCE, N_WAY
from stormgym.agents.restoration.network.features import N_STATIC, make_inputs, n_crew_features
from stormgym.envs.restoration.layout import COLUMN, REGION_COLUMNS, n_groups_of


class RegionExtractor(BaseFeaturesExtractor):
    """Encode each region from its own features, the crew's state and the mean over open regions.

    Hours, kilometres and costs are divided by scales that are read from the observation, so inputs have no
    units. The features are `[B, N * D + D]`: the regions' encodings, then a summary; relabelling regions
    permutes the encodings and leaves the summary as it is.

    Args:
        observation_space: of Restoration-v0.
        width: D.
    """

    encodes_choices: ClassVar[bool] = True
    """The features are one encoding of `width` a choice, then a summary (see `agents.attention.heads`)."""

    def __init__(self, observation_space: spaces.Dict, width: int = 64) -> None:
        regions, crew = observation_space["action_mask"].shape, observation_space["crew"].shape
        assert regions is not None
        assert crew is not None
        super().__init__(observation_space, features_dim=(regions[0] + 1) * width)
        self.width = width
        self.n_groups = n_groups_of(crew[0])
        n_region = N_STATIC + self.n_groups + N_WAY + N_BALANCE + 1
        self.embed = nn.Sequential(nn.Linear(n_region, width), nn.ReLU(), nn.Linear(width, width))
        self.summary = nn.Sequential(nn.Linear(width + n_crew_features(self.n_groups), width), nn.ReLU())
        self.own, self.shared = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Region columns `[B, N]` and crew `[B, K]` -> `[B, N * D + D]`."""
        regions = torch.stack([observations[column] for column in REGION_COLUMNS], dim=-1)  # [B, N, 9]
        crew = observations["crew"]
        is_open = regions[..., COLUMN["open"]] > 0  # [B, N]
        inputs, _ = make_inputs(
            regions,
            regions[:, None, :, COLUMN["distance_km"]],
            is_open[:, None],
            crew[:, None],
            self.n_groups,
        )
        weight = is_open.to(regions.dtype).unsqueeze(-1)  # [B, N, 1]
        moving = inputs.moving[:, 0, :, : N_WAY + N_BALANCE]
        x = torch.cat([inputs.tokens, moving, weight], dim=-1)
        h = self.embed(x)  # [B, N, D]
        pooled = (h * weight).sum(1) / weight.sum(1).clamp_min(1.0)  # [B, D]
        summary = self.summary(torch.cat([pooled, inputs.crew[:, 0]], dim=-1))  # [B, D]
        h = torch.relu(self.own(h) + self.shared(summary)[:, None])
        return torch.cat([h.flatten(1), summary], dim=1)
