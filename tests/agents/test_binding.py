"""What policies may read of their environments: found behind any wrapper, the truth for privileged ones alone."""

import ast
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecCheckNan

from stormgym.agents import binding
from stormgym.agents.binding import PrivilegeError, announced_of, base_envs, truth_of, truth_reads
from stormgym.agents.dispatch.planners import OracleDispatch
from stormgym.agents.lineup import make_policy
from stormgym.agents.registry import AGENTS, known_agents
from stormgym.agents.restoration.planners import ClairvoyantPolicy, RepairmanPolicy
from stormgym.agents.undergrounding.planners import OracleHardening
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.data import City
from stormgym.envs.wrappers import LagrangianReward, VectorEpisodeCost

SMALL: dict[str, dict[str, Any]] = {
    "Restoration-v0": {"city": "synthetic:9:2", "predictor": "cp"},
    "GeneratorDispatch-v0": {"profile": "B"},
    "Undergrounding-v0": {"profile": "synthetic:6:1"},
}
SLOW = {"gdf-dispatch", "spo-dispatch", "gdf-knapsack", "spo-knapsack", "so-ebm-dispatch", "listwise-knapsack"}
PLAYERS = [(env_id, name) for env_id in SMALL for name in known_agents(env_id, trainable=False) if name not in SLOW]


FORMS = ("single", "wrapped", "monitor", "native", "vector wrapper", "sync", "dummy", "sb3")


def forms() -> dict[str, tuple[Any, int]]:
    """An environment in each of `FORMS` that policies meet, and the number of environments behind it."""
    kwargs = SMALL["Restoration-v0"]

    def one() -> Any:
        return gym.make("stormgym:Restoration-v0", **kwargs)

    native = gym.make_vec("Restoration-v0", 2, vectorization_mode="vector_entry_point", **kwargs)
    return {
        "single": (one(), 1),
        "wrapped": (TimeLimit(LagrangianReward(one()), 99), 1),
        "monitor": (Monitor(one()), 1),
        "native": (native, 1),
        "vector wrapper": (VectorEpisodeCost(native), 1),
        "sync": (gym.make_vec("Restoration-v0", 2, vectorization_mode="sync", **kwargs), 2),
        "dummy": (DummyVecEnv([one, one, one]), 3),
        "sb3": (VecCheckNan(make_vec_env("Restoration-v0", 2, **kwargs)), 1),
    }


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_binding__finds_the_environments_behind_any_wrapper(form):
    env, n = forms()[form]
    assert len(base_envs(env)) == len(base_envs(env, "city", City, "Restoration-v0")) == n
    assert [record.city.name for record in announced_of(env)] == ["synthetic:9:2"] * n
    assert truth_reads(env) == 0
    policy = ClairvoyantPolicy(env)
    assert len(truth_of(env, policy)) == n
    assert truth_reads(env) == n


@pytest.mark.parametrize("policy", [RepairmanPolicy, object()])
def test_truth_of__a_policy_that_is_not_privileged_is_refused_with_name_rule_and_cure(policy):
    env = gym.make("stormgym:Restoration-v0", **SMALL["Restoration-v0"])
    policy = policy(City.synthetic(2, 9)) if isinstance(policy, type) else policy
    name = getattr(policy, "name", "object")
    with pytest.raises(PrivilegeError, match=f"'{name}' reads the truth of .*privileged = True.*announced_of"):
        truth_of(env, policy)
    assert truth_reads(env) == 0


def test_truth_of__what_only_looks_true_is_not_privileged():
    env = gym.make("stormgym:GeneratorDispatch-v0", **SMALL["GeneratorDispatch-v0"])
    policy = make_policy("do-nothing", env)
    policy.privileged = "yes"  # type: ignore[attr-defined]
    with pytest.raises(PrivilegeError):
        truth_of(env, policy)


def test_base_envs__another_environment_is_a_type_error_with_id_and_cure():
    other = gym.make("CartPole-v1")
    with pytest.raises(TypeError, match=r"needs Restoration-v0, whose environment has a `city`.*CartPole.*gym.make"):
        base_envs(other, "city", City, "Restoration-v0")
    with pytest.raises(TypeError, match="needs an environment of stormgym"):
        announced_of(other)
    assert truth_reads(other) == 0


def test_oracles__are_refused_by_environments_of_other_domains():
    kinds = (ClairvoyantPolicy, OracleDispatch, OracleHardening)
    for env_id, kwargs in SMALL.items():
        env = gym.make(f"stormgym:{env_id}", **kwargs)
        fitting = 0
        for kind in kinds:
            try:
                kind(env)
                fitting += 1
            except TypeError as error:
                assert "this agent needs" in str(error)  # noqa: PT017 - all others are expected to fail
        assert fitting == 1


@pytest.mark.slow
@pytest.mark.parametrize(("env_id", "name"), PLAYERS)
def test_policies__read_the_truth_if_and_only_if_they_say_so(env_id, name):
    env = gym.make_vec(env_id, 2, vectorization_mode="vector_entry_point", **SMALL[env_id])
    policy = make_policy(name, env)
    obs, _ = env.reset(seed=0)
    state, start, over = None, np.ones(2, dtype=bool), np.zeros(2, dtype=bool)
    while not over.all():
        action, state = policy.predict(obs, state, start, deterministic=True)
        obs, _, terminated, truncated, _ = env.step(action)
        start = terminated | truncated
        over |= start
    assert (truth_reads(env) > 0) == AGENTS[name].privileged == bool(getattr(policy, "privileged", False))


@pytest.mark.slow
@pytest.mark.parametrize("shock", ["group", "common"])
def test_policies__that_plan_again_learn_a_shock_from_repairs_alone(shock):
    env = gym.make_vec(
        "Restoration-v0", 2, vectorization_mode="vector_entry_point", shock=shock, **SMALL["Restoration-v0"]
    )
    for name in ("equity-replanner", "sta-sac:default@4"):
        policy = make_policy(name, env)
        obs, _ = env.reset(seed=0)
        state: Any = None
        for _ in range(8):
            action, state = policy.predict(obs, state, deterministic=True)
            obs = env.step(action)[0]
        assert truth_reads(env) == 0, name


@pytest.mark.parametrize("domain", ["restoration", "dispatch", "undergrounding"])
def test_domains__reach_into_no_core_and_no_process(domain):
    for file in sorted((Path(binding.__file__).parent / domain).rglob("*.py")):
        if file.name == "replay.py":  # tells pages what happened, all of it, and decides nothing
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            inside = isinstance(node, ast.Attribute) and node.attr in ("core", "process")
            assert not inside, f"{file}:{node.lineno} reads .{node.attr}; read announced_of(env) or truth_of(env, self)"
