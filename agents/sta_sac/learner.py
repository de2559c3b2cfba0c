"""STA-SAC as a learner of the registry, and the plain form of its paper."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from stormgym.agents.learners.base import Learner
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.reading import reading_of
from stormgym.agents.sta_sac.settings import STASACPaperSettings, STASACSettings


class STASACLearner(Learner):
    """STA-SAC: it knows the constraint itself."""

    many_cities = True
    any_regions = True
    must_match = "number of groups"
    takes_extractor = False
    any_limit = True
    any_measure = True

    def check(self, venv: VecEnv) -> None:
        """Some domain must say how STA-SAC is to read the observations, and choose the actions."""
        reading_of(venv.observation_space).check_actions(venv.action_space)

    def arguments(self, venv: VecEnv, settings: STASACSettings, extractor: Any) -> tuple[Any, dict[str, Any]]:
        """The settings as they are; what the environments decide, the algorithm asks them itself."""
        del venv, extractor
        return "STASACPolicy", {"settings": settings}


sta_sac = STASACLearner("sta-sac", STASAC, STASACSettings, default_timesteps=240_000, default_num_envs=64)
sta_sac_paper = STASACLearner(
    "sta-sac-paper", STASAC, STASACPaperSettings, default_timesteps=60_000, default_num_envs=16
)
