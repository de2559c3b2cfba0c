"""Crew dispatch: many crews, jobs that arrive, skills, duty hours, feeders."""

from stormgym.envs.crews.instances import replay
from stormgym.envs.crews.reported import read_jobs

__all__ = ["read_jobs", "replay"]
