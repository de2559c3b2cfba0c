"""Crew dispatch: many crews, jobs that arrive, skills, duty hours, feeders."""

from stormgym.envs.crews.instances import replay

__all__ = ["replay"]
