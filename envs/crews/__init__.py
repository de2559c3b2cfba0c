"""Crew dispatch: many crews, jobs that arrive, skills, duty hours, feeders."""

from stormgym.envs.crews.env import CrewDispatchEnv, CrewDispatchVectorEnv
from stormgym.envs.crews.instances import replay
from stormgym.envs.crews.reported import read_jobs

__all__ = ["CrewDispatchEnv", "CrewDispatchVectorEnv", "read_jobs", "replay"]
