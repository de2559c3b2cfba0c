"""STA-SAC that looks ahead: what it draws, what it takes, what it is worth, and how it is named."""

from __future__ import annotations

import os
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from stormgym.agents.attention.networks import SHAPES, EpisodeNet, PaperNet
from stormgym.agents.attention_pg.learner import attention_pg
from stormgym.agents.evaluation.rollouts import evaluate
from stormgym.agents.learners.base import Learner
from stormgym.agents.lineup import make_policy, resolve_agents
from stormgym.agents.past_price import mean_cost
from stormgym.agents.pretrained import load_pretrained
from stormgym.agents.restoration.domain import DOMAIN
from stormgym.agents.restoration.network.features import N_STATIC, EpisodeFeatures, n_crew_features
from stormgym.agents.restoration.network.lookahead import LookaheadPolicy, look_ahead
from stormgym.agents.restoration.search.expected_gap import expected_gap
from stormgym.agents.restoration.situation import parts
from stormgym.agents.sta_sac.learner import sta_sac, sta_sac_paper
from stormgym.agents.statistics import paired_difference
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.restoration.layout import regions_of
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

FULL = os.environ.get("STORMGYM_FULL") == "1"
AGENT = "sta-sac:default"
CITY = "synthetic:9:2"
SIZE: dict[str, Any] = {"width": 16, "n_layers": 1, "n_heads": 2, "step_width": 8}


def network(shape: str = "episode", seed: int = 0, **more: Any) -> EpisodeNet | PaperNet:
    torch.manual_seed(seed)
    return SHAPES[shape](N_STATIC + 3, n_crew_features(3), 1, **SIZE, **more).eval()


def play(env: RestorationVectorEnv, policy: Any, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Actions `[B, N]`, outages and gaps `[B]`."""
    obs, _ = env.reset(seed=seed)
    state, start = None, np.ones(env.num_envs, dtype=bool)
    actions, outage, gap = [], np.zeros(env.num_envs), np.zeros(env.num_envs)
    for _ in range(obs["action_mask"].shape[1]):
        action, state = policy.predict(obs, state, start, deterministic=True)
        assert obs["action_mask"][np.arange(env.num_envs), action].all()
        obs, reward, _, _, info = env.step(action)
        actions.append(action)
        outage, gap, start = outage - reward, gap + info["cost"], np.zeros_like(start)
    return np.stack(actions, axis=1), outage, gap


def foretold(env: RestorationVectorEnv) -> None:
    """Make repairs take what is forecast."""
    process = env.core.process
    process.duration_h[:] = process.regions[:, 4]  # point_h
    process.log_ratio[:] = 0.0


class Foretold(RestorationVectorEnv):
    """Repairs take what is forecast."""

    def reset(self, **kwargs: Any) -> Any:
        result = super().reset(**kwargs)
        foretold(self)
        return result


@pytest.mark.parametrize("shape", ["episode", "paper"])
def test_first_order__is_what_the_actor_itself_does_where_forecasts_come_true(shape: str) -> None:
    env = Foretold(6, city=CITY)
    actor = network(shape)
    alone = LookaheadPolicy(actor, env, 3, n_orders=1, every=99)
    own = load_pretrained(AGENT)
    own.actor = actor
    assert_array_equal(play(env, alone)[0], play(env, own)[0])


@pytest.mark.parametrize("max_travel_km", [None, 9.0])
def test_orders__are_of_the_open_regions_and_keep_the_mask(max_travel_km: float | None) -> None:
    env = RestorationVectorEnv(4, city=CITY, max_travel_km=max_travel_km)
    policy = LookaheadPolicy(network(), env, 3, n_orders=8)
    obs, _ = env.reset(seed=1)
    for _ in range(2):
        obs, *_ = env.step(obs["action_mask"].argmax(axis=1))
    (part,) = parts(obs, env.core.city, np.arange(4))
    seen = {k: v[part.rows] for k, v in obs.items()}
    orders = policy._draw(seen, part, np.ones((len(part.rows), 9)))
    assert_array_equal(np.sort(orders, axis=-1), np.broadcast_to(np.arange(7), orders.shape))
    distance = env.core.city.distance_km
    for row, region in zip(orders, part.regions, strict=True):
        for order in region[row]:  # each region is near, or the nearest of those left
            for here, k in zip(order[:-1], range(1, 7), strict=True):
                left = distance[here, order[k:]]
                assert left[0] <= max(max_travel_km or np.inf, left.min()) + 1e-5
    if max_travel_km is None:
        assert len({tuple(order) for order in orders[0]}) > 4  # they are not all the same


@pytest.mark.slow
def test_choice__is_the_shortest_within_the_limit_else_the_fairest() -> None:
    env = RestorationVectorEnv(2, city="synthetic:6:1")
    policy = LookaheadPolicy(network(), env, 3)
    obs, _ = env.reset(seed=0)
    (part,) = parts(obs, env.core.city, np.arange(2))
    hours = policy.sampler.prior(part, 2)
    every = np.tile(np.array(list(permutations(range(6)))), (2, 1, 1))
    gaps = np.stack([expected_gap(part.problem, every[:, j], hours) for j in range(720)], axis=1)
    means = part.problem.take(np.repeat([0, 1], 720)).mean_outage(every.reshape(-1, 6)).reshape(2, 720)
    limit = np.quantile(gaps, 0.3, axis=1)
    best = policy._best(part.problem, hours, every, limit)
    assert_array_equal(best, every[0, np.where(gaps <= limit[:, None], means, np.inf).argmin(axis=1)])
    assert_array_equal(policy._best(part.problem, hours, every, np.zeros(2)), every[0, gaps.argmin(axis=1)])


def test_search__of_a_look_ends_at_the_best_order_there_is_and_never_at_a_worse_one() -> None:
    env = RestorationVectorEnv(16, city="synthetic:6:1", predictor="none")
    policy = LookaheadPolicy(network(), env, 3, search_iterations=60)
    obs, _ = env.reset(seed=0)
    (part,) = parts(obs, env.core.city, np.arange(16))
    hours = policy.sampler.prior(part, 16)
    every = np.tile(np.array(list(permutations(range(6)))), (16, 1, 1))
    limit = np.quantile([expected_gap(part.problem, every[:, j], hours) for j in range(720)], 0.3, axis=0)
    best = policy._best(part.problem, hours, every, limit)
    begun = every[:, 0]
    found = policy._searched(part.problem, hours, begun, limit, 0)
    found = policy._searched(part.problem, hours, found, limit, 1)
    assert (expected_gap(part.problem, found, hours) <= limit).all()
    least, reached = part.problem.mean_outage(best), part.problem.mean_outage(found)
    assert (reached >= least - 1e-9).all()
    assert (reached <= least + 1e-9).mean() > 0.7  # the search is short, and bounds a surrogate of the gap
    again = policy._searched(part.problem, hours, best, limit, 2)
    assert_allclose(part.problem.mean_outage(again), least)
    for moves in (-1, 10**11):
        with pytest.raises(
            ValueError, match=f"search_iterations must be a whole number, from 0 to 100,000; got {moves}"
        ):
            LookaheadPolicy(network(), env, 3, search_iterations=moves)


def test_price__takes_the_least_outage_and_paid_gap_whatever_the_limit() -> None:
    env = RestorationVectorEnv(4, city="synthetic:6:1", predictor="none", cost_limit=0.1)
    every = np.tile(np.array(list(permutations(range(6)))), (4, 1, 1))
    obs, _ = env.reset(seed=0)
    (part,) = parts(obs, env.core.city, np.arange(4))
    values = []
    for price in (0.0, 0.3, 20.0):
        policy = LookaheadPolicy(network(), env, 3, price=price, search_iterations=60)
        hours = policy.sampler.prior(part, 4)
        gaps = np.stack([expected_gap(part.problem, every[:, j], hours) for j in range(720)], axis=1)
        means = part.problem.take(np.repeat(np.arange(4), 720)).mean_outage(every.reshape(-1, 6)).reshape(4, 720)
        best = policy._best(part.problem, hours, every, np.zeros(4))
        assert_array_equal(best, every[0, (means + price * gaps).argmin(axis=1)])
        found = policy._searched_at_price(part.problem, hours, every[:, 400], np.zeros(4), price)
        paid = part.problem.mean_outage(found) + price * expected_gap(part.problem, found, hours)
        assert (paid <= (means + price * gaps)[:, 400] + 1e-9).all()
        values.append((part.problem.mean_outage(best).mean(), expected_gap(part.problem, best, hours).mean()))
    assert values[0][0] < values[1][0] < values[2][0]
    assert values[0][1] > values[1][1] > values[2][1]


@pytest.mark.slow
def test_price__of_the_past_keeps_the_limit_there_on_average() -> None:
    arguments = {"city": CITY, "cost_limit": 5.0}
    env = gym.make_vec("stormgym:Restoration-v0", 32, vectorization_mode="vector_entry_point", **arguments)
    agent = load_pretrained(AGENT)
    policy = look_ahead(agent, env, price="past", n_orders=8, search_iterations=10)
    assert policy.price is not None
    assert 0 < policy.price < 5
    past = mean_cost(
        "Restoration-v0",
        {**arguments, "split": "all"},
        lambda of, price: look_ahead(agent, of, price=price, n_orders=8, search_iterations=10),
        policy.price,
    )
    assert 4.0 < past <= 0.98 * 5.0
    assert look_ahead(agent, env, price="past", n_orders=8, search_iterations=10).price == policy.price


@pytest.mark.parametrize(
    ("arguments", "price", "said"),
    [
        (
            {"cost_limit": (2.0, 4.0)},
            "past",
            "here storms have limits of their own, from 2 to 4 h; look ahead without a price",
        ),
        ({"cost_limit_kind": "cvar"}, "past", "fits a limit on the mean gap, and this one is on the"),
        ({"cost_limit_kind": "cvar"}, 0.1, "a price is for a limit on the mean gap; this one is on the CVaR 0.1"),
        ({}, "present", "price must be a number of hours, 'past' or None; got 'present'"),
        ({}, -1.0, r"price must be from 0 to 20 h of mean outage for an hour of gap; got -1\.0"),
    ],
)
def test_price__must_fit_the_limit(arguments: dict[str, Any], price: Any, said: str) -> None:
    env = gym.make_vec("stormgym:Restoration-v0", 2, vectorization_mode="vector_entry_point", city=CITY, **arguments)
    with pytest.raises(ValueError, match=said):
        look_ahead(load_pretrained(AGENT), env, price=price)


def test_search__makes_the_foretold_order_no_worse() -> None:
    env = Foretold(16, city=CITY, predictor="point", cost_limit=1e3)
    actor = network(seed=3)
    plain, searched = (
        play(env, LookaheadPolicy(actor, env, 3, n_orders=4, every=99, search_iterations=i))[1] for i in (0, 40)
    )
    assert (searched <= plain + 1e-4).all()
    assert searched.mean() < plain.mean() - 0.1


def test_looking_again__never_makes_the_foretold_order_worse() -> None:
    env = Foretold(32, city=CITY, predictor="point", cost_limit=1e3)
    actor = network(seed=3)
    outages = [play(env, LookaheadPolicy(actor, env, 3, n_orders=k, every=e))[1] for k, e in ((1, 99), (8, 99), (8, 2))]
    assert (outages[1] <= outages[0] + 1e-4).all()
    assert (outages[2] <= outages[1] + 1e-4).all()
    assert outages[2].mean() < outages[1].mean() < outages[0].mean()


def test_plans__do_not_depend_on_the_batch_or_on_who_asks_first() -> None:
    env = RestorationVectorEnv(20, city=CITY, shock="group")
    policy = LookaheadPolicy(network(), env, 3, n_orders=6, every=3)
    actions = play(env, policy)[0]
    assert_array_equal(actions, play(env, policy)[0])
    obs, _ = env.reset(seed=5)
    backwards = {k: v[::-1].copy() for k, v in obs.items()}
    turned = RestorationVectorEnv(20, city=CITY, shock="group")
    turned.reset(seed=[5 + i for i in range(20)][::-1])
    assert_array_equal(LookaheadPolicy(network(), turned, 3, n_orders=6).predict(backwards)[0], actions[::-1, 0])


@pytest.mark.parametrize("shape", ["episode", "paper"])
def test_narrow__scores_the_open_regions_as_the_whole_does(shape: str) -> None:
    env = RestorationVectorEnv(3, city=CITY, shock="group")
    obs, _ = env.reset(seed=2)
    for action in (0, 4, 7):
        obs, *_ = env.step(np.full(3, action))
    actor = network(shape, update=True)
    features = EpisodeFeatures(torch.from_numpy(regions_of(obs)), 3)
    distance, is_open, crew = (torch.from_numpy(obs[k])[:, None] for k in ("distance_km", "open", "crew"))
    index = torch.tensor([[1, 2, 3, 5, 6, 8]]).expand(3, -1)
    with torch.no_grad():
        inputs = features.at(distance, is_open, crew)
        encoding = actor.encode(inputs)
        whole = actor.score(encoding, inputs)[:, 0].gather(1, index.unsqueeze(-1))
        twice = features.narrow(index).at(
            distance.gather(2, index[:, None]).expand(-1, 2, -1),
            is_open.gather(2, index[:, None]).expand(-1, 2, -1),
            crew.expand(-1, 2, -1),
        )
        part = actor.score(actor.narrow(encoding, index), twice)
    for state in range(2):
        assert_allclose(part[:, state].numpy(), whole.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("shock", ["none", "group"])
def test_looking_ahead__is_worth_hours_on_storms_nobody_trained_on(shock: str) -> None:
    env = {"city": "default", "split": "test", "shock": shock, **({"shock_log_sd": 0.7} if shock == "group" else {})}
    agent = "sta-sac:any-limit"  # which did not practise, and so has more to gain
    agents = resolve_agents([agent, f"{agent}@16"], "Restoration-v0")
    found = evaluate("Restoration-v0", agents, episodes=1_000 if FULL else 120, seed=31, env_kwargs=env)
    outages = [record.metrics["mean_outage_h"] for record in found.agents.values()]
    assert paired_difference(outages[1], outages[0]).high < 0.0
    assert found.agents[f"{agent}@16"].metrics["gap_h"].mean() < 8.0 + 0.4 * (shock == "group")


@pytest.mark.parametrize("learner", [sta_sac, sta_sac_paper, attention_pg])
def test_learners__that_score_regions_look_ahead(learner: Learner) -> None:
    venv = make_vec_env("Restoration-v0", 2, seed=0, city=CITY)
    small = {"teacher": "none"} if learner.name == "sta-sac" else {}
    policy = learner.policy(learner.build(venv, learner.settings(**small), seed=0, extractor=DOMAIN.extractor))
    env = RestorationVectorEnv(3, city=CITY)
    actions, _, _ = play(env, look_ahead(policy, env, n_orders=3, every=4))
    assert_array_equal(np.sort(actions, axis=1), np.tile(np.arange(9), (3, 1)))


@pytest.mark.slow
def test_environments__of_different_kinds_are_refused() -> None:
    def make(**more: Any) -> Any:
        return lambda: gym.make("stormgym:Restoration-v0", **{"city": CITY, **more})

    for more, what in (
        ({"city": "synthetic:9:3"}, "city"),
        ({"shock": "group"}, "shock"),
        ({"max_travel_km": 5.0}, "max_travel_km"),
    ):
        with pytest.raises(ValueError, match=f"these differ in {what}"):
            LookaheadPolicy(network(), gym.vector.SyncVectorEnv([make(), make(**more)]), 3)


def test_new_episode__is_looked_at_though_nobody_said_that_it_begins() -> None:
    env = RestorationVectorEnv(3, city=CITY)
    policy = LookaheadPolicy(network(), env, 3, n_orders=4)
    obs, _ = env.reset(seed=0)
    planned = policy.predict(obs)[1]
    obs, _ = env.reset(seed=9)
    wide = {k: v.astype(np.float64) for k, v in obs.items()}  # numbers of another kind are no trouble either
    _, unsaid = policy.predict(wide, planned, np.zeros(3, dtype=bool))
    assert_array_equal(unsaid, policy.predict(obs)[1])
    assert (unsaid != planned).any()


def test_looking_ahead__is_for_networks_that_score_regions() -> None:
    env = RestorationVectorEnv(2, city=CITY)
    with pytest.raises(ValueError, match="nearest cannot look ahead: only STA-SAC and attention-pg"):
        look_ahead(make_policy("nearest", env), env)
    with pytest.raises(ValueError, match="only a trained agent of sta-sac, sta-sac-paper, attention-pg does"):
        resolve_agents(["equity-planner@8"], "Restoration-v0")
    with pytest.raises(ValueError, match="only a trained agent of sta-sac, sta-sac-paper, attention-pg does"):
        make_policy("equity-planner@8", env)
    policy = make_policy(f"{AGENT}@4", env, every=3)
    assert (policy.n_orders, policy.every, policy.name) == (4, 3, f"{AGENT}, looking ahead")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="trained on cities with 4 groups; this one has 3"):
        LookaheadPolicy(network(), env, 4)
    for wrong in ({"n_orders": 0}, {"n_orders": 10**6}, {"n_orders": "3"}, {"every": 2.5}, {"margin": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LookaheadPolicy(network(), env, 3, **wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs Restoration-v0"):
        LookaheadPolicy(network(), SimpleNamespace(), 3)
