"""A planner that pays one price for the gap: its search, its price, and what it is worth."""

import os

import gymnasium as gym
import numpy as np
import pytest

import stormgym.agents.restoration.priced as priced
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import resolve_agents
from stormgym.agents.restoration.priced import PricedPlanner
from stormgym.agents.restoration.search.front import TailPrice
from stormgym.agents.restoration.search.local_search import search_orders
from stormgym.agents.restoration.search.orders import OrderProblem
from stormgym.agents.restoration.search.priced import plan_priced
from stormgym.envs.restoration.env import RestorationEnv
from stormgym.envs.risk_measure import RiskMeasure

ID = "stormgym:Restoration-v0"
SMALL = {"city": "synthetic:12:1"}
SHORT = {"iterations": 60}
"""A short search, where it matters what is found and not how good it is."""
FULL = os.environ.get("STORMGYM_FULL") == "1"


def problem_of(n_rows=3, n=7, seed=0):
    rng = np.random.default_rng(seed)
    xy = rng.random((n + 1, 2))
    travel = np.abs(xy[:, None] - xy[None]).sum(axis=-1)
    return OrderProblem.of(travel, rng.gamma(2.0, size=(n_rows, n)), np.arange(n) % 3)


def orders(n):
    from itertools import permutations

    return np.array(list(permutations(range(n))))


@pytest.mark.parametrize("price", [0.05, 0.5, 5.0])
def test_search__at_a_price_is_brute_force(price):
    problem = problem_of()
    plan = search_orders(problem, paid=price, iterations=400, seed=1)
    every = orders(7)
    for row in range(3):
        one = problem.take(np.full(len(every), row))
        best = (one.mean_outage(every) + price * one.gap(every)).min()
        assert plan.mean_h[row] + price * plan.gap_h[row] == pytest.approx(best, rel=1e-5)
    assert set(plan.status) == {"no limit"}


def test_search__at_no_price_is_the_one_without_a_limit():
    problem = problem_of()
    for a, b in zip(search_orders(problem, paid=0.0, seed=4).order, search_orders(problem, seed=4).order, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("wrong", [{"paid": -1.0}, {"paid": np.inf}, {"paid": 1.0, "gap_limit": 2.0}])
def test_search__a_bad_price_is_refused(wrong):
    with pytest.raises(ValueError, match="paid must be at least 0, and stands for gap_limit"):
        search_orders(problem_of(), **wrong)


def test_plan__pays_for_theexpected_gap_at_and_a_higher_price_buys_a_smaller_one():
    problem = problem_of(n_rows=6, n=9)
    spread = np.random.default_rng(2).gamma(1.0, size=(6, 40, 9))
    scenario = spread / spread.mean(axis=1, keepdims=True) * problem.repair_h[:, None]
    plans = [plan_priced(problem, scenario, price, seed=3) for price in (0.0, 0.2, 2.0)]
    gaps, means = [p.gap_h.mean() for p in plans], [p.mean_h.mean() for p in plans]
    assert gaps[0] > gaps[1] > gaps[2]
    assert means[0] <= means[1] <= means[2]
    for plan in plans:
        assert (np.sort(plan.order, axis=1) == np.arange(9)).all()
    alone = plan_priced(problem.take(np.array([2])), scenario[2:3], 0.2, seed=3)
    np.testing.assert_array_equal(alone.order[0], plans[1].order[2])  # whatever else is in the batch


@pytest.mark.slow
def test_price__is_found_on_past_storms_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    monkeypatch.setattr(priced, "N_STORMS", 8)
    env = gym.make(ID, cost_limit=5.0, **SMALL)
    tight = gym.make(ID, cost_limit=4.0, **SMALL)
    loose = gym.make(ID, cost_limit=900.0, **SMALL)
    found = [PricedPlanner.for_env(e, **SHORT).price for e in (loose, env, tight)]
    assert found[0] == 0.0
    assert 0.0 < found[1] < found[2]
    monkeypatch.setattr(priced, "expected_gap_at", lambda *_: pytest.fail("it was kept"))
    assert PricedPlanner.for_env(env, **SHORT).price == found[1]


def test_price__is_asked_for_where_it_cannot_be_found():
    env = RestorationEnv(**SMALL)
    with pytest.raises(ValueError, match="give the price"):
        PricedPlanner.for_env(env)
    with pytest.raises(ValueError, match="give the price"):
        PricedPlanner(env.city)
    with pytest.raises(ValueError, match="price must be from 0"):
        PricedPlanner(env.city, price=-1.0)
    with pytest.raises(ValueError, match="one price fits one limit"):
        PricedPlanner.for_env(gym.make(ID, cost_limit=(2.0, 4.0), **SMALL))
    policy = PricedPlanner.for_env(env, price=0.1)
    observation, _ = env.reset(seed=0)
    action, _ = policy.predict(observation)
    assert observation["action_mask"][action]


@pytest.mark.slow
def test_planner__uses_what_the_limit_leaves_where_storms_are_like_past_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    if not FULL:
        monkeypatch.setattr(priced, "N_STORMS", 64)
    agents = resolve_agents(["equity-planner", "priced-planner"], "Restoration-v0")
    found = evaluate(
        "Restoration-v0",
        agents,
        latency_episodes=1,
        episodes=128 if FULL else 48,
        seed=3,
        env_kwargs={"city": "synthetic:20:5"},
    )
    limited, paid = (found.agents[name].metrics for name in agents)
    assert paid["mean_outage_h"].mean() < limited["mean_outage_h"].mean()
    assert paid["gap_h"].mean() < 1.05 * 8.0  # within the noise of 128 storms


# ------------------------------------------------------------------------------------------ limits on the tail


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cvar", "chance"])
def test_tail__its_price_is_found_on_past_storms_kept_and_paid(kind, monkeypatch, tmp_path):
    monkeypatch.setenv("STORMGYM_CACHE", str(tmp_path))
    monkeypatch.setattr(priced, "N_STORMS", 8)
    env = gym.make(ID, cost_limit=5.0, cost_limit_kind=kind, **SMALL)
    policy = PricedPlanner.for_env(env, **SHORT)
    loose = PricedPlanner.for_env(gym.make(ID, cost_limit=900.0, cost_limit_kind=kind, **SMALL), **SHORT)
    assert policy.price > loose.price == 0.0
    assert (policy.threshold_h > 0) == (kind == "cvar")
    measure, aim = RiskMeasure(kind, 0.9), 0.98 * 5.0
    front = priced.past_front({"cost_limit": 5.0, "split": "all", **SMALL}, measure, 0.02, SHORT)
    choice = front.best(measure, aim, TailPrice(policy.price, policy.threshold_h))
    assert measure.statistic(front.gap_h[choice, np.arange(8)].ravel()) <= aim
    monkeypatch.setattr(priced, "past_front", lambda *_: pytest.fail("it was kept"))
    again = PricedPlanner.for_env(env, **SHORT)
    assert (again.price, again.threshold_h) == (policy.price, policy.threshold_h)
    observation, _ = env.reset(seed=4)
    other = gym.make(ID, cost_limit=5.0, **SMALL)
    other.reset(seed=4)
    given = {"price": policy.price, "threshold_h": policy.threshold_h if kind == "cvar" else None}
    named = PricedPlanner.for_env(other, cost_limit_kind=kind, **given, **SHORT)
    first, second = (p.predict(observation)[1] for p in (policy, named))
    np.testing.assert_array_equal(first, second)


def test_tail__a_threshold_goes_with_a_price_on_the_cvar_and_nothing_else():
    env = RestorationEnv(**SMALL)
    with pytest.raises(ValueError, match=r"a price on the CVaR is given with a threshold_h; got price 0.1"):
        PricedPlanner.for_env(env, price=0.1, cost_limit_kind="cvar")
    with pytest.raises(ValueError, match=r"a price on the CVaR is all that a threshold_h is for; got price 0.1"):
        PricedPlanner.for_env(env, price=0.1, threshold_h=4.0)
    with pytest.raises(ValueError, match=r"threshold_h must be at least 0 h and finite; got -4.0"):
        PricedPlanner.for_env(env, price=0.1, threshold_h=-4.0, cost_limit_kind="cvar")
