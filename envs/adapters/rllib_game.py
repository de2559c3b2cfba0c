"""The game `DefenderAttacker-v0` for RLlib: three players, each with a module of its own.

config = (
    PPOConfig()
    .environment(register_game(), env_config={"n_crews": 2})
    .multi_agent(policies=set(PLAYERS), policy_mapping_fn=player_of)
    .rl_module(rl_module_spec=game_modules())
    .callbacks(EpisodeCosts)
)
"""

from __future__ import annotations

from stormgym.predictors.extras import require

require("stormgym.envs.adapters.rllib_game", "ray", "rllib")

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo.utils import BaseWrapper
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.wrappers.pettingzoo_env import PettingZooEnv
from ray.tune.registry import register_env

from stormgym.envs.adapters.masked import MASK, MaskedForm
from stormgym.envs.adapters.rllib import FORM, masked_module
from stormgym.envs.undergrounding.adversary import NATURE, PLAYERS, DefenderAttackerEnv

GAME = str(DefenderAttackerEnv.metadata["name"])


class FlatGame(BaseWrapper[str, Any, Any]):
    """The game with a vector for each player to see, and beside it the mask of those who have one."""

    def __init__(self, env: DefenderAttackerEnv) -> None:
        super().__init__(env)
        masked = (player for player in PLAYERS if MASK in getattr(env.observation_space(player), "spaces", {}))
        self.forms = {player: MaskedForm(env.observation_space(player), **FORM) for player in masked}

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Of one player."""
        if agent in self.forms:
            return self.forms[agent].space
        return spaces.flatten_space(self.env.observation_space(agent))

    def observe(self, agent: str) -> Any:
        """What a player sees."""
        seen = self.env.observe(agent)
        if agent in self.forms:
            return self.forms[agent].of(seen)
        return np.asarray(spaces.flatten(self.env.observation_space(agent), seen))


def make_game(config: Mapping[str, Any]) -> PettingZooEnv:
    """The game as RLlib takes it; `config` holds its arguments."""
    return PettingZooEnv(FlatGame(DefenderAttackerEnv(**config)))


def register_game() -> str:
    """Let every runner make the game; returns the name for `AlgorithmConfig.environment`."""
    register_env(GAME, make_game)
    return GAME


def player_of(agent: str, *others: Any, **more: Any) -> str:
    """The module of a player: its own."""
    del others, more
    return agent


def game_modules() -> MultiRLModuleSpec:
    """A module a player; planner and crews never draw a closed choice, and nature has none."""
    return MultiRLModuleSpec(
        rl_module_specs={player: RLModuleSpec() if player == NATURE else masked_module() for player in PLAYERS}
    )
