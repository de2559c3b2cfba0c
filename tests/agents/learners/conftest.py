"""What tests of learners share."""

from collections.abc import Callable

import pytest

from stormgym.agents.learners.base import Learner
from stormgym.agents.registry import AGENTS


@pytest.fixture(scope="session")
def learner_named() -> Callable[[str], Learner]:
    """Gives a learner of the registry by name."""

    def load(name: str) -> Learner:
        learner: Learner = AGENTS[name].load()
        return learner

    return load
