"""What tests of datasets share."""

import pytest

from stormgym.agents.restoration.planners import EquityPlanner, TSPPolicy


@pytest.fixture(autouse=True)
def quick_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planners search for a moment: a dataset holds what was played, and how well it was played is not its concern."""
    for planner in (EquityPlanner, TSPPolicy):
        monkeypatch.setitem(planner.__init__.__kwdefaults__, "iterations", 20)
