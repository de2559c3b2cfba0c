"""TorchRL: environments whose masks are kept to and whose costs stand in the data, single, parallel, batched or a game.

env = make_env("stormgym:Restoration-v0", num_envs=64)
data = env.rollout(200, policy, break_when_any_done=False)
data["next", "cost"]  # [64, 200] of each transition
"""

from __future__ import annotations

from stormgym.predictors.extras import require

require("stormgym.envs.adapters.torchrl", ("torch", "torchrl"), "torchrl")

from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import pettingzoo
import torch
from gymnasium.vector import AutoresetMode
from torchrl.data import Categorical, Unbounded
from torchrl.envs import ActionMask, EnvBase, ParallelEnv, PettingZooWrapper, TransformedEnv, default_info_dict_reader
from torchrl.envs.libs.gym import GymWrapper

from stormgym.envs.adapters.masked import MaskedObservation, VectorMaskedObservation
from stormgym.envs.making import spec_of
from stormgym.envs.plain_info import PlainInfo, PlainInfoAEC, VectorPlainInfo

COSTS = ("cost", "episode_cost")
"""What is read from infos, as float64: the cost of the transition, and of the episode so far."""


def make_env(
    env_id: str, num_envs: int | None = None, *, form: Mapping[str, Any] | None = None, **kwargs: Any
) -> TransformedEnv:
    """One environment, or B of them in one batch where the id has a native vector form.

    The observation is `observation`, one vector, and `action_mask`, bool, which limits what `rand_action` draws where
    actions are `Discrete`; a policy masks its own (`MaskedCategorical`). Other data: `cost` and `episode_cost`.

    Args:
        env_id: a registered id.
        num_envs: B; None for one environment without a batch dimension.
        form: of the observation, see `MaskedForm`.
        **kwargs: arguments of the environment.
    """
    return _masked(_wrapped(env_id, num_envs, form, kwargs))


def make_parallel_env(
    env_id: str, num_workers: int, *, form: Mapping[str, Any] | None = None, **kwargs: Any
) -> TransformedEnv:
    """Single environments in processes of their own; arguments as for `make_env`."""
    # the mask is outside: random actions are drawn here, not in the workers
    return _masked(ParallelEnv(num_workers, partial(_wrapped, env_id, None, form, kwargs)))


def _wrapped(env_id: str, num_envs: int | None, form: Mapping[str, Any] | None, kwargs: dict[str, Any]) -> GymWrapper:
    spec = spec_of(env_id)
    if num_envs is None:
        env: Any = PlainInfo(MaskedObservation(gym.make(spec.id, **kwargs), **(form or {})))
    else:
        # TorchRL resets what has ended by itself: DISABLED is the mode in which no transition is lost or made up
        mode = AutoresetMode.DISABLED
        batch = gym.make_vec(spec.id, num_envs, vectorization_mode="vector_entry_point", autoreset_mode=mode, **kwargs)
        env = VectorPlainInfo(VectorMaskedObservation(batch, **(form or {})))
    wrapped = GymWrapper(env, categorical_action_encoding=True)
    shape = () if num_envs is None else (num_envs,)
    costs = [Unbounded(shape, dtype=torch.float64) for _ in COSTS]
    wrapped.set_info_dict_reader(default_info_dict_reader(list(COSTS), spec=costs))
    return wrapped


def _masked(env: EnvBase) -> TransformedEnv:
    action = env.full_action_spec["action"]
    one_choice = (
        isinstance(action, Categorical) and action.shape == env.batch_size
    )  # a part each has one dimension more
    return TransformedEnv(env, ActionMask() if one_choice else None)


def make_game(env_id: str, **kwargs: Any) -> EnvBase:
    """A game of PettingZoo, one group of data a player: `planner/observation/...`, `planner/action`, ...

    Args:
        env_id: registered with PettingZoo.
        **kwargs: arguments of the game.
    """
    game = PlainInfoAEC(pettingzoo.make("aec", env_id.rpartition(":")[2], **kwargs))
    groups = {agent: [agent] for agent in game.possible_agents}
    return PettingZooWrapper(game, use_mask=True, group_map=groups, categorical_actions=True)
