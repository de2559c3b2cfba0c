"""Games of PettingZoo for RLlib, such as `DefenderAttacker-v0`.

    config = (
        PPOConfig()
        .environment(register_game("DefenderAttacker-v0"), env_config={"n_crews": 2})
        .multi_agent(policies=set(players_of("DefenderAttacker-v0")), policy_mapping_fn=player_of)
        .rl_module(rl_module_spec=game_modules("DefenderAttacker-v0"))
        .callbacks(EpisodeCosts)
    )

Each player has a module of its own.
"""

from __future__ import annotations

from stormgym.predictors.extras import require

require("stormgym.envs.adapters.rllib_game", "ray", "rllib")

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pettingzoo
from gymnasium import spaces
from pettingzoo import AECEnv
from pettingzoo.utils import BaseWrapper
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.wrappers.pettingzoo_env import PettingZooEnv
from ray.tune.registry import register_env

from stormgym.envs.adapters.masked import MASK, MaskedForm
from stormgym.envs.adapters.rllib import FORM, masked_module


class FlatGame(BaseWrapper[str, Any, Any]):
    """The game with a vector for each player to see, and beside it the mask of those who have one."""

    def __init__(self, env: AECEnv[str, Any, Any]) -> None:
        super().__init__(env)
        masked = (
            player for player in env.possible_agents if MASK in getattr(env.observation_space(player), "spaces", {})
        )
        self.forms = {
            player: MaskedForm(spaces.Dict(side_by_side(env.observation_space(player))), **FORM) for player in masked
        }

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Of one player."""
        if agent in self.forms:
            return self.forms[agent].space
        return spaces.flatten_space(self.env.observation_space(agent))

    def observe(self, agent: str) -> Any:
        """What a player sees."""
        seen = self.env.observe(agent)
        if agent in self.forms:
            return self.forms[agent].of(side_by_side(seen))
        return np.asarray(spaces.flatten(self.env.observation_space(agent), seen))


def side_by_side(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Parts of an observation, or of its space; where a game nests them under `observation`, they come out."""
    inner = parts.get("observation")
    return {**inner, MASK: parts[MASK]} if isinstance(inner, Mapping) else dict(parts)


def make_game(env_id: str, config: Mapping[str, Any]) -> PettingZooEnv:
    """A game, registered with PettingZoo, as RLlib takes it; `config` holds its arguments."""
    import_module("stormgym")  # registers games, on other machines too
    return PettingZooEnv(FlatGame(pettingzoo.make("aec", env_id, **config)))


def register_game(env_id: str) -> str:
    """Let every runner make a game; returns the name for `AlgorithmConfig.environment`."""
    register_env(env_id, partial(make_game, env_id))
    return env_id


def players_of(env_id: str) -> tuple[str, ...]:
    """Players of a game."""
    import_module("stormgym")
    return tuple(pettingzoo.make("aec", env_id).possible_agents)


def player_of(agent: str, *others: Any, **more: Any) -> str:
    """The module of a player: its own."""
    del others, more
    return agent


def game_modules(env_id: str) -> MultiRLModuleSpec:
    """A module a player; those that have a mask never draw a closed choice."""
    import_module("stormgym")
    game = pettingzoo.make("aec", env_id)

    def module_of(player: str) -> RLModuleSpec:
        masked = MASK in getattr(game.observation_space(player), "spaces", {})
        return masked_module() if masked else RLModuleSpec()

    return MultiRLModuleSpec(rl_module_specs={player: module_of(player) for player in game.possible_agents})
