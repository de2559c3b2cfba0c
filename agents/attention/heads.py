"""Heads over choices for Stable-Baselines3's algorithms: one number a choice, whose weights all choices share.

A plain head is a linear layer with an output for each action, which learns every action anew. Here the features are an
encoding of each of N choices (regions) and a summary of all, made by an extractor that says so: it has
`encodes_choices = True` and a `width` D, and returns `[B, N * D + D]`, the N encodings, then the summary. A score is
read from a choice's encoding and a value from the summary, so that relabelling the choices permutes the scores, and a
network fits any N. Which extractor that is, and what it reads, is the business of an environment's own room.
"""

from __future__ import annotations

from typing import Any

import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor, nn


class RegionScores(nn.Module):
    """One number a choice from features `[B, N * D + D]` -> `[B, N]`.

    Args:
        width: D.
        baseline: add a value of the whole state, as Q values need.
        gain: factor of the first weights; small ones make the first policy close to uniform.
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
        h = features[:, : -self.width].unflatten(1, (-1, self.width))  # [B, N, D]
        scores = self.score(h).squeeze(-1)  # [B, N]
        return scores if self.value is None else scores + self.value(features)


class SummaryValue(nn.Module):
    """The value of a state from the summary, the last D of the features `[B, N * D + D]`: `[B, 1]`.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.net = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Value `[B, 1]`."""
        value: Tensor = self.net(features[:, -self.width :])
        return value


def encoding_width(extractor: BaseFeaturesExtractor, net_arch: Any) -> int:
    """D of an extractor that encodes choices, when no layers come between it and the heads.

    Raises:
        ValueError: an extractor of another kind, or layers that would mix the choices.
    """
    if not getattr(extractor, "encodes_choices", False) or net_arch != []:
        raise ValueError(
            "a policy over regions needs features_extractor_class=RegionExtractor or SeasonExtractor (or one with "
            f"encodes_choices = True and width), and net_arch=[]; got {type(extractor).__name__} and {net_arch}"
        )
    width: Any = extractor.width
    return int(width)


def _give_region_heads(policy: ActorCriticPolicy | MaskableActorCriticPolicy, lr_schedule: Schedule) -> None:
    """Replace the linear heads over flat features by heads that share their weights over choices."""
    width = encoding_width(policy.features_extractor, policy.net_arch)
    policy.action_net = RegionScores(width, gain=0.01)
    policy.value_net = SummaryValue(width)  # type: ignore[assignment]
    policy.optimizer = policy.optimizer_class(  # type: ignore[call-arg]
        policy.parameters(), lr=lr_schedule(1), **policy.optimizer_kwargs
    )


class RegionActorCriticPolicy(ActorCriticPolicy):
    """PPO's policy over regions; needs a `features_extractor_class` that encodes choices, and `net_arch=[]`."""

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        _give_region_heads(self, lr_schedule)


class RegionMaskableActorCriticPolicy(MaskableActorCriticPolicy):
    """MaskablePPO's policy over regions; arguments as for `RegionActorCriticPolicy`."""

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        _give_region_heads(self, lr_schedule)


class RegionQNetwork(QNetwork):
    """Q values of choices: the value of the state plus one number a choice, from the extractor's features."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        width = encoding_width(self.features_extractor, [])  # its layers are replaced, whatever they were
        self.q_net = RegionScores(width, baseline=True)  # type: ignore[assignment]


class RegionDQNPolicy(DQNPolicy):
    """DQN's policy over regions; needs a `features_extractor_class` that encodes choices."""

    def make_q_net(self) -> RegionQNetwork:
        """Make one Q network with its own extractor."""
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        return RegionQNetwork(**arguments).to(self.device)
