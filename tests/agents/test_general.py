"""Agents that know no environment: they load, and fit environments without a domain."""

from __future__ import annotations

from dataclasses import is_dataclass

import gymnasium as gym
import pytest

from stormgym.agents import general
from stormgym.agents.domain import AgentSpec, load_entry
from stormgym.agents.general import ANYWHERE, RANDOM
from stormgym.agents.learners.base import Learner
from stormgym.agents.policy import BasePolicy
from stormgym.agents.registry import AGENTS, domain_of

LEARNERS = [spec for spec in vars(general).values() if isinstance(spec, AgentSpec) and spec.trainable]


@pytest.mark.parametrize("spec", LEARNERS, ids=lambda spec: spec.name)
def test_learner__is_the_one_of_its_name_with_its_settings(spec: AgentSpec) -> None:
    learner = spec.load()
    assert isinstance(learner, Learner)
    assert learner.name == spec.name
    assert spec.trainable
    assert spec.settings is not None
    assert load_entry(spec.settings) is learner.settings
    assert is_dataclass(learner.settings)


def test_random__is_a_policy_that_needs_no_training() -> None:
    assert issubclass(RANDOM.load(), BasePolicy)
    assert not RANDOM.trainable
    assert not RANDOM.privileged


def test_anywhere__are_the_learners_of_environments_without_a_domain() -> None:
    assert domain_of("CartPole-v1").agents == ANYWHERE
    assert "CartPole-v1" in gym.registry
    assert {spec.name for spec in ANYWHERE} == {"ppo", "dqn", "maskable-ppo", "sac"}
    assert all(AGENTS[spec.name] == spec for spec in (*LEARNERS, RANDOM))
