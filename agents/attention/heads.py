"""Networks over regions for Stable-Baselines3's algorithms: no units, weights shared by regions."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor, nn

from stormgym.agents.attention.networks import N_BALANCE, N_WAY
from stormgym.agents.restoration.network.features import N_STATIC, make_inputs, n_crew_features
from stormgym.agents.undergrounding.network import SeasonExtractor
from stormgym.envs.restoration.layout import COLUMN, REGION_COLUMNS, n_groups_of

REGION_KEYS = frozenset({*REGION_COLUMNS, "crew", "action_mask"})


def has_regions(space: spaces.Space[Any]) -> bool:
    """Whether an observation space is that of Restoration-v0: regions, crew and a mask."""
    return isinstance(space, spaces.Dict) and set(space.spaces) >= REGION_KEYS


class RegionExtractor(BaseFeaturesExtractor):
    """Encode each region from its own features, the crew's state and the mean over open regions.

    Hours, kilometres and costs are divided by scales that are read from the observation, so inputs have no
    units. The features are `[B, N * D + D]`: the regions' encodings, then a summary; relabelling regions
    permutes the encodings and leaves the summary as it is.

    Args:
        observation_space: of Restoration-v0.
        width: D.
    """

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


class RegionScores(nn.Module):
    """One number a region from `RegionExtractor`'s features: `[B, N * D + D]` -> `[B, N]`.

    `baseline` adds a value of the whole state, for Q values.
    """

    def __init__(self, width: int, baseline: bool = False, gain: float = 1.0) -> None:
        super().__init__()
        self.width = width
        self.score = nn.Linear(width, 1)
        self.value = SummaryValue(width) if baseline else None
        with torch.no_grad():
            self.score.weight.mul_(gain)
            self.score.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Scores `[B, N]`."""
        h = features[:, : -self.width].unflatten(1, (-1, self.width))
        scores = self.score(h).squeeze(-1)
        return scores if self.value is None else scores + self.value(features)


class SummaryValue(nn.Module):
    """The value of a state from the summary in `RegionExtractor`'s features: `[B, 1]`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.net = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Value `[B, 1]`."""
        value: Tensor = self.net(features[:, -self.width :])
        return value


def _give_region_heads(policy: ActorCriticPolicy | MaskableActorCriticPolicy, lr_schedule: Schedule) -> None:
    """Replace the linear heads over flat features by heads that share their weights over regions."""
    extractor = policy.features_extractor
    if not isinstance(extractor, (RegionExtractor, SeasonExtractor)) or policy.net_arch != []:
        raise ValueError(
            "a policy over regions needs features_extractor_class=RegionExtractor or SeasonExtractor, and "
            f"net_arch=[]; got {type(extractor).__name__} and {policy.net_arch}"
        )
    policy.action_net = RegionScores(extractor.width, gain=0.01)
    policy.value_net = SummaryValue(extractor.width)  # type: ignore[assignment]
    policy.optimizer = policy.optimizer_class(  # type: ignore[call-arg]
        policy.parameters(), lr=lr_schedule(1), **policy.optimizer_kwargs
    )


class RegionActorCriticPolicy(ActorCriticPolicy):
    """PPO's policy with `RegionExtractor`; needs `features_extractor_class=RegionExtractor, net_arch=[]`."""

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        _give_region_heads(self, lr_schedule)


class RegionMaskableActorCriticPolicy(MaskableActorCriticPolicy):
    """MaskablePPO's policy with `RegionExtractor`; arguments as for `RegionActorCriticPolicy`."""

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        _give_region_heads(self, lr_schedule)


class RegionQNetwork(QNetwork):
    """Q values of regions from `RegionExtractor`'s features: a state's value and one number a region."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert isinstance(self.features_extractor, RegionExtractor)
        self.q_net = RegionScores(self.features_extractor.width, baseline=True)  # type: ignore[assignment]


class RegionDQNPolicy(DQNPolicy):
    """DQN's policy with `RegionExtractor`; needs `features_extractor_class=RegionExtractor`."""

    def make_q_net(self) -> RegionQNetwork:
        """Make one Q network with its own extractor."""
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        return RegionQNetwork(**arguments).to(self.device)
