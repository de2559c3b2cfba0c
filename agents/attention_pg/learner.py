"""The attention model by policy gradient as a learner of the registry."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.attention_pg.algorithm import AttentionPG
from stormgym.agents.attention_pg.settings import AttentionPGSettings
from stormgym.agents.learners.base import Learner
from stormgym.agents.restoration.network.features import check_regions


class AttentionPGLearner(Learner):
    """Attention model by policy gradient: it knows the constraint itself."""

    any_regions = True
    must_match = "number of groups"
    takes_extractor = False

    def check(self, venv: VecEnv) -> None:
        """It needs regions, and environments enough for a baseline."""
        check_regions(self.name, venv.observation_space)
        if venv.num_envs < 2:
            raise ValueError(
                f"{self.name} needs at least 2 environments, which are each other's baseline; got {venv.num_envs}. "
                "Raise --num-envs"
            )

    def arguments(self, venv: VecEnv, settings: AttentionPGSettings, extractor: Any) -> tuple[Any, dict[str, Any]]:
        """The settings as they are."""
        del venv, extractor
        return "AttentionPolicy", {"settings": settings}


attention_pg = AttentionPGLearner(
    "attention-pg", AttentionPG, AttentionPGSettings, default_timesteps=600_000, default_num_envs=64
)
