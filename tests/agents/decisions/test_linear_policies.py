"""Policies of linear decisions: every name plays alone as in a batch, at a risk, and says what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.decisions import generative, linear, linear_policies
from stormgym.agents.decisions.domain import LINEAR_METHODS
from stormgym.agents.decisions.generative import ball_radius
from stormgym.agents.decisions.policies import risk_of
from stormgym.agents.decisions.policy_net import PolicyNet
from stormgym.agents.dfl import recall
from stormgym.agents.lineup import make_policy
from stormgym.agents.registry import domain_of
from stormgym.predictors.flows import ConditionalFlow
from stormgym.predictors.gaussian import DiagonalGaussian
from stormgym.predictors.point import PointNet

IDS = ("Portfolio-v0", "FractionalKnapsack-v0", "ShortestPath-v0", "EnergyScheduling-v0")
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{env_id: (env_id, {}) for env_id in IDS},
    "whole items": ("FractionalKnapsack-v0", {"integral": True}),
    "moves": ("ShortestPath-v0", {"actions": "moves"}),
}
NAMES = [spec.name for spec in LINEAR_METHODS]
SEEDS = [3, 8, 5]


@pytest.fixture(autouse=True, scope="module")
def _quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Small networks, one epoch of tuning, a cache and a memory of our own."""
    small: dict[str, Any] = {"hidden": (16,), "max_epochs": 3}
    made = {
        "flow": lambda seed: ConditionalFlow(random_state=seed, **small),
        "gaussian": lambda seed: DiagonalGaussian(random_state=seed, **small),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "GENERATORS", {**linear.GENERATORS, **made})
        patch.setattr(linear, "new_point", lambda seed: PointNet(random_state=seed, **small))
        patch.setattr(linear, "PolicyNet", partial(PolicyNet, max_steps=4))
        patch.setattr(linear_policies, "GEN_DFL", replace(linear_policies.GEN_DFL, n_epochs=1))
        patch.setattr(linear_policies, "SPO_PLUS", replace(linear_policies.SPO_PLUS, n_epochs=2))
        patch.setattr(generative, "RADII", (0.0, 0.3))
        patch.setenv("STORMGYM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(recall, "_kept", type(recall._kept)())
        yield


def arguments(form: str, **kwargs: Any) -> tuple[str, dict[str, Any]]:
    env_id, own = FORMS[form]
    return env_id, {**domain_of(env_id).small, **own, **kwargs}


def vector(form: str, **kwargs: Any) -> Any:
    env_id, found = arguments(form, **kwargs)
    return gym.make_vec(env_id, len(SEEDS), vectorization_mode="vector_entry_point", **found)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_policy__decides_alone_as_in_a_batch_and_within_the_feasible_set(form: str, name: str) -> None:
    env = vector(form)
    observation, _ = env.reset(seed=SEEDS)
    actions, _ = make_policy(name, env).predict(observation)
    assert all(
        env.single_action_space.contains(action) for action in np.asarray(actions, env.single_action_space.dtype)
    )
    *_, infos = env.step(actions)
    assert not np.asarray(infos["metrics"]["repaired"]).any()
    env_id, own = arguments(form)
    for i, seed in enumerate(SEEDS):
        alone = gym.make(env_id, **own)
        seen, _ = alone.reset(seed=seed)
        action, _ = make_policy(name, alone).predict(seen)
        np.testing.assert_allclose(action, actions[i], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["sampled-plan", "dro", "gen-dfl", "true-distribution"])
def test_risk__is_that_of_the_problem_unless_it_is_named(name: str) -> None:
    env = vector("FractionalKnapsack-v0", risk=0.1)
    own = make_policy(name, env)
    assert (own.risk, make_policy(name, env, risk=0.5).risk) == (0.1, 0.5)
    assert make_policy(name, vector("FractionalKnapsack-v0")).risk == 1.0
    observation, _ = env.reset(seed=SEEDS)
    averse, neutral = (np.asarray(p.predict(observation)[0]) for p in (own, make_policy(name, env, risk=1.0)))
    assert name == "dro" or not np.allclose(averse, neutral)
    assert risk_of(env.problem, None) == 0.1
    with pytest.raises(ValueError, match=r"risk must be in \(0, 1\]"):
        make_policy(name, env, risk=2.0)


def test_true_distribution__has_the_least_true_risk() -> None:
    env = vector("ShortestPath-v0", risk=0.1)
    found = {}
    for name in ("true-distribution", "two-stage", "usual"):
        observation, _ = env.reset(seed=SEEDS)
        *_, infos = env.step(make_policy(name, env).predict(observation)[0])
        found[name] = float(np.mean(infos["metrics"]["risk_regret"]))
    assert found["true-distribution"] == min(found.values())


def test_dro__takes_the_radius_that_was_validated() -> None:
    env = vector("Portfolio-v0", risk=0.1)
    policy = make_policy("dro", env)
    assert policy.radius == ball_radius(policy.task, policy.model, 0.1)


def test_sampled_plan__takes_any_generator_by_name() -> None:
    env = vector("ShortestPath-v0")
    for name in linear.GENERATORS:
        assert make_policy("sampled-plan", env, generator=name).generator == name
    with pytest.raises(ValueError, match="generator must be one of"):
        make_policy("sampled-plan", env, generator="vae")


def test_errors__costs_that_are_not_linear_have_other_methods() -> None:
    env = gym.make("HospitalBeds-v0", instance=1)
    from stormgym.agents.decisions.linear_policies import SampledPlan

    with pytest.raises(TypeError, match="sampled-plan needs costs that are linear in what comes"):
        SampledPlan.for_env(env)
