"""Decision problems as single environments, one class a problem; `vector_env` has the native vector forms."""

from __future__ import annotations

from stormgym.envs.decisions.core import DecisionCore
from stormgym.envs.decisions.problem import DecisionProblem
from stormgym.envs.doors import CoreFacts


class HasProblem(CoreFacts):
    """What the single and the vector environment both show beside the facts of every environment."""

    core: DecisionCore

    @property
    def problem(self) -> DecisionProblem:
        """The problem as planners may know it."""
        return self.core.announced.problem
