"""The learners behind the registry's names: each builds, loads and wraps a Stable-Baselines3 model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import is_masking_supported
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.attention import heads as networks
from stormgym.agents.attention.multiplier import LagrangeMultiplier
from stormgym.agents.attention.networks import EpisodeNet, PaperNet
from stormgym.agents.dispatch.network import DispatchFeatures, is_dispatch
from stormgym.agents.restoration.network.extractor import RegionExtractor
from stormgym.agents.restoration.network.features import check_regions, has_regions, return_unit_h
from stormgym.agents.restoration.network.hierarchical import GroupedRegionExtractor, RegionHierarchicalPolicy
from stormgym.agents.training.lagrangian import LagrangianCallback, PricedReplayBuffer, VecLagrangianReward
from stormgym.agents.training.maskable_dqn import MaskableDQN
from stormgym.agents.training.settings import (
    DQNSettings,
    HRLDPDPSettings,
    MaskableDQNSettings,
    MaskablePPOSettings,
    PPOSettings,
    STAPPOSettings,
)
from stormgym.agents.undergrounding.network import SeasonExtractor, is_undergrounding
from stormgym.envs.dispatch.forecasts import typical_wave
from stormgym.envs.undergrounding.profiles import UndergroundingProfile, usual_loss_h

WRAPPER_SETTINGS = (
    "constrained",
    "limit_margin",
    "multiplier_init",
    "multiplier_max",
    "multiplier_lr",
    "multiplier_method",
    "dual_episodes",
)
"""Settings of the Lagrangian wrapper, which the algorithm itself never sees."""


@dataclass(frozen=True)
class Learner:
    """One learner of the registry.

    `wrap` prepares environments (the cost limit of learners that know none), `build` makes a fresh model on
    them, `load` reads one back, and `policy` gives what acts, with masks observed.
    """

    name: str
    algorithm: type[BaseAlgorithm]
    settings: type[Any]
    """Frozen dataclass of its settings (see `settings`)."""
    default_timesteps: int
    """Steps of a run when none are given: a small budget, not the best the learner can do."""
    default_num_envs: int
    """Environments that collect side by side, when no number is given."""
    many_cities: ClassVar[bool] = False
    """Whether it learns on a `MixedVecEnv`, whose observations are padded."""
    any_regions: ClassVar[bool] = False
    """Whether a trained one acts in cities with another number of regions (and the same number of groups)."""
    any_limit: ClassVar[bool] = False
    """Whether it learns where every episode has a cost limit of its own."""

    def check(self, venv: VecEnv) -> None:
        """Raise `ValueError` when the learner does not fit the environments' spaces."""

    def wrap(self, venv: VecEnv, settings: Any) -> VecEnv:
        """Prepare the environments for the learner."""
        del settings
        return venv

    def callbacks(self, venv: VecEnv, settings: Any) -> list[BaseCallback]:
        """Callbacks that belong to the learner itself."""
        del venv, settings
        return []

    def arguments(self, venv: VecEnv, settings: Any) -> tuple[Any, dict[str, Any]]:
        """Policy and keyword arguments of the algorithm."""
        raise NotImplementedError(f"{type(self).__name__} must write arguments()")

    def build(self, venv: VecEnv, settings: Any, *, seed: int, device: str = "cpu") -> BaseAlgorithm:
        """Make a fresh model on environments that `wrap` prepared."""
        policy, arguments = self.arguments(venv, settings)
        algorithm: Any = self.algorithm
        model: BaseAlgorithm = algorithm(policy, venv, seed=seed, device=device, verbose=0, **arguments)
        return model

    def load(self, path: Path, venv: VecEnv | None = None, *, device: str = "cpu", **kwargs: Any) -> BaseAlgorithm:
        """Read a saved model; with environments it can go on learning."""
        return self.algorithm.load(path, env=venv, device=device, **kwargs)

    def rebind(self, model: BaseAlgorithm, venv: VecEnv, settings: Any) -> None:
        """Give a model that was read back, to go on learning, what its file does not hold."""
        del model, venv, settings

    def policy(self, model: BaseAlgorithm) -> LearntPolicy:
        """What acts: `predict` with masks observed."""
        return LearntPolicy(model, self.name)


class LearntPolicy:
    """A trained model as a policy. It takes no closed choice, even if it saw no mask in training."""

    privileged = False

    def __init__(self, model: BaseAlgorithm, name: str = "model") -> None:
        self.model = model
        self.name = name

    @property
    def acting_network(self) -> tuple[EpisodeNet | PaperNet, int] | None:
        """What scores regions, and the number of groups that it was trained with; None for models without such."""
        return getattr(self.model, "acting_network", None)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Actions `[B]`, or one for an unbatched observation, as Stable-Baselines3's `predict`."""
        mask = observation.get("action_mask") if isinstance(observation, dict) else None
        if mask is None or getattr(self.model, "observes_masks", False):
            return self.model.predict(observation, state, episode_start, deterministic)
        if isinstance(self.model, MaskablePPO):
            masks = np.asarray(mask, dtype=bool)
            return self.model.predict(observation, state, episode_start, deterministic, action_masks=masks)
        if not isinstance(self.model.action_space, spaces.Discrete):  # dispatch, where every choice is open
            return self.model.predict(observation, state, episode_start, deterministic)
        policy: Any = self.model.policy
        policy.set_training_mode(False)
        tensors, batched = policy.obs_to_tensor(observation)
        with torch.no_grad():
            if isinstance(self.model, DQN):
                logits = policy.q_net(tensors)
                deterministic = True  # an exploring DQN is a random one; what was learnt is the greedy choice
            else:
                logits = policy.get_distribution(tensors).distribution.logits
            closed = torch.as_tensor(np.asarray(mask) == 0, device=logits.device).reshape(logits.shape)
            logits = logits.masked_fill(closed, -torch.inf)
            drawn = torch.distributions.Categorical(logits=logits)
            action = logits.argmax(dim=1) if deterministic else drawn.sample()
        chosen = action.cpu().numpy()
        return (chosen if batched else chosen[0]), state


class LimitedLearner(Learner):
    """A learner that knows no constraint, on reward - lambda * cost where the environment has a cost."""

    attention: ClassVar[bool] = False
    """Whether it takes STA-SAC's attention network where regions are to be buried."""

    def wrap(self, venv: VecEnv, settings: Any) -> VecEnv:
        """Add the Lagrangian reward, when the environments have a cost limit."""
        if not venv.has_attr("cost_limit"):
            return venv
        limit = float(venv.get_attr("cost_limit")[0])
        multiplier = LagrangeMultiplier(
            limit * settings.limit_margin,
            initial=settings.multiplier_init if settings.constrained else 0.0,
            maximum=settings.multiplier_max,
            learning_rate=settings.multiplier_lr,
            method=settings.multiplier_method if settings.constrained else "projected",  # softplus is never zero
        )
        space = venv.observation_space
        # Restoration-v0 settles what an out-of-steps episode leaves open inside its last step
        settled = has_regions(space) or is_dispatch(space) or is_undergrounding(space)
        return VecLagrangianReward(
            venv, multiplier, reward_scale=1.0 / return_unit(venv), bootstrap_truncated=not settled
        )

    def callbacks(self, venv: VecEnv, settings: Any) -> list[BaseCallback]:
        """The dual step."""
        if isinstance(venv, VecLagrangianReward):
            return [LagrangianCallback(venv, settings.dual_episodes, fixed=not settings.constrained)]
        return []

    def region_policy(self) -> Any:
        """The policy class over regions."""
        raise NotImplementedError(f"{type(self).__name__} must write region_policy()")

    def arguments(self, venv: VecEnv, settings: Any) -> tuple[Any, dict[str, Any]]:
        """The algorithm's own settings, with a policy over regions where the observation has them."""
        outside = {"width", *WRAPPER_SETTINGS}
        arguments = {key: value for key, value in asdict(settings).items() if key not in outside}
        space = venv.observation_space
        if has_regions(space):
            arguments["policy_kwargs"] = {
                "features_extractor_class": RegionExtractor,
                "features_extractor_kwargs": {"width": settings.width},
                "net_arch": [],
            }
            return self.region_policy(), arguments
        if is_undergrounding(space):
            arguments["policy_kwargs"] = {
                "features_extractor_class": SeasonExtractor,
                "features_extractor_kwargs": {"width": settings.width, "attention": self.attention},
                "net_arch": [],
            }
            return self.region_policy(), arguments
        if is_dispatch(space):
            arguments["policy_kwargs"] = {
                "features_extractor_class": DispatchFeatures,
                "net_arch": [settings.width, settings.width],
            }
            return "MultiInputPolicy", arguments
        arguments["policy_kwargs"] = {"net_arch": [settings.width, settings.width]}
        return ("MultiInputPolicy" if isinstance(space, spaces.Dict) else "MlpPolicy"), arguments


class PPOLearner(LimitedLearner):
    """Stable-Baselines3's PPO."""

    def region_policy(self) -> Any:
        """PPO's policy over regions."""
        return networks.RegionActorCriticPolicy


class MaskablePPOLearner(LimitedLearner):
    """sb3-contrib's MaskablePPO."""

    def check(self, venv: VecEnv) -> None:
        """It needs masks, by a method in training and in the observation when a trained model is used."""
        space = venv.observation_space
        in_observation = isinstance(space, spaces.Dict) and "action_mask" in space.spaces
        if not (is_masking_supported(venv) and in_observation):
            raise ValueError(
                "maskable-ppo needs an environment with a method action_masks() and the key action_mask in "
                "its observation; this one lacks them. Take ppo"
            )

    def region_policy(self) -> Any:
        """MaskablePPO's policy over regions."""
        return networks.RegionMaskableActorCriticPolicy


class STAPPOLearner(MaskablePPOLearner):
    """MaskablePPO with STA-SAC's network over regions to bury."""

    attention = True

    def check(self, venv: VecEnv) -> None:
        """It needs regions to bury."""
        if not is_undergrounding(venv.observation_space):
            raise ValueError(
                f"{self.name} chooses regions to bury: it needs the observation of Undergrounding-v0. For "
                "Restoration-v0 take sta-sac, for other environments ppo"
            )


class HRLDPDPLearner(MaskablePPOLearner):
    """MaskablePPO with a policy of two levels: a group, then a region of it."""

    def check(self, venv: VecEnv) -> None:
        """It needs regions, whose groups are its upper level."""
        check_regions(self.name, venv.observation_space)

    def region_policy(self) -> Any:
        """The policy of two levels."""
        return RegionHierarchicalPolicy

    def arguments(self, venv: VecEnv, settings: Any) -> tuple[Any, dict[str, Any]]:
        """As MaskablePPO's, with an extractor that hands the groups on."""
        policy, arguments = super().arguments(venv, settings)
        arguments["policy_kwargs"]["features_extractor_class"] = GroupedRegionExtractor
        return policy, arguments


class DQNLearner(LimitedLearner):
    """Stable-Baselines3's DQN."""

    def check(self, venv: VecEnv) -> None:
        """It needs a discrete choice."""
        if not isinstance(venv.action_space, spaces.Discrete):
            raise ValueError(f"dqn needs a Discrete action space; this environment has {venv.action_space}. Take ppo")

    def region_policy(self) -> Any:
        """DQN's policy over regions."""
        return networks.RegionDQNPolicy

    def arguments(self, venv: VecEnv, settings: Any) -> tuple[Any, dict[str, Any]]:
        """As the others, with a buffer that prices its costs anew."""
        policy, arguments = super().arguments(venv, settings)
        if isinstance(venv, VecLagrangianReward) and isinstance(venv.observation_space, spaces.Dict):
            arguments["replay_buffer_class"] = PricedReplayBuffer
        return policy, arguments


class MaskableDQNLearner(DQNLearner):
    """DQN that keeps to the mask."""

    def check(self, venv: VecEnv) -> None:
        """It reads the mask from the observation, also from replayed ones."""
        space = venv.observation_space
        if not (isinstance(space, spaces.Dict) and "action_mask" in space.spaces):
            raise ValueError(
                "maskable-dqn needs an environment with the key action_mask in its observation; this one lacks it. "
                "Take dqn"
            )
        super().check(venv)


def return_unit(venv: VecEnv) -> float:
    """A natural unit of an episode's return.

    Hours for a city: mean repair hours times N / 20. For generator dispatch a twentieth of what the typical wave costs
    if nothing is done, for undergrounding half of what a season then costs. Else 1.
    """
    if venv.has_attr("profile"):
        profile = venv.get_attr("profile")[0]
        if isinstance(profile, UndergroundingProfile):
            return 0.5 * usual_loss_h(profile)
        return float(profile.interruption_cost * typical_wave(profile).forecast.sum()) / 20.0
    if not venv.has_attr("city"):
        return 1.0
    return return_unit_h(venv.get_attr("city")[0])


ppo = PPOLearner("ppo", PPO, PPOSettings, default_timesteps=200_000, default_num_envs=32)
maskable_ppo = MaskablePPOLearner(
    "maskable-ppo", MaskablePPO, MaskablePPOSettings, default_timesteps=200_000, default_num_envs=64
)
sta_ppo = STAPPOLearner("sta-ppo", MaskablePPO, STAPPOSettings, default_timesteps=200_000, default_num_envs=64)
dqn = DQNLearner("dqn", DQN, DQNSettings, default_timesteps=60_000, default_num_envs=8)
maskable_dqn = MaskableDQNLearner(
    "maskable-dqn", MaskableDQN, MaskableDQNSettings, default_timesteps=60_000, default_num_envs=8
)
hrl_dpdp = HRLDPDPLearner("hrl-dpdp", MaskablePPO, HRLDPDPSettings, default_timesteps=200_000, default_num_envs=64)
