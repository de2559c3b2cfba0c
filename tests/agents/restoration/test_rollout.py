"""The rollout policy: its simulated orders, what it takes, the limit, masks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import stormgym  # noqa: F401
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import make_policy
from stormgym.agents.restoration.rollout import RolloutPolicy, greedy_orders
from stormgym.agents.restoration.search.orders import OrderProblem

ENV: dict[str, Any] = {"city": "synthetic:8:1", "predictor": "cp"}


def problem(n: int = 6, rows: int = 3, seed: int = 0) -> OrderProblem:
    rng = np.random.default_rng(seed)
    travel = rng.uniform(0.1, 1.0, (rows, n + 1, n + 1))
    return OrderProblem.of(travel, rng.uniform(0.5, 3.0, (rows, n)), np.arange(n) % 3)


def slow_greedy(p: OrderProblem, row: int, first: int, balance: float) -> list[int]:
    """The base rule, one step at a time."""
    n = p.repair_h.shape[1]
    order, ahead = [first], p.ahead[row] + p.steps[first]
    while len(order) < n:
        key = {
            r: p.travel_h[row, order[-1], r]
            + p.repair_h[row, r]
            + balance * p.repair_h[row].mean() * np.abs(ahead + p.steps[r]).max()
            for r in range(n)
            if r not in order
        }
        best = min(key, key=lambda r: key[r])
        order.append(best)
        ahead = ahead + p.steps[best]
    return order


def test_orders__are_those_of_the_rule_step_by_step() -> None:
    p, balance = problem(), np.array([0.0, 1.5])
    first = np.broadcast_to(np.arange(6), (3, 6))
    orders = greedy_orders(p, first, balance)
    assert orders.shape == (3, 2, 6, 6)
    for row in range(3):
        for h, b in enumerate(balance):
            for c in range(6):
                assert orders[row, h, c].tolist() == slow_greedy(p, row, c, b)


def test_orders__without_balance_are_the_greedy_orders() -> None:
    p = problem(seed=3)
    greedy = p.greedy_order()
    assert_array_equal(greedy_orders(p, greedy[:, :1], np.zeros(1))[:, 0, 0], greedy)


def test_policy__takes_the_order_of_best_score_and_is_no_worse_than_its_rules() -> None:
    env = gym.make_vec("Restoration-v0", 5, vectorization_mode="vector_entry_point", **ENV)
    obs, _ = env.reset(seed=0)
    policy = RolloutPolicy.for_env(env)
    action, order = policy.predict(obs)
    assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(8), (5, 1)))
    assert_array_equal(order[:, 0], action)
    city = env.unwrapped.city  # type: ignore[attr-defined]
    p = OrderProblem.of(city.travel_h, obs["point_h"], city.group)
    aim = 0.9 * obs["crew"][:, 4]

    def score(o: Any) -> Any:
        return p.mean_outage(o) + 5.0 * np.maximum(p.gap(o) - aim, 0.0)

    tried = greedy_orders(p, np.broadcast_to(np.arange(8), (5, 8)), policy.balances).reshape(5, -1, 8)
    best = np.min([score(tried[:, k]) for k in range(tried.shape[1])], axis=0)
    assert_allclose(score(order), best)


def test_policy__kept_order_is_followed_unless_beaten_and_lost_state_does_no_harm() -> None:
    env = gym.make_vec("Restoration-v0", 6, vectorization_mode="vector_entry_point", **ENV)
    obs, _ = env.reset(seed=1)
    policy = RolloutPolicy.for_env(env)
    state, start = None, np.ones(6, dtype=bool)
    for step in range(8):
        action, state = policy.predict(obs, state, start)
        assert obs["action_mask"][np.arange(6), action].all()
        assert_array_equal(np.sort(state, axis=1), np.tile(np.arange(8), (6, 1)))
        if step in (0, 4):
            alone, _ = policy.predict({k: v[2] for k, v in obs.items()})
            assert np.ndim(alone) == 0
        obs, _, _, _, infos = env.step(action)
        start = np.zeros(6, dtype=bool)
    assert (infos["metrics"]["completed"] == 1.0).all()


def test_policy__batch_and_single_rows_act_alike() -> None:
    env = gym.make_vec("Restoration-v0", 4, vectorization_mode="vector_entry_point", **ENV)
    obs, _ = env.reset(seed=2)
    policy = RolloutPolicy.for_env(env)
    together, _ = policy.predict(obs)
    apart = [int(policy.predict({k: v[i] for k, v in obs.items()})[0]) for i in range(4)]
    assert together.tolist() == apart


def test_policy__observes_masks_that_close_far_regions() -> None:
    env = gym.make("Restoration-v0", max_travel_km=3.0, on_invalid="raise", **ENV)
    policy = make_policy("rollout", env)
    obs, _ = env.reset(seed=0)
    state, done, start = None, False, np.ones(1, dtype=bool)
    while not done:
        action, state = policy.predict(obs, state, start)
        obs, _, done, _, _ = env.step(action)
        start = np.zeros(1, dtype=bool)


def test_policy__is_faster_than_the_rules_and_a_tight_limit_narrows_the_gap() -> None:
    def played(limit: float, names: tuple[str, ...]) -> Any:
        env_kwargs = {**ENV, "cost_limit": limit}
        from stormgym.agents.lineup import resolve_agents

        entrants = resolve_agents(list(names), "Restoration-v0")
        return evaluate("Restoration-v0", entrants, episodes=60, seed=0, env_kwargs=env_kwargs)

    loose = played(50.0, ("rollout", "nearest", "shortest-repair"))
    tight = played(1.5, ("rollout",))
    mean = {name: agent.metrics["mean_outage_h"].mean() for name, agent in loose.agents.items()}
    assert mean["rollout"] < min(mean["nearest"], mean["shortest-repair"])
    gap = [e.agents["rollout"].metrics["gap_h"].mean() for e in (loose, tight)]
    assert gap[1] < gap[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"balances": ()}, "balances must hold at least one weight"),
        ({"balances": (-1.0,)}, "none below 0"),
        ({"price": -1.0}, "need price >= 0"),
        ({"margin": 1.0}, "0 <= margin < 1"),
    ],
)
def test_policy__wrong_arguments_say_what_is_right(arguments: dict[str, Any], message: str) -> None:
    env = gym.make("Restoration-v0", **ENV)
    with pytest.raises(ValueError, match=message):
        RolloutPolicy.for_env(env, **arguments)


def test_policy__state_of_another_size_is_refused() -> None:
    env = gym.make_vec("Restoration-v0", 2, vectorization_mode="vector_entry_point", **ENV)
    obs, _ = env.reset(seed=0)
    with pytest.raises(ValueError, match=r"state holds orders of shape \(2, 5\)"):
        RolloutPolicy.for_env(env).predict(obs, np.zeros((2, 5), dtype=int), np.zeros(2, dtype=bool))


def test_rollout__in_a_large_city_tries_few_regions_and_not_at_every_decision(monkeypatch) -> None:
    from stormgym.agents.restoration import rollout

    tried: list[int] = []
    greedy = rollout.greedy_orders

    def counted(problem, first, balance):
        tried.append(first.shape[1])
        return greedy(problem, first, balance)

    monkeypatch.setattr(rollout, "greedy_orders", counted)
    given = {"episodes": 3, "batch_size": 3, "env_kwargs": {"city": "synthetic:30:0", "predictor": "none"}}
    full = evaluate("Restoration-v0", {"a": RolloutPolicy}, **given).agents["a"].metrics["mean_outage_h"]
    tried.clear()
    monkeypatch.setattr(rollout, "LARGE", 20)
    monkeypatch.setattr(rollout, "NUMBERS_A_DECISION", 20_000)
    few = evaluate("Restoration-v0", {"a": RolloutPolicy}, **given).agents["a"].metrics["mean_outage_h"]
    assert max(tried) <= 15
    assert min(tried) >= 1
    assert few.mean() < 1.1 * full.mean()
    alone = evaluate("Restoration-v0", {"a": RolloutPolicy}, **{**given, "batch_size": 1}).agents["a"]
    np.testing.assert_array_equal(alone.metrics["mean_outage_h"], few)  # whatever else is in the batch
