"""Names of before: the contracts are in `stormgym.agents.dfl.decision`."""

from stormgym.agents.dfl.decision import Data, Model, regret
from stormgym.agents.dfl.decision import LinearDecision as Problem

__all__ = ["Data", "Model", "Problem", "regret"]
