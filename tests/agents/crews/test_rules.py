"""Rules of crew dispatch: what they choose, list scheduling against all pieces of a forest, the reference table."""

import gymnasium as gym
import numpy as np
import pytest

from stormgym.agents.crews.rules import CrewRule, ListRho, _ancestors, _best_ratios, priorities
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.lineup import make_policy, resolve_agents
from stormgym.agents.registry import domain_of

ID = "CrewDispatch-v0"
RULES = ("nearest", "request-volume", "shortest-repair", "smith", "customers", "list-rho")


def best_piece(parent, weight, hours, first, root):
    """The best ratio over all pieces of the forest that begin with the root, by trying them all."""
    below = [root]
    for job in below:
        below += [child for child in range(len(parent)) if parent[child] == job]
    best = 0.0
    for chosen in range(2 ** (len(below) - 1)):
        piece = {root} | {job for place, job in enumerate(below[1:]) if chosen >> place & 1}
        if all(job == root or parent[job] in piece for job in piece):
            spent = first[root] + sum(hours[job] for job in piece if job != root)
            best = max(best, sum(weight[job] for job in piece) / max(spent, 1e-9))
    return best


def test_ratios__are_those_of_the_best_pieces():
    rng = np.random.default_rng(0)
    for _ in range(40):
        n = 8
        parent = np.array([-1, *(rng.integers(-1, job) for job in range(1, n))])
        weight = rng.random(n) * (rng.random(n) < 0.8)
        hours = rng.random(n) * (rng.random(n) < 0.7)  # 0: mended or under way
        first = hours + 0.2 * rng.random(n) + 0.01
        found = _best_ratios(_ancestors(parent[None]), weight[None], hours[None], first[None])[0]
        np.testing.assert_allclose(found, [best_piece(parent, weight, hours, first, job) for job in range(n)])


def test_list_rho__without_a_feeder_is_smiths_rule_with_the_way():
    env = gym.make_vec(ID, 8, vectorization_mode="vector_entry_point", city="synthetic:12:1", feeder="none")
    obs, _ = env.reset(seed=0)
    smith = make_policy("smith", env)
    for _ in range(12):
        action = ListRho().predict(obs)[0]
        np.testing.assert_array_equal(action, smith.predict(obs)[0])
        obs, *_ = env.step(action)


def test_priorities__jobs_below_an_open_one_are_blocked_and_come_last():
    env = gym.make(ID).unwrapped
    obs, _ = env.reset(seed=1)
    batch = {name: values[None] for name, values in obs.items()}
    _, blocked = priorities(batch)
    parent = obs["parent"].astype(int)
    expected = (parent >= 0) & (obs["open"][np.maximum(parent, 0)] > 0)
    for job in np.flatnonzero(expected & (obs["known"] > 0)):
        assert blocked[0, job]
    assert blocked.any()
    while obs["action_mask"][:-1].any():
        action = int(ListRho().predict(obs)[0])
        _, blocked = priorities({name: values[None] for name, values in obs.items()})
        free = (obs["action_mask"][:-1] > 0) & ~blocked[0]
        assert not (blocked[0, action] and free.any())
        obs, _, ended, *_ = env.step(action)
        if ended:
            break


@pytest.mark.parametrize("name", RULES)
def test_rule__takes_open_jobs_alone_and_in_a_batch_and_never_waits(name):
    batch = gym.make_vec(ID, 3, vectorization_mode="vector_entry_point", city="synthetic:8:1", on_invalid="raise")
    policy = make_policy(name, batch)
    obs, _ = batch.reset(seed=2)
    ended = np.zeros(3, dtype=bool)
    while not ended.all():
        action, _ = policy.predict(obs)
        assert (action < 8).all()
        for row in range(3):
            one = {key: values[row] for key, values in obs.items()}
            assert int(policy.predict(one)[0]) == action[row]
        obs, _, terminated, _, infos = batch.step(action)
        ended |= terminated
    assert infos["metrics"]["waits"].max() == 0.0


def test_rules__say_what_is_wrong_with_another_environment():
    with pytest.raises(ValueError, match="reads the observation of CrewDispatch-v0"):
        ListRho().predict({"action_mask": np.ones(3)})
    with pytest.raises(ValueError, match="has no agent 'nearest' of its own"):
        make_policy("nearest", gym.make("GeneratorDispatch-v0"))


@pytest.mark.slow
def test_default_city__rules_land_on_the_reference_table():
    """Mean outage and gap of 200 storms (h), measured by an independent simulator; storms differ."""
    reference = {
        "nearest": (14.53, 4.24),
        "list-rho": (12.27, 5.90),
        "request-volume": (16.51, 8.14),
        "smith": (17.88, 4.41),
    }
    result = evaluate(ID, resolve_agents(list(reference), ID), episodes=150, env_kwargs={"overtime_price": 0.0})
    for name, (outage, gap) in reference.items():
        metrics = result.agents[name].metrics
        for key, value in (("mean_outage_h", outage), ("gap_h", gap)):
            band = 4.0 * metrics[key].std(ddof=1) / np.sqrt(150) * np.sqrt(1 + 150 / 200)
            assert metrics[key].mean() == pytest.approx(value, abs=band)


@pytest.mark.slow
def test_domain__every_agent_that_needs_no_training_plays():
    domain = domain_of(ID)
    names = [spec.name for spec in domain.agents if not spec.trainable]
    assert set(RULES) < set(names)
    result = evaluate(ID, resolve_agents(names, ID), episodes=3, env_kwargs=dict(domain.small), latency_episodes=1)
    assert all(np.isfinite(record.metrics["mean_outage_h"]).all() for record in result.agents.values())


def test_rule__a_key_with_a_column_for_waiting_is_refused():
    class Own(CrewRule):
        def key(self, observation):
            return observation["action_mask"]

    obs, _ = gym.make(ID, city="synthetic:6:1").reset(seed=0)
    with pytest.raises(ValueError, match=r"\[B, N\] of the jobs, without waiting, here \(1, 6\); got shape \(1, 7\)"):
        Own().predict(obs)
