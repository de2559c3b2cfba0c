"""A policy of two levels for MaskablePPO: an income group, then an open region of that group."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.distributions import MaskableCategorical, MaskableCategoricalDistribution, MaybeMasks
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from stormgym.agents.attention.heads import RegionScores, SummaryValue
from stormgym.agents.learners.sb3 import MaskablePPOLearner
from stormgym.agents.learners.settings import HRLDPDPSettings
from stormgym.agents.restoration.network.extractor import RegionExtractor
from stormgym.agents.restoration.network.features import check_regions

CLOSED = -1e8
"""Logit of a choice that is closed."""


class GroupedRegionExtractor(RegionExtractor):
    """`RegionExtractor` that also hands on each region's group and whether it is open: `[B, 2 N + N * D + D]`."""

    encodes_choices: ClassVar[bool] = False
    """Its features have two more columns a region, which only `TwoLevelScores` takes apart."""

    def __init__(self, observation_space: spaces.Dict, width: int = 64) -> None:
        super().__init__(observation_space, width)
        self._features_dim += 2 * (self._features_dim // width - 1)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Groups `[B, N]`, open `[B, N]`, then `RegionExtractor`'s features."""
        return torch.cat([observations["group"], observations["open"], super().forward(observations)], dim=1)


class TwoLevelScores(nn.Module):
    """Scores of groups and regions from `GroupedRegionExtractor`'s features.

    The upper level reads each group's mean encoding over its open regions and the summary; the lower level scores
    regions as MaskablePPO's policy does. Both use the same weights for all groups and all regions.

    Args:
        width: D.
        n_groups: G.
        gain: factor of the first weights of the output layers.
    """

    def __init__(self, width: int, n_groups: int, gain: float = 0.01) -> None:
        super().__init__()
        self.width, self.n_groups = width, n_groups
        self.lower = RegionScores(width, gain=gain)
        self.upper = nn.Sequential(nn.Linear(2 * width + 1, width), nn.ReLU(), nn.Linear(width, 1))
        with torch.no_grad():
            last = self.upper[-1]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(gain)
            last.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Group of each region, region scores, group scores, side by side: `[B, N + N + G]`."""
        d = self.width
        n = (features.shape[1] - d) // (d + 2)
        group, is_open, encoded = features[:, :n], features[:, n : 2 * n], features[:, 2 * n :]
        member = torch.nn.functional.one_hot(group.long().clamp_min(0), self.n_groups).to(features.dtype)  # [B, N, G]
        member = (member * is_open.unsqueeze(-1)).transpose(1, 2)  # [B, G, N]
        size = member.sum(-1, keepdim=True)  # [B, G, 1]
        mean = torch.matmul(member, encoded[:, :-d].unflatten(1, (n, d))) / size.clamp_min(1.0)  # [B, G, D]
        summary = encoded[:, None, -d:].expand(-1, self.n_groups, -1)
        groups = self.upper(torch.cat([mean, summary, size / n], dim=-1)).squeeze(-1)  # [B, G]
        return torch.cat([group, self.lower(encoded), groups], dim=1)


class TwoLevelDistribution(MaskableCategoricalDistribution):
    """log p(r) = log p(group of r) + log p(r | group of r); a group without an open region has probability 0.

    As one masked categorical over regions, so sampling, log probability and entropy are exact. The mode is taken
    level by level: the likeliest group, then its likeliest region.

    Args:
        action_dim: N.
        n_groups: G.
    """

    def __init__(self, action_dim: int, n_groups: int) -> None:
        super().__init__(action_dim)
        self.n_groups = n_groups

    def proba_distribution(self, action_logits: Tensor) -> TwoLevelDistribution:
        """Take `TwoLevelScores`' output `[B, N + N + G]`; all regions count as open until `apply_masking`."""
        n = self.action_dim
        self._group = (
            action_logits[:, :n].detach().round().long().clamp_min(0)
        )  # [B, N]; padding, of group -1, is closed
        self._lower, self._upper = action_logits[:, n : 2 * n], action_logits[:, 2 * n :]
        self.apply_masking(None)
        return self

    def apply_masking(self, masks: MaybeMasks) -> None:
        """Close regions `[B, N]`, and with them groups that have no other."""
        scores = self._lower
        if masks is None:
            is_open = torch.ones_like(scores, dtype=torch.bool)
        else:
            is_open = torch.as_tensor(masks, dtype=torch.bool, device=scores.device).reshape(scores.shape)
        groups = torch.arange(self.n_groups, device=scores.device)
        member = (self._group.unsqueeze(1) == groups[:, None]) & is_open.unsqueeze(1)  # [B, G, N]
        within = scores.unsqueeze(1).masked_fill(~member, CLOSED).logsumexp(-1)  # [B, G]
        self._upper_log_prob = torch.log_softmax(self._upper.masked_fill(~member.any(-1), CLOSED), dim=-1)  # [B, G]
        joint = scores + (self._upper_log_prob - within).gather(1, self._group)  # [B, N]
        self.distribution = MaskableCategorical(logits=joint.masked_fill(~is_open, CLOSED), masks=is_open)

    def mode(self) -> Tensor:
        """The likeliest group's likeliest open region `[B]`."""
        best = self._upper_log_prob.argmax(1, keepdim=True)  # [B, 1]
        probs = self.distribution.probs
        return probs.masked_fill((self._group != best) | (probs <= 0), -1.0).argmax(1)


class RegionHierarchicalPolicy(MaskableActorCriticPolicy):
    """MaskablePPO's policy in two levels: a group, then a region of it; one value.

    Idea: choose the group first, then the region. Both levels are trained together on the joint log probability.
    Cost: as `RegionMaskableActorCriticPolicy`. Source: the upper and lower agents of EPOPR's baseline HRL-DPDP (after
    Ma et al. 2021, whose upper level decides when, not whom).

    Needs `features_extractor_class=GroupedRegionExtractor, net_arch=[]`.
    """

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        extractor = self.features_extractor
        if not isinstance(extractor, GroupedRegionExtractor) or self.net_arch != []:
            raise ValueError(
                "a policy of two levels needs features_extractor_class=GroupedRegionExtractor and net_arch=[]; "
                f"got {type(extractor).__name__} and {self.net_arch}"
            )
        assert isinstance(self.action_space, spaces.Discrete)
        self.action_dist = TwoLevelDistribution(int(self.action_space.n), extractor.n_groups)
        self.action_net = TwoLevelScores(extractor.width, extractor.n_groups)
        self.value_net = SummaryValue(extractor.width)  # type: ignore[assignment]
        arguments: dict[str, Any] = self.optimizer_kwargs
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **arguments)  # type: ignore[call-arg]


class HRLDPDPLearner(MaskablePPOLearner):
    """MaskablePPO with a policy of two levels: a group, then a region of it."""

    def check(self, venv: VecEnv) -> None:
        """It needs regions, whose groups are its upper level."""
        check_regions(self.name, venv.observation_space)

    def policy_over_choices(self) -> Any:
        """The policy of two levels."""
        return RegionHierarchicalPolicy

    def arguments(self, venv: VecEnv, settings: Any, extractor: type[Any] | None) -> tuple[Any, dict[str, Any]]:
        """As MaskablePPO's, with an extractor that passes the groups through."""
        del extractor
        return super().arguments(venv, settings, GroupedRegionExtractor)


hrl_dpdp = HRLDPDPLearner("hrl-dpdp", MaskablePPO, HRLDPDPSettings, default_timesteps=200_000, default_num_envs=64)
