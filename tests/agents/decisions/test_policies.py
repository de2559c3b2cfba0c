"""Policies of decisions: every name plays alone as in a batch, reads no more than it may, and names what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.binding import PrivilegeError
from stormgym.agents.decisions import methods
from stormgym.agents.decisions.network_security import GraphLearner, NetworkSecurityTask
from stormgym.agents.decisions.policies import (
    Clairvoyant,
    DecisionPolicy,
    TrueDistribution,
    TwoStage,
    Usual,
    problem_of,
)
from stormgym.agents.dfl import recall
from stormgym.agents.lineup import make_policy
from stormgym.agents.registry import agent_spec, domain_of, known_agents
from stormgym.envs.decisions.load_data import synthetic_load

TOWN, SECURITY = "PowerScheduling-v0", "NetworkSecurity-v0"
TOLERANCE = {TOWN: 1e-5, SECURITY: 1e-9}
"""How far a decision in a batch may be from one alone: networks of loads have single precision."""
SMALL: dict[str, dict[str, Any]] = {TOWN: {"n_days": 120}, SECURITY: dict(domain_of(SECURITY).small)}
NAMES = [
    pytest.param(
        env_id,
        name,
        id=f"{env_id}-{name}",
        marks=pytest.mark.skipif(name == "dfl-cvx" and find_spec("cvxpylayers") is None, reason="needs cvxpylayers"),
    )
    for env_id in (TOWN, SECURITY)
    for name in known_agents(env_id, trainable=False)
]
SEEDS = [3, 8, 5, 11]


@pytest.fixture(autouse=True, scope="module")
def _small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One epoch of tuning, a few of graph networks, and a cache and a memory of our own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, tuning in methods.TUNING.items():
            patch.setitem(methods.TUNING, name, replace(tuning, n_epochs=1))
        own = {name: replace(tuning, n_epochs=1) for name, tuning in NetworkSecurityTask.tuning.items()}
        patch.setattr(NetworkSecurityTask, "tuning", own)
        patch.setitem(GraphLearner.__init__.__kwdefaults__, "max_epochs", 10)
        patch.setenv("STORMGYM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(recall, "_kept", type(recall._kept)())
        yield


def single(env_id: str, **kwargs: Any) -> Any:
    return gym.make(env_id, **{**SMALL[env_id], **kwargs})


def vector(env_id: str, n: int = len(SEEDS), door: str = "vector_entry_point", **kwargs: Any) -> Any:
    return gym.make_vec(env_id, n, vectorization_mode=door, **{**SMALL[env_id], **kwargs})


def regrets(env: Any, policy: Any, seeds: list[int]) -> np.ndarray:
    """Of one episode in each of a batch."""
    observation, _ = env.reset(seed=seeds)
    *_, infos = env.step(policy.predict(observation)[0])
    return np.asarray(infos["metrics"]["regret"])


# ------------------------------------------------------------------------------------------------------- every name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of cvxpylayers
@pytest.mark.parametrize(("env_id", "name"), NAMES)
def test_policy__decides_alone_as_in_a_batch_and_in_every_door(env_id: str, name: str) -> None:
    batch = vector(env_id)
    observation, _ = batch.reset(seed=SEEDS)
    policy = make_policy(name, batch)
    actions, state = policy.predict(observation)
    problem = problem_of(batch)
    assert actions.shape == (len(SEEDS), problem.n)
    assert state is None
    np.testing.assert_allclose(problem.project(actions), actions, atol=1e-9)
    np.testing.assert_array_equal(policy.predict(observation, deterministic=True)[0], actions)
    *_, infos = batch.step(actions)
    assert (infos["metrics"]["regret"] > -1e-6).all()
    assert not infos["metrics"]["repaired"].any()
    for i, seed in enumerate(SEEDS):
        env = single(env_id)
        seen, _ = env.reset(seed=seed)
        action, _ = make_policy(name, env).predict(seen)
        np.testing.assert_allclose(action, actions[i], atol=TOLERANCE[env_id])
        *_, info = env.step(action.astype(np.float32))
        assert info["metrics"]["cost"] == pytest.approx(infos["metrics"]["cost"][i], abs=1e-3)
    looped = vector(env_id, door="sync")
    observation, _ = looped.reset(seed=SEEDS)
    np.testing.assert_allclose(make_policy(name, looped).predict(observation)[0], actions, atol=TOLERANCE[env_id])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(("env_id", "name"), NAMES)
def test_policy__reads_the_truth_only_where_its_record_says_so(env_id: str, name: str) -> None:
    env = vector(env_id)
    observation, _ = env.reset(seed=SEEDS)
    before = env.unwrapped.truth_reads
    policy = make_policy(name, env)
    policy.predict(observation)
    assert policy.privileged == agent_spec(name).privileged  # type: ignore[attr-defined]
    assert (env.unwrapped.truth_reads > before) == agent_spec(name).privileged


@pytest.mark.parametrize("env_id", [TOWN, SECURITY])
def test_policy__of_another_seed_is_another_fit(env_id: str) -> None:
    env = vector(env_id)
    observation, _ = env.reset(seed=SEEDS)
    first, again, other = (make_policy("two-stage", env, seed=s).predict(observation)[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_usual__is_one_decision_that_no_other_beats_over_the_training_cases() -> None:
    problem = problem_of(single(TOWN))
    plan = Usual(problem).plan
    loads = problem.cases("train").outcomes
    others = plan + np.random.default_rng(0).normal(0.0, 0.02, (200, 24))
    least = problem.cost(plan, loads).mean()
    assert all(problem.cost(other, loads).mean() >= least - 1e-9 for other in problem.project(others))
    env = vector(TOWN)
    observation, _ = env.reset(seed=SEEDS)
    np.testing.assert_array_equal(make_policy("usual", env).predict(observation)[0], np.tile(plan, (4, 1)))


# -------------------------------------------------------------------------------------------- what only some may know


@pytest.mark.parametrize("env_id", [TOWN, SECURITY])
def test_clairvoyant__has_no_regret(env_id: str) -> None:
    env = vector(env_id, 12)
    found = regrets(env, make_policy("clairvoyant", env), list(range(12)))
    assert np.abs(found).max() <= 1e-6


def test_clairvoyant__follows_its_environment_through_resets() -> None:
    env = vector(TOWN)
    policy = make_policy("clairvoyant", env)
    for first in (0, 50):
        assert np.abs(regrets(env, policy, list(range(first, first + 4)))).max() <= 1e-6


def test_true_distribution__is_the_floor() -> None:
    env = vector(TOWN, 200)
    seeds = list(range(200))
    floor, two_stage = (regrets(env, make_policy(name, env), seeds) for name in ("true-distribution", "two-stage"))
    difference = two_stage - floor
    assert difference.mean() > 2.0 * difference.std() / np.sqrt(200.0)


def test_true_distribution__of_a_record_is_not_known_and_that_is_said(tmp_path: Path) -> None:
    hours = pd.date_range("2012-01-01", periods=24 * 30, freq="h", tz="America/New_York")
    load = synthetic_load(32).load.ravel()
    table = pd.DataFrame({"time": [t.isoformat() for t in hours], "load": load, "temperature": 50.0})
    table.to_csv(tmp_path / "load.csv", index=False)
    env = single(TOWN, data=str(tmp_path))
    message = "true-distribution needs a problem whose law is known; this PowerSchedulingProblem has none"
    with pytest.raises(ValueError, match=message):
        make_policy("true-distribution", env)
    observation, _ = env.reset(seed=0)
    *_, info = env.step(make_policy("clairvoyant", env).predict(observation)[0])
    assert abs(info["metrics"]["regret"]) <= 1e-6  # hindsight needs no law


class Sneaky(Clairvoyant):
    """Reads the truth without saying so."""

    name = "sneaky"
    privileged = False


def test_truth__is_refused_to_a_policy_that_does_not_say_that_it_reads_it() -> None:
    env = single(TOWN)
    observation, _ = env.reset(seed=0)
    with pytest.raises(PrivilegeError, match="policy 'sneaky' reads the truth"):
        Sneaky.for_env(env).predict(observation)


def test_truth__of_another_environment_is_refused() -> None:
    one, other = single(TOWN), single(TOWN)
    one.reset(seed=0)
    observation, _ = other.reset(seed=1)
    for policy in (Clairvoyant.for_env(one), TrueDistribution.for_env(one)):
        with pytest.raises(ValueError, match=f"{policy.name} is bound to other cases; bind it to the environment"):
            policy.predict(observation)
    batch = vector(TOWN)
    batch.reset(seed=0)
    alone, _ = one.reset(seed=0)
    with pytest.raises(ValueError, match="is bound to other cases"):
        Clairvoyant.for_env(batch).predict(alone)
    with pytest.raises(ValueError, match="is bound to other cases"):
        Clairvoyant.for_env(one).predict({name: np.stack([part] * 3) for name, part in alone.items()})


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("name", ["two-stage", "usual", "clairvoyant", "true-distribution", "policy-net"])
def test_errors__another_environment_is_named(name: str) -> None:
    env = gym.make("GeneratorDispatch-v0")
    policy = agent_spec(name).load() if name != "clairvoyant" else Clairvoyant
    with pytest.raises(TypeError, match=r"this agent decides decision problems .* got <.*GeneratorDispatch") as caught:
        policy.for_env(env)
    assert "gym.make" not in str(caught.value)


def test_errors__other_processes_cannot_be_read() -> None:
    envs = vector(TOWN, 2, door="async")
    with pytest.raises(TypeError, match=re.escape("It cannot read other processes")):
        make_policy("two-stage", envs)
    envs.close()


def test_errors__problems_that_differ_cannot_be_played_side_by_side() -> None:
    envs = gym.vector.SyncVectorEnv([lambda r=r: single(TOWN, ramp=r) for r in (0.4, 0.3)])
    with pytest.raises(ValueError, match=r"an agent is fitted to one problem; got \(.*0\.4\) and \(.*0\.3\) side by"):
        make_policy("two-stage", envs)


def test_errors__an_observation_of_another_problem_is_named() -> None:
    policy = TwoStage.for_env(single(TOWN))
    observation, _ = single(SECURITY).reset(seed=0)
    message = "two-stage decides for PowerSchedulingProblem; the observation lacks 'load_yesterday'"
    with pytest.raises(ValueError, match=message):
        policy.predict(observation)


def test_errors__what_a_policy_must_write_is_named() -> None:
    problem = problem_of(single(TOWN))
    with pytest.raises(NotImplementedError, match=re.escape("DecisionPolicy must write decide()")):
        DecisionPolicy(problem).decide(problem.cases("train"))


def test_errors__a_method_for_another_problem_is_named_by_its_name() -> None:
    with pytest.raises(ValueError, match="dfl-cvx is written for power scheduling; NetworkSecurityProblem has dfl"):
        make_policy("dfl-cvx", single(SECURITY))
