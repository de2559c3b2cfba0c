"""RLlib's new API stack: environments by id on every runner, masked actions, costs of episodes among its results.

    config = (
        PPOConfig()
        .environment(register_env("Restoration-v0"), env_config={"city": "synthetic:12:1"})
        .env_runners(num_env_runners=2, num_envs_per_env_runner=8, gym_env_vectorize_mode="vector_entry_point")
        .rl_module(rl_module_spec=masked_module())
        .callbacks(EpisodeCosts)
    )

The game `DefenderAttacker-v0` is in `stormgym.envs.adapters.rllib_game`.
"""

from __future__ import annotations

from stormgym.predictors.extras import require

require("stormgym.envs.adapters.rllib", "ray", "rllib")

from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import FlattenObservation, TransformObservation
from gymnasium.wrappers.vector import TransformObservation as VectorTransformObservation
from numpy.typing import NDArray
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule, RLModuleSpec
from ray.rllib.utils.spaces.space_utils import unsquash_action
from ray.tune.registry import register_env as register_with_ray

from stormgym.envs.adapters.masked import MASK, MaskedObservation, VectorMaskedObservation
from stormgym.envs.making import spec_of

SEEN = "observations"
"""Name of the part of an observation that is no mask."""
FORM: dict[str, Any] = {"observation": SEEN, "mask_dtype": np.float32}


def register_env(env_id: str) -> str:
    """Let every runner make environments of an id, on other machines too; `env_config` holds their arguments.

    Args:
        env_id: a registered id; what a prefix `module:` names is imported on the runners as well.

    Returns:
        The name for `AlgorithmConfig.environment`.

    Raises:
        gymnasium.error.Error: no such id.
    """
    spec_of(env_id)
    register_with_ray(env_id, partial(make_env, env_id))
    return env_id


def make_env(env_id: str, config: Mapping[str, Any]) -> Any:
    """An environment as RLlib takes it; with `num_envs` in `config` the native vector form of as many.

    Where actions are masked, observations are `{"observations": float32 vector, "action_mask": float32}`; elsewhere
    they are the vector alone.
    """
    arguments = dict(config)
    num_envs = arguments.pop("num_envs", None)
    name = spec_of(env_id).id
    if num_envs is None:
        env = gym.make(name, **arguments)
        if MASK not in getattr(env.observation_space, "spaces", {}):
            return FlattenObservation(env)
        if is_masked(env.action_space):
            return MaskedObservation(env, **FORM)
        seen = MaskedObservation(env, **FORM, mask=None)
        return TransformObservation(seen, _seen, seen.form.space.spaces[SEEN])
    envs = gym.make_vec(name, num_envs, vectorization_mode="vector_entry_point", **arguments)
    if is_masked(envs.single_action_space):
        return VectorMaskedObservation(envs, **FORM)
    flat = VectorMaskedObservation(envs, **FORM, mask=None)
    one = flat.form.space.spaces[SEEN]
    return VectorTransformObservation(flat, _seen, batch_space(one, num_envs), one)


def is_masked(action_space: spaces.Space[Any]) -> bool:
    """Whether masks close choices: those of spaces without choices are all ones."""
    return isinstance(action_space, spaces.Discrete | spaces.MultiDiscrete)


def _seen(observation: Mapping[str, Any]) -> Any:
    return observation[SEEN]


class MaskedModule(DefaultPPOTorchRLModule):
    """PPO's module on observations without their mask, which never draws a closed choice.

    Args:
        observation_space: `{"observations": Box, "action_mask": Box}` of `make_env`.
        **others: of RLlib's modules.
    """

    def __init__(self, *args: Any, observation_space: spaces.Dict, **others: Any) -> None:
        super().__init__(*args, observation_space=observation_space[SEEN], **others)
        self.observation_space = observation_space  # checkpoints keep the arguments of this class

    def _forward(self, batch: dict[str, Any], **others: Any) -> dict[str, Any]:
        return _masked(super()._forward(_unmasked(batch), **others), batch)

    def _forward_train(self, batch: dict[str, Any], **others: Any) -> dict[str, Any]:
        return _masked(super()._forward_train(_unmasked(batch), **others), batch)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Any:
        """Values of states `[B]`."""
        return super().compute_values(_unmasked(batch), embeddings)


def _unmasked(batch: dict[str, Any]) -> dict[str, Any]:
    return {**batch, Columns.OBS: batch[Columns.OBS][SEEN]}


def _masked(output: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
    logits = output[Columns.ACTION_DIST_INPUTS]  # [B, A], of several choices one after the other
    closed = batch[Columns.OBS][MASK] == 0
    return {**output, Columns.ACTION_DIST_INPUTS: logits.masked_fill(closed, torch.finfo(logits.dtype).min)}


def masked_module(**arguments: Any) -> RLModuleSpec:
    """What `AlgorithmConfig.rl_module` takes for masked actions; `arguments` are of `RLModuleSpec`."""
    return RLModuleSpec(module_class=MaskedModule, **arguments)


class EpisodeCosts(RLlibCallback):
    """Put costs of episodes beside their returns: `episode_cost_mean`, `episode_cost_max`, `episode_metrics`.

    RLlib cuts episodes into fragments, and a sum over the infos of an ended episode is that of its last fragment. The
    environments add the cost up themselves, and the last info has the sum.
    """

    def on_episode_end(  # type: ignore[override]  # the rest of its arguments is not needed
        self, *, episode: Any, env_runner: Any, metrics_logger: Any, **others: Any
    ) -> None:
        """Log cost and metrics of an episode, averaged over as many episodes as its return is."""
        del others
        parts = getattr(episode, "agent_episodes", {"": episode})  # of the players of a game, who all know the cost
        info = next(info for part in parts.values() if "metrics" in (info := part.get_infos(-1)))
        config = env_runner.config
        window = max(1, -(-config.metrics_num_episodes_for_smoothing // (config.num_env_runners or 1)))
        cost = float(info["episode_cost"])
        metrics_logger.log_value("episode_cost_mean", cost, window=window)
        metrics_logger.log_value("episode_cost_max", cost, reduce="max", window=window)
        for name, value in info["metrics"].items():
            metrics_logger.log_value(("episode_metrics", name), float(value), window=window)


class ModulePolicy:
    """A trained module that acts as every agent of this package does: `predict` on observations of the environment.

    Args:
        module: `algorithm.get_module()`, or `RLModule.from_checkpoint(...)`.
        env: the environment that it will play, single or vector, as `gym.make` and `gym.make_vec` make it.
    """

    def __init__(self, module: RLModule, env: Any) -> None:
        self.module = module
        self.action_space = getattr(env, "single_action_space", env.action_space)
        space = getattr(env, "single_observation_space", env.observation_space)
        self.shapes = {name: part.shape for name, part in space.spaces.items()}

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[NDArray[Any], Any]:
        """Actions for one observation or a batch, as Stable-Baselines3's `predict` gives them."""
        del episode_start
        single = all(np.shape(observation[name]) == shape for name, shape in self.shapes.items())
        rows = 1 if single else len(next(iter(observation.values())))
        parts = {name: torch.as_tensor(observation[name]).reshape(rows, -1).float() for name in self.shapes}
        mask = parts.pop(MASK, None)
        seen: Any = torch.cat(list(parts.values()), dim=1)  # [B, F], in the order of the space
        if is_masked(self.action_space):
            seen = {SEEN: seen, MASK: mask}
        with torch.no_grad():
            inputs = self.module.forward_inference({Columns.OBS: seen})
        chances = self.module.get_inference_action_dist_cls().from_logits(inputs[Columns.ACTION_DIST_INPUTS])
        drawn: Any = (chances.to_deterministic() if deterministic else chances).sample()
        action = drawn.numpy()
        if not is_masked(self.action_space):
            action = unsquash_action(action, self.action_space)
        return (action[0] if single else action), state
