"""Learners of Stable-Baselines3 and sb3-contrib, on reward - lambda * cost where the cost has a limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import is_masking_supported
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.attention import heads
from stormgym.agents.attention.multiplier import LagrangeMultiplier, limits_cost
from stormgym.agents.learners.base import Learner
from stormgym.agents.learners.box import BoxSAC, ScaledActorCriticPolicy, ScaledSACPolicy
from stormgym.agents.learners.lagrangian import LagrangianCallback, PricedReplayBuffer, VecLagrangianReward
from stormgym.agents.learners.maskable_dqn import MaskableDQN
from stormgym.agents.learners.remembered import arguments_of
from stormgym.agents.learners.scaled_reward import VecScaledReward
from stormgym.agents.learners.settings import (
    DQNSettings,
    MaskableDQNSettings,
    MaskablePPOSettings,
    PPOSettings,
    SACSettings,
)

WRAPPER_SETTINGS = (
    "constrained",
    "limit_margin",
    "multiplier_init",
    "multiplier_max",
    "multiplier_lr",
    "multiplier_method",
    "dual_episodes",
)
"""Settings of the Lagrangian wrapper, which are no arguments of the algorithm."""


class LimitedLearner(Learner):
    """A learner without constraints of its own: trained on reward - lambda * cost where the cost has a limit."""

    extractor_arguments: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Further arguments of an extractor that encodes every choice."""

    def wrap(self, venv: VecEnv, settings: Any) -> VecEnv:
        """Add the Lagrangian reward where the environments have a cost limit; elsewhere rewards are only scaled."""
        # an environment that settles what an out-of-steps episode leaves open has no return to come
        settled = venv.has_attr("settles_when_truncated") and all(venv.get_attr("settles_when_truncated"))
        scale = 1.0 / return_unit(venv)
        if not limits_cost(venv):
            if scale == 1.0 and not settled:
                return venv
            return VecScaledReward(venv, scale, bootstrap_truncated=not settled)
        limit = float(venv.get_attr("cost_limit")[0])
        multiplier = LagrangeMultiplier(
            limit * settings.limit_margin,
            initial=settings.multiplier_init if settings.constrained else 0.0,
            maximum=settings.multiplier_max,
            learning_rate=settings.multiplier_lr,
            method=settings.multiplier_method if settings.constrained else "projected",  # softplus is never zero
        )
        return VecLagrangianReward(venv, multiplier, reward_scale=scale, bootstrap_truncated=not settled)

    def callbacks(self, venv: VecEnv, settings: Any) -> list[BaseCallback]:
        """The dual step."""
        if isinstance(venv, VecLagrangianReward):
            return [LagrangianCallback(venv, settings.dual_episodes, fixed=not settings.constrained)]
        return []

    def policy_over_choices(self) -> Any:
        """The policy class whose heads share their weights over choices (`stormgym.agents.attention.heads`)."""
        raise NotImplementedError(f"{type(self).__name__} must write policy_over_choices()")

    def scaled_policy(self) -> Any:
        """The policy class whose actions are scaled by good ones (`agents.learners.box`); None: there is none."""
        return None

    def arguments(self, venv: VecEnv, settings: Any, extractor: type[Any] | None) -> tuple[Any, dict[str, Any]]:
        """The algorithm's own settings, with the domain's features.

        An extractor that encodes every choice (`encodes_choices`) gets heads over choices; other features and plain
        observations get a multi-layer perceptron, whose continuous actions are scaled where the environment knows good
        ones (`Core.usual_action`).
        """
        outside = {"width", *WRAPPER_SETTINGS}
        arguments = {key: value for key, value in asdict(settings).items() if key not in outside}
        asked = arguments_of(extractor, venv)
        if extractor is not None and getattr(extractor, "encodes_choices", False):
            arguments["policy_kwargs"] = {
                "features_extractor_class": extractor,
                "features_extractor_kwargs": {"width": settings.width, **self.extractor_arguments, **asked},
                "net_arch": [],
            }
            return self.policy_over_choices(), arguments
        policy_kwargs: dict[str, Any] = {"net_arch": [settings.width, settings.width]}
        arguments["policy_kwargs"] = policy_kwargs
        if extractor is not None:
            policy_kwargs["features_extractor_class"] = extractor
            policy_kwargs["features_extractor_kwargs"] = asked
        flat = not isinstance(venv.observation_space, spaces.Dict)
        scaled, usual = self.scaled_policy(), usual_action(venv)
        if scaled is None or usual is None:
            return ("MlpPolicy" if flat else "MultiInputPolicy"), arguments
        policy_kwargs["usual_action"] = usual
        if flat:
            policy_kwargs.setdefault("features_extractor_class", FlattenExtractor)
        return scaled, arguments


class PPOLearner(LimitedLearner):
    """Stable-Baselines3's PPO."""

    def policy_over_choices(self) -> Any:
        """PPO's policy over regions."""
        return heads.RegionActorCriticPolicy

    def scaled_policy(self) -> Any:
        """PPO's Gaussian in units of good actions."""
        return ScaledActorCriticPolicy


class MaskablePPOLearner(LimitedLearner):
    """sb3-contrib's MaskablePPO."""

    def check(self, venv: VecEnv) -> None:
        """Require masks: by a method in training, and in the observation for a trained model."""
        space = venv.observation_space
        in_observation = isinstance(space, spaces.Dict) and "action_mask" in space.spaces
        if not (is_masking_supported(venv) and in_observation):
            raise ValueError(
                "maskable-ppo needs an environment with a method action_masks() and the key action_mask in "
                "its observation; this one lacks them. Take ppo"
            )

    def policy_over_choices(self) -> Any:
        """MaskablePPO's policy over regions."""
        return heads.RegionMaskableActorCriticPolicy


class ReplayLearner(LimitedLearner):
    """A learner that replays old steps."""

    def arguments(self, venv: VecEnv, settings: Any, extractor: type[Any] | None) -> tuple[Any, dict[str, Any]]:
        """As the others, with a replay buffer that follows lambda (`PricedReplayBuffer`)."""
        policy, arguments = super().arguments(venv, settings, extractor)
        if isinstance(venv, VecLagrangianReward) and isinstance(venv.observation_space, spaces.Dict):
            arguments["replay_buffer_class"] = PricedReplayBuffer
        return policy, arguments


class DQNLearner(ReplayLearner):
    """Stable-Baselines3's DQN."""

    def check(self, venv: VecEnv) -> None:
        """Require a discrete action space."""
        if not isinstance(venv.action_space, spaces.Discrete):
            raise ValueError(
                f"{self.name} needs a Discrete action space; this environment has {venv.action_space}. Take ppo, or "
                "an argument of the environment that gives it choices (--option action=...), if it has one"
            )

    def policy_over_choices(self) -> Any:
        """DQN's policy over regions."""
        return heads.RegionDQNPolicy


class MaskableDQNLearner(DQNLearner):
    """DQN that keeps to the mask."""

    def check(self, venv: VecEnv) -> None:
        """Require the mask in the observation: the targets read it from replayed ones."""
        space = venv.observation_space
        if not (isinstance(space, spaces.Dict) and "action_mask" in space.spaces):
            raise ValueError(
                "maskable-dqn needs an environment with the key action_mask in its observation; this one lacks it. "
                "Take dqn"
            )
        super().check(venv)


class SACLearner(ReplayLearner):
    """Stable-Baselines3's SAC."""

    def check(self, venv: VecEnv) -> None:
        """Require a bounded Box of actions."""
        if not isinstance(venv.action_space, spaces.Box) or not venv.action_space.is_bounded():
            raise ValueError(
                f"sac needs a Box action space with finite bounds; this environment has {venv.action_space}. Take ppo"
            )

    def scaled_policy(self) -> Any:
        """SAC's squashed Gaussian in units of good actions."""
        return ScaledSACPolicy


def usual_action(venv: VecEnv) -> list[list[float]] | None:
    """Centre and spread `[2, n]` of good continuous actions, where the environment says them (`Core.usual_action`)."""
    if not (isinstance(venv.action_space, spaces.Box) and venv.has_attr("usual_action")):
        return None
    usual: list[list[float]] = np.asarray(venv.get_attr("usual_action")[0], dtype=np.float64).tolist()
    return usual


def return_unit(venv: VecEnv) -> float:
    """A natural unit of an episode's return, as the environment says (`Core.return_unit`); 1 where it does not."""
    return float(venv.get_attr("return_unit")[0]) if venv.has_attr("return_unit") else 1.0


ppo = PPOLearner("ppo", PPO, PPOSettings, default_timesteps=200_000, default_num_envs=32)
maskable_ppo = MaskablePPOLearner(
    "maskable-ppo", MaskablePPO, MaskablePPOSettings, default_timesteps=200_000, default_num_envs=64
)
dqn = DQNLearner("dqn", DQN, DQNSettings, default_timesteps=60_000, default_num_envs=8)
maskable_dqn = MaskableDQNLearner(
    "maskable-dqn", MaskableDQN, MaskableDQNSettings, default_timesteps=60_000, default_num_envs=8
)
sac = SACLearner("sac", BoxSAC, SACSettings, default_timesteps=60_000, default_num_envs=16)
