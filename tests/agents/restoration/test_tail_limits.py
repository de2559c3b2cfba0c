"""Limits on the tail of the gap: planners and looking ahead hold what the environment or their arguments say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.attention.networks import SHAPES
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import make_policy, resolve_agents
from stormgym.agents.restoration.network.features import N_STATIC, n_crew_features
from stormgym.agents.restoration.network.lookahead import LookaheadPolicy
from stormgym.agents.restoration.planners import EquityPlanner
from stormgym.agents.restoration.replanning import EquityReplanner
from stormgym.agents.restoration.search.expected_gap import scenario_gaps
from stormgym.agents.restoration.situation import parts, risk_measure_of
from stormgym.envs.restoration.vector_env import RestorationVectorEnv
from stormgym.envs.risk_measure import MEAN, RiskMeasure

CITY = "synthetic:12:1"
SHORT: dict[str, Any] = {"iterations": 150}
"""A short search: what it is held to does not depend on how good it is."""


def batch(n_rows: int = 3, **kwargs: Any) -> RestorationVectorEnv:
    return RestorationVectorEnv(n_rows, city=CITY, **{"cost_limit": 4.0, **kwargs})


def plans(policy: EquityPlanner, env: RestorationVectorEnv, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Orders `[B, N]` of new storms, and their gaps `[B, S]` in the policy's scenarios."""
    observation, _ = env.reset(seed=seed)
    _, order = policy.predict(observation)
    (part,) = parts(observation, env.core.city, np.arange(env.num_envs))
    hours = policy.sampler.prior(part, env.num_envs)
    return order, scenario_gaps(part.problem, order, hours)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["equity-planner", "equity-replanner"])
def test_planner__holds_the_environments_measure_in_every_storm(name: str) -> None:
    for kind in ("mean", "cvar", "chance"):
        env = batch(cost_limit_kind=kind)
        policy = make_policy(name, env)
        _, gaps = plans(policy, env)
        assert (RiskMeasure.of(kind).statistic(gaps) <= 0.98 * 4.0 + 1e-9).all(), kind
    assert ((gaps <= 4.0).mean(axis=1) >= 0.9).all()


def test_planner__its_arguments_go_before_the_environment_and_the_mean_is_as_it_was() -> None:
    mean, cvar = batch(), batch(cost_limit_kind="cvar")
    usual = plans(EquityPlanner.for_env(mean, **SHORT), mean)[0]
    np.testing.assert_array_equal(plans(EquityPlanner.for_env(cvar, cost_limit_kind="mean", **SHORT), cvar)[0], usual)
    tail = plans(EquityPlanner.for_env(cvar, **SHORT), cvar)[0]
    named = EquityPlanner.for_env(mean, cost_limit_kind="cvar", cost_limit_level=0.9, **SHORT)
    np.testing.assert_array_equal(plans(named, mean)[0], tail)
    assert not np.array_equal(tail, usual)


def test_measure__is_the_arguments_else_the_environments_else_the_mean() -> None:
    env = batch(1, cost_limit_kind="chance", cost_limit_level=0.8)
    assert risk_measure_of(None) == MEAN
    assert risk_measure_of(env) == RiskMeasure("chance", 0.8)
    assert risk_measure_of(env, None, 0.95) == RiskMeasure("chance", 0.95)
    assert risk_measure_of(env, "cvar") == RiskMeasure("cvar", 0.9)
    assert risk_measure_of(None, "cvar", 0.7) == RiskMeasure("cvar", 0.7)
    for make in (EquityPlanner.for_env, EquityReplanner.for_env):
        with pytest.raises(ValueError, match="cost_limit_kind must be one of mean, cvar, chance; got 'tail'"):
            make(env, cost_limit_kind="tail")
    with pytest.raises(ValueError, match="cost_limit_level is for the kinds cvar and chance"):
        EquityPlanner.for_env(batch(1), cost_limit_level=0.9)


def actor() -> Any:
    torch.manual_seed(0)
    size: dict[str, Any] = {"width": 16, "n_layers": 1, "n_heads": 2, "step_width": 8}
    return SHAPES["episode"](N_STATIC + 3, n_crew_features(3), 1, **size).eval()


def test_looking_ahead__takes_the_shortest_order_whose_tail_keeps_the_limit_else_the_one_of_least_tail() -> None:
    env = batch(3, cost_limit_kind="chance")
    policy = LookaheadPolicy(actor(), env, 3)
    assert policy.measure == RiskMeasure("chance", 0.9)
    assert LookaheadPolicy(actor(), env, 3, cost_limit_kind="cvar", cost_limit_level=0.8).measure.level == 0.8
    observation, _ = env.reset(seed=1)
    (part,) = parts(observation, env.core.city, np.arange(3))
    hours = policy.sampler.prior(part, 3)
    rng = np.random.default_rng(0)
    orders = np.stack([[rng.permutation(12) for _ in range(40)] for _ in range(3)])  # [R, K, n]
    gaps = np.stack([scenario_gaps(part.problem, orders[:, k], hours) for k in range(40)], axis=1)  # [R, K, S]
    tail = np.quantile(gaps, 0.9, axis=-1, method="inverted_cdf")
    many = part.problem.take(np.repeat(np.arange(3), 40))
    outage = many.mean_outage(orders.reshape(-1, 12)).reshape(3, 40)
    limit = np.quantile(tail, 0.3, axis=1)
    wanted = np.where(tail <= limit[:, None], outage, np.inf).argmin(axis=1)
    row = np.arange(3)
    np.testing.assert_array_equal(policy._best(part.problem, hours, orders, limit), orders[row, wanted])
    fairest = orders[row, tail.argmin(axis=1)]
    np.testing.assert_array_equal(policy._best(part.problem, hours, orders, np.zeros(3)), fairest)


@pytest.mark.slow
def test_evaluation__a_stronger_promise_leaves_fewer_storms_over_the_limit() -> None:
    over = {}
    for kind in ("mean", "cvar"):
        env = {"city": CITY, "cost_limit": 4.0, "cost_limit_kind": kind}
        agents = resolve_agents(["equity-planner"], "Restoration-v0")
        found = evaluate("Restoration-v0", agents, episodes=40, seed=5, env_kwargs=env, latency_episodes=1)
        gaps = found.agents["equity-planner"].metrics["gap_h"]
        over[kind] = (gaps > 4.0).mean()
        assert found.measure == RiskMeasure.of(kind)
    assert over["cvar"] < 0.5 * over["mean"]
