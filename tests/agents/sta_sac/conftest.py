"""A small STA-SAC, fresh or trained for a moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.risk_measure import MEAN, RiskMeasure

CITY = "synthetic:7:1"
SMALL = STASACSettings(
    learning_starts=60, gradient_steps=2, teacher="none", width=16, n_heads=2, n_layers=1, step_width=8
)


def small_model(seed: int = 0, n_envs: int = 4, measure: RiskMeasure = MEAN, **changes: Any) -> STASAC:
    limited = {"cost_limit_kind": measure.kind, "cost_limit_level": measure.level}
    env = make_vec_env("Restoration-v0", n_envs, seed=seed, city=CITY, **limited)
    return STASAC("STASACPolicy", env, replace(SMALL, **changes), seed=seed, device="cpu")


@pytest.fixture(scope="session")
def make() -> Any:
    """Makes a model on the small city, with changes of its settings; nobody teaches unless they say so."""
    return small_model


@pytest.fixture(scope="session")
def trained() -> STASAC:
    """A model after 280 steps without a teacher; nobody changes it."""
    return small_model().learn(280)
