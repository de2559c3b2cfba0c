"""Practice: what orders drawn in simulation are worth, what is learnt from them, and where there is none."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from stormgym.agents.attention.networks import SHAPES, EpisodeNet
from stormgym.agents.restoration.network import practice as module
from stormgym.agents.restoration.network.episodes import EpisodeBatch, place_of
from stormgym.agents.restoration.network.features import N_STATIC, make_inputs, n_crew_features
from stormgym.agents.restoration.network.practice import Drawn, Practice, first_observation, step_outages
from stormgym.agents.restoration.situation import parts
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.adapters.sb3_mixed import make_mixed_vec_env
from stormgym.envs.restoration.vector_env import RestorationVectorEnv

CITY = "synthetic:7:1"


def network(seed: int = 0) -> EpisodeNet:
    torch.manual_seed(seed)
    net = SHAPES["episode"](N_STATIC + 3, n_crew_features(3), 1, width=16, n_layers=1, n_heads=2, step_width=8)
    assert isinstance(net, EpisodeNet)
    return net


def episodes(n_envs: int = 4, **kwargs: Any) -> tuple[Any, EpisodeBatch, dict[str, np.ndarray]]:
    """Environments, an episode of each, played from the first region to the last, and their first observations."""
    env = make_vec_env("Restoration-v0", n_envs, seed=0, city=CITY, **kwargs)
    buffer = EpisodeReplayBuffer(n_envs * 7, env.observation_space, env.action_space, device="cpu", n_envs=n_envs)
    obs: Any = env.reset()
    first = {key: values.copy() for key, values in obs.items()}
    for step in range(7):
        action = np.full(n_envs, step)
        nxt, reward, done, infos = env.step(action)
        buffer.add(obs, nxt, action, reward, done, infos)
        obs = nxt
    return env, buffer.episodes(np.arange(n_envs)), first


def drawn_of(n_orders: int = 5, seed: int = 0) -> tuple[Practice, EpisodeNet, EpisodeBatch, Drawn]:
    env, storms, _ = episodes()
    practice, actor = Practice.of(env, 3, n_orders), network()
    assert practice is not None
    np.random.seed(seed)
    return practice, actor, storms, practice.draw(actor, storms)


def test_storms__begin_as_the_environment_showed_them() -> None:
    _, storms, first = episodes()
    seen = first_observation(storms)
    assert set(seen) == set(first)
    for key, values in first.items():
        assert_array_equal(seen[key], values, err_msg=key)


def test_orders__are_worth_what_the_environment_pays_where_forecasts_come_true() -> None:
    practice, _, storms, drawn = drawn_of()
    env = RestorationVectorEnv(4, city=CITY)
    process = env.core.process
    for k in range(practice.n_orders):
        env.reset(seed=0)
        observation = first_observation(storms)
        process.stand_at(observation, observation["point_h"])
        paid = [env.step(drawn.order[:, k, step])[1] for step in range(7)]
        assert_allclose(drawn.outage_h[:, k], -np.stack(paid, axis=1), rtol=1e-4, atol=1e-4)


def test_outages__of_steps_add_up_to_the_mean_outage() -> None:
    practice, _, storms, drawn = drawn_of()
    (part,) = parts(first_observation(storms), practice.ground(storms).city, np.arange(4))
    for k in range(practice.n_orders):
        assert_allclose(drawn.outage_h[:, k].sum(axis=1), part.problem.mean_outage(drawn.order[:, k]))
    assert_allclose(drawn.outage_h, step_outages(part.problem, drawn.order))
    assert (drawn.gap_h > 0).all()


def test_states__are_those_of_the_orders() -> None:
    """What was seen at each step gives, asked again, the probabilities with which it was drawn."""
    _, actor, storms, drawn = drawn_of()
    states, r, k = drawn.states, 4, 5
    flat = (x.reshape(r * k, *x.shape[2:]) for x in (states.distance_km, states.is_open, states.crew))
    inputs, _ = make_inputs(storms.regions.repeat_interleave(k, 0), *flat, n_groups=3)
    scores = actor(inputs).squeeze(-1).masked_fill(~states.allowed.reshape(r * k, 7, 7), -1e9)
    taken = scores.log_softmax(-1).gather(-1, torch.from_numpy(drawn.order).reshape(r * k, 7, 1)).view(r, k, 7)
    torch.testing.assert_close(taken, states.log_pi, rtol=1e-4, atol=1e-5)
    assert_array_equal(states.is_open.sum(-1)[0, 0].numpy(), np.arange(7, 0, -1))


def test_advantage__at_the_first_choice_is_the_value_over_the_mean_of_the_others_orders() -> None:
    practice, _, _, drawn = drawn_of()
    price = np.array([0.0, 0.1, 0.2, 5.0])
    advantage = practice.advantages(drawn, price)
    value = -(drawn.outage_h.sum(axis=2) + price[:, None] * drawn.gap_h)[:, 1:]
    assert_allclose(advantage[..., 0], value - value.mean(axis=1, keepdims=True), rtol=1e-3, atol=1e-4)
    assert_allclose(advantage.sum(dim=1), 0.0, atol=1e-3)


def test_advantage__charges_what_is_above_the_free_hours_alone() -> None:
    practice, _, _, drawn = drawn_of()
    price, free_h = np.full(4, 2.0), np.median(drawn.gap_h, axis=1)
    value = -(drawn.outage_h.sum(axis=2) + 2.0 * np.maximum(drawn.gap_h - free_h[:, None], 0.0))[:, 1:]
    advantage = practice.advantages(drawn, price, free_h)
    assert_allclose(advantage[..., 0], value - value.mean(axis=1, keepdims=True), rtol=1e-3, atol=1e-4)


def test_objective__has_the_gradient_of_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every choice learnt from, it is that of the mean of advantage times log probability."""
    monkeypatch.setattr(module, "LEARNT_SHARE", 1.0)
    practice, actor, storms, drawn = drawn_of()
    advantage = practice.advantages(drawn, np.full(4, 0.1))
    found = torch.autograd.grad(practice.objective(actor, drawn, advantage), list(actor.parameters()))
    states, many = drawn.states, 4 * 4
    flat = (x[:, 1:].reshape(many, *x.shape[2:]) for x in (states.distance_km, states.is_open, states.crew))
    inputs, _ = make_inputs(storms.regions.repeat_interleave(4, 0), *flat, n_groups=3)
    scores = actor(inputs).squeeze(-1).masked_fill(~states.allowed[:, 1:].reshape(many, 7, 7), -1e9)
    order = torch.from_numpy(drawn.order[:, 1:]).reshape(many, 7, 1)
    log_pi = scores.log_softmax(-1).gather(-1, order).squeeze(-1)
    wanted = torch.autograd.grad((log_pi * advantage.reshape(many, 7)).mean(), list(actor.parameters()))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_a_share_of_the_choices__has_most_of_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    practice, actor, storms, _ = drawn_of(n_orders=33)
    with torch.no_grad():
        actor.out.weight.mul_(20.0)  # sure of most choices, as a trained one is
    drawn = practice.draw(actor, storms)
    advantage = practice.advantages(drawn, np.full(4, 0.1))

    def gradient(share: float) -> torch.Tensor:
        monkeypatch.setattr(module, "LEARNT_SHARE", share)
        parts_of_it = torch.autograd.grad(practice.objective(actor, drawn, advantage), list(actor.parameters()))
        return torch.cat([part.ravel() for part in parts_of_it])

    some, whole = gradient(0.4), gradient(1.0)
    assert torch.cosine_similarity(some, whole, dim=0) > 0.8


def test_practice__teaches_an_actor_that_knows_nothing() -> None:
    env, storms, _ = episodes(16)
    practice, actor = Practice.of(env, 3, 16), network(1)
    assert practice is not None
    optimizer = torch.optim.Adam(actor.parameters(), lr=1e-2)
    np.random.seed(0)
    greedy_h = []
    for _ in range(60):
        drawn = practice.draw(actor, storms)
        greedy_h.append(drawn.outage_h.sum(axis=2)[:, 0].mean())
        loss = -practice.objective(actor, drawn, practice.advantages(drawn, np.zeros(16)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    (part,) = parts(first_observation(storms), practice.ground(storms).city, np.arange(16))
    every = part.problem.take(np.repeat(np.arange(16), 5040))
    outage_h = every.mean_outage(np.tile(np.array(list(permutations(range(7)))), (16, 1))).reshape(16, 5040)
    chance, best = outage_h.mean(), outage_h.min(axis=1).mean()
    assert greedy_h[0] > chance - 0.6 * (chance - best)
    assert greedy_h[-1] < chance - 0.8 * (chance - best)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"city": CITY, "shock": "group"},
        {"city": CITY, "cost_limit_kind": "cvar"},
    ],
)
def test_practice__is_not_where_simulation_would_mislead(kwargs: dict[str, Any]) -> None:
    assert Practice.of(make_vec_env("Restoration-v0", 2, **kwargs), 3, 8) is None
    assert Practice.of(make_vec_env("Restoration-v0", 2, city=CITY), 3, 8) is not None


def test_practice__is_of_the_cities_of_the_environments() -> None:
    announced = [make_vec_env("Restoration-v0", 2, city=f"synthetic:7:{i}").get_attr("announced")[0] for i in (1, 1, 2)]

    def venv(records: list[Any]) -> Any:
        return SimpleNamespace(has_attr=lambda name: True, get_attr=lambda name: records)

    one, two = Practice.of(venv(announced[:2]), 3, 8), Practice.of(venv(announced), 3, 8)
    assert one is not None
    assert two is not None
    assert (len(one.grounds), len(two.grounds)) == (1, 2)
    _, storms, _ = episodes()
    assert one.ground(storms).city is announced[0].city
    assert Practice.of(venv([object()]), 3, 8) is None  # another environment's
    assert Practice.of(None, 3, 8) is None
    slow = replace(announced[0], city=replace(announced[0].city, speed_kmh=announced[0].city.speed_kmh / 2))
    assert Practice.of(venv([announced[0], slow]), 3, 8) is None  # of which of the two a storm is, it does not tell
    elsewhere = Practice.of(venv(announced[2:]), 3, 8)
    assert elsewhere is not None
    with pytest.raises(ValueError, match="a city in which this agent does not train"):
        elsewhere.draw(network(), storms)


def test_storms__of_many_cities_are_practised_city_by_city() -> None:
    cities = ["synthetic:7:1", "synthetic:9:2", "synthetic:9:3"]
    env = make_mixed_vec_env("Restoration-v0", 12, cities, seed=0)
    buffer = EpisodeReplayBuffer(12 * 9, env.observation_space, env.action_space, device="cpu", n_envs=12)
    obs: Any = env.reset()
    while buffer.size() < 12:
        action = obs["action_mask"].argmax(axis=1)
        nxt, reward, done, infos = env.step(action)
        buffer.add(obs, nxt, action, reward, done, infos)
        obs = nxt
    practice, met = Practice.of(env, 3, 4), set()
    assert practice is not None
    again = EpisodeReplayBuffer(12 * 9, env.observation_space, env.action_space, device="cpu", n_envs=12)
    again.load_state_dict(buffer.state_dict())
    np.random.seed(0)
    for _ in range(12):
        storms = again.any_episodes(3)
        places = {place_of(regions.numpy()) for regions in storms.regions}
        assert len(places) == 1
        assert len({regions.numpy().tobytes() for regions in storms.regions}) == 3  # no storm twice
        city = practice.ground(storms).city
        met.add(city.name)
        assert storms.regions.shape[1] == city.n_regions
        drawn = practice.draw(network(), storms)
        assert_array_equal(np.sort(drawn.order, axis=-1), np.broadcast_to(np.arange(city.n_regions), drawn.order.shape))
    assert met == set(cities)
    assert len(again.any_episodes(99).regions) <= 8  # all there are of one city


def test_spread__varies_the_hours_of_a_group_by_one_factor() -> None:
    env, storms, first = episodes(4)
    practice, plain = Practice.of(env, 3, 4, spread=0.3), Practice.of(env, 3, 4)
    assert practice is not None
    assert plain is not None
    np.random.seed(0)
    seen = [practice.draw(network(), storms).observation for _ in range(200)]
    logs = []
    for observation in seen:
        assert_array_equal(observation["distance_km"], first["distance_km"])
        log = np.log(observation["point_h"] / first["point_h"])
        for name in ("lower_h", "upper_h"):
            assert_allclose(observation[name], first[name] * np.exp(log), rtol=1e-4)
        for row, group in zip(log, first["group"], strict=True):
            logs.append([row[group == g][0] for g in range(3)])
            for g in range(3):
                assert_allclose(row[group == g], row[group == g][0], atol=1e-5)
    logs = np.array(logs)
    assert_allclose(logs.mean(axis=0), 0.0, atol=4 * 0.3 / np.sqrt(800))
    assert_allclose(logs.std(axis=0), 0.3, rtol=0.1)
    assert abs(np.corrcoef(logs.T)[0, 1]) < 0.15
    assert_array_equal(plain.draw(network(), storms).observation["point_h"], first["point_h"])
