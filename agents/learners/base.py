"""`Learner`, the interface of trainable agents: it builds and wraps a Stable-Baselines3 model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.attention.networks import EpisodeNet, PaperNet
from stormgym.agents.domain import load_entry


@dataclass(frozen=True)
class Learner:
    """One learner of the registry.

    `wrap` prepares environments (the Lagrangian reward for learners without constraints), `build` makes a new model on
    them, `save` writes it, `load` reads it to act and `restore` to go on learning, and `policy` returns the policy that
    acts, within action masks.
    """

    name: str
    algorithm: type[BaseAlgorithm]
    settings: type[Any]
    """Frozen dataclass of its settings (see `learners.settings`)."""
    default_timesteps: int
    """Default budget in steps: a small one, at which the learner has not reached its best."""
    default_num_envs: int
    """Number of parallel environments by default."""
    many_cities: ClassVar[bool] = False
    """Whether it learns on a `MixedVecEnv`, whose observations are padded."""
    any_regions: ClassVar[bool] = False
    """Whether a trained one acts in cities with another number of regions (and the same number of groups)."""
    takes_extractor: ClassVar[bool] = True
    """Whether its networks read the features that the environment's domain names (`Domain.extractor`)."""
    any_limit: ClassVar[bool] = False
    """Whether it learns where every episode has a cost limit of its own."""
    any_measure: ClassVar[bool] = False
    """Whether it learns under limits on the tail of the cost too (`RiskMeasure`), not on its mean alone."""
    must_match: ClassVar[str] = "size"
    """What an environment must share with that of the training for a trained one to act in it; words of an error."""

    remembers: ClassVar[tuple[str, ...]] = ("usual_action",)
    """Attributes of the environments that `arguments` reads: a saved model keeps them (numbers, lists and words)."""

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

    def arguments(self, venv: VecEnv, settings: Any, extractor: type[Any] | None) -> tuple[Any, dict[str, Any]]:
        """Policy and keyword arguments of the algorithm; `extractor` as for `build`."""
        raise NotImplementedError(f"{type(self).__name__} must write arguments()")

    def build(
        self, venv: VecEnv, settings: Any, *, seed: int, device: str = "cpu", extractor: str | None = None
    ) -> BaseAlgorithm:
        """Make a fresh model on environments that `wrap` prepared.

        Args:
            venv: the environments.
            settings: of the class `self.settings`.
            seed: of networks and exploration.
            device: torch device.
            extractor: "module:Class" of the features that the environment's domain names (`Domain.extractor`); learners
                with networks of their own ignore it.
        """
        features = None if extractor is None else load_entry(extractor)
        policy, arguments = self.arguments(venv, settings, features)
        algorithm: Any = self.algorithm
        model: BaseAlgorithm = algorithm(policy, venv, seed=seed, device=device, verbose=0, **arguments)
        return model

    def load_pickled(
        self, path: Path, venv: VecEnv | None = None, *, device: str = "cpu", **kwargs: Any
    ) -> BaseAlgorithm:
        """Read a zip file of Stable-Baselines3, in which anything may be run: only where it is trusted."""
        return self.algorithm.load(path, env=venv, device=device, **kwargs)

    def fits(self, model: BaseAlgorithm, env: Any) -> bool:
        """Whether a trained model can act in an environment (Env, VectorEnv or VecEnv) whose spaces are not its own.

        It can where its network takes any number of regions (`any_regions`) and the observation has the same parts,
        differing only in what has one number a choice.
        """
        space = getattr(env, "single_observation_space", None) or env.observation_space
        known = model.observation_space
        if not (self.any_regions and isinstance(space, spaces.Dict) and isinstance(known, spaces.Dict)):
            return False
        if set(space.spaces) != set(known.spaces):
            return False
        here, there = space["action_mask"].shape, known["action_mask"].shape
        return all(
            space[key].shape == here if known[key].shape == there else space[key] == known[key] for key in space.spaces
        )

    def policy(self, model: BaseAlgorithm) -> LearntPolicy:
        """The model as a policy whose `predict` keeps to action masks."""
        return LearntPolicy(model, self.name)


class LearntPolicy:
    """A trained model as a policy. It takes no masked action, even if it was trained without masks."""

    privileged = False

    def __init__(self, model: BaseAlgorithm, name: str = "model") -> None:
        self.model = model
        self.name = name

    @property
    def acting_network(self) -> tuple[EpisodeNet | PaperNet, int] | None:
        """The network that scores regions, and G, its number of groups; None for models without one."""
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
