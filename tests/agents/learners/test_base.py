"""Learners of the registry: real models that act on open regions, and settings that reach their algorithms."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from stormgym.agents.learners.base import Learner
from stormgym.agents.learners.sb3 import WRAPPER_SETTINGS
from stormgym.agents.registry import AGENTS, DOMAINS

NAMES = [name for name, spec in AGENTS.items() if spec.trainable]
CONTINUOUS = ("sac",)
"""Learners without choices and masks: test_box.py."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CONTINUOUS])
def test_learner__builds_a_real_model_that_acts_on_open_regions_only(
    name: str, mid_episode: Callable[..., Any], learner_named: Callable[[str], Learner]
) -> None:
    domain = next(domain for domain in DOMAINS.values() if domain.agent(name) is not None)
    venv, obs = mid_episode(env_id=domain.env_id)
    learner = learner_named(name)
    assert learner.name == name
    settings = learner.settings()
    learner.check(venv)
    model = learner.build(learner.wrap(venv, settings), settings, seed=0, extractor=domain.extractor)
    assert type(model) is learner.algorithm
    policy = learner.policy(model)
    for deterministic in (True, False):
        action, _ = policy.predict(obs, deterministic=deterministic)
        assert action.shape == (4,)
        assert obs["action_mask"][np.arange(4), action].all()
    single = {key: value[0] for key, value in obs.items()}
    alone, _ = policy.predict(single, deterministic=True)
    assert np.ndim(alone) == 0
    assert alone == policy.predict(obs, deterministic=True)[0][0]


@pytest.mark.parametrize("name", NAMES)
def test_learner__settings_reach_the_algorithm_and_unknown_ones_are_errors(
    name: str, mid_episode: Callable[..., Any], learner_named: Callable[[str], Learner]
) -> None:
    learner = learner_named(name)
    taken = set(inspect.signature(learner.algorithm.__init__).parameters)
    if "settings" in taken:  # the algorithm takes them whole
        venv, _ = mid_episode()
        chosen = learner.settings(limit_margin=0.5, width=16)
        model: Any = learner.build(venv, chosen, seed=0)
        assert model.settings is chosen
        assert model.policy_kwargs["width"] == 16
    else:
        assert {f.name for f in fields(learner.settings)} <= {"width", *WRAPPER_SETTINGS, *taken}
    with pytest.raises(TypeError, match="unheard_of"):
        learner.settings(unheard_of=1)
