"""Features of jobs and crews for Stable-Baselines3: no units, weights shared by all, and one choice more to wait."""

from __future__ import annotations

from typing import ClassVar

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from stormgym.agents.crews.network.features import sizes_of, tokens_of


class JobExtractor(BaseFeaturesExtractor):
    """Encode each job from its own features, the asked crew's and the mean over open jobs; waiting has a learnt one.

    The features are `[B, (N + 1) * D + D]`: the jobs' encodings and that of waiting, then a summary; relabelling jobs
    permutes the encodings and leaves the summary as it is.

    Args:
        observation_space: of crew dispatch.
        width: D.
    """

    encodes_choices: ClassVar[bool] = True
    """The features are one encoding of `width` a choice, then a summary (see `agents.attention.heads`)."""

    def __init__(self, observation_space: spaces.Dict, width: int = 64) -> None:
        sizes = sizes_of(observation_space)
        super().__init__(observation_space, features_dim=(sizes.n_choices + 2) * width)
        self.width = width
        self.embed = nn.Sequential(nn.Linear(sizes.choice, width), nn.ReLU(), nn.Linear(width, width))
        self.crew = nn.Sequential(nn.Linear(sizes.actor, width), nn.ReLU(), nn.Linear(width, width))
        self.summary = nn.Sequential(nn.Linear(3 * width + sizes.common, width), nn.ReLU())
        self.own, self.shared = nn.Linear(width, width), nn.Linear(width, width)
        self.wait = nn.Parameter(torch.zeros(width))

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """The observation, as tensors with axis B -> `[B, (N + 2) * D]`."""
        device = self.wait.device
        tokens = tokens_of({name: part.detach().cpu().numpy() for name, part in observations.items()})
        jobs, open_, crews, storm = (
            torch.as_tensor(part, device=device)
            for part in (tokens.choices, tokens.is_open, tokens.actors, tokens.common)
        )
        h, k = self.embed(jobs), self.crew(crews)  # [B, N, D], [B, K, D]
        weight = open_.to(h.dtype).unsqueeze(-1)
        pooled = (h * weight).sum(1) / weight.sum(1).clamp_min(1.0)
        asked = (k * crews[..., :1]).sum(1)
        summary = self.summary(torch.cat([pooled, asked, k.mean(1), storm], dim=-1))  # [B, D]
        choices = torch.cat([self.own(h), self.wait.expand(len(h), 1, -1)], dim=1)
        encoded = torch.relu(choices + self.shared(summary)[:, None])
        return torch.cat([encoded.flatten(1), summary], dim=1)
