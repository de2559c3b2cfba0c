"""The learner of the registry: which environments it takes."""

from __future__ import annotations

from typing import Any

import pytest
from stable_baselines3.common.env_util import make_vec_env as make_dummy_vec_env

from stormgym.agents.attention_pg.learner import attention_pg
from stormgym.envs.adapters.sb3 import make_vec_env


def environments(num_envs: int) -> Any:
    return make_vec_env("Restoration-v0", num_envs, seed=2, city="synthetic:7:1", predictor="none")


def test_attention_pg__is_told_to_have_more_environments() -> None:
    with pytest.raises(ValueError, match=r"attention-pg needs at least 2 environments.*got 1"):
        attention_pg.check(environments(1))
    with pytest.raises(ValueError, match="attention-pg chooses among regions"):
        attention_pg.check(make_dummy_vec_env("CartPole-v1", n_envs=2))
