"""What tests of training share."""

from collections.abc import Callable

import numpy as np
import pytest

from stormgym.agents.training.play import Score


@pytest.fixture(scope="session")
def score() -> Callable[..., Score]:
    """Makes the score of one episode: score(return, cost, limit)."""

    def make(mean_return: float, cost: float, limit: float = 8.0) -> Score:
        return Score(np.array([mean_return]), np.array([cost]), limit, {})

    return make
