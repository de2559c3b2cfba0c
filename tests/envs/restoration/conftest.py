"""What tests of Restoration-v0 share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.restoration.layout import crew_columns

CITY = "synthetic:12:1"


@pytest.fixture(scope="session")
def env_of() -> Callable[..., RestorationEnv]:
    """Makes a small environment, of 12 regions, that needs no fit unless `predictor` is given."""

    def make(city: Any = CITY, **kwargs: Any) -> RestorationEnv:
        return RestorationEnv(city, **{"predictor": "none", **kwargs})

    return make


@pytest.fixture(scope="session")
def crew_of() -> Callable[[RestorationEnv, dict[str, np.ndarray]], dict[str, float]]:
    """Reads the crew vector of an observation by column name."""

    def read(env: RestorationEnv, obs: dict[str, np.ndarray]) -> dict[str, float]:
        return dict(zip(crew_columns(env.city.n_groups), obs["crew"].tolist(), strict=True))

    return read
