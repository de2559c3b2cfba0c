"""Returns without the luck of repairs."""

from __future__ import annotations

import os
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.lineup import make_policy
from stormgym.agents.restoration.network.features import (
    CREW,
    scales_of,
    split_groups,
)
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.buffer import EpisodeReplayBuffer
from stormgym.agents.sta_sac.control_variate import Forecast, without_luck
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.equity import pair_matrix
from stormgym.envs.restoration.layout import COLUMN

CITY = "synthetic:7:1"
FULL = os.environ.get("STORMGYM_FULL") == "1"


def test_without_luck__leaves_what_was_expected_of_each_repair(trained: STASAC) -> None:
    batch = trained.replay_buffer.episodes(np.arange(20))
    scales = scales_of(batch.regions)
    forecast = Forecast()
    with torch.no_grad():
        forecast.line.copy_(torch.tensor([0.1, 0.8]))
        late = forecast.surprise(batch, scales)
    reward, cost = without_luck(batch, late, scales, trained.policy.n_groups)
    at = batch.actions.unsqueeze(-1)
    travel = (batch.distance_km / batch.crew[..., CREW["speed_kmh"], None]).gather(-1, at).squeeze(-1)
    point = batch.regions[..., COLUMN["point_h"]]
    expected = 0.1 * point.mean(1, keepdim=True) + 0.8 * point.gather(-1, batch.actions)
    n_open = batch.is_open.sum(-1)
    wanted = -(travel + expected) * n_open / 7
    torch.testing.assert_close(reward[:, :-1], wanted[:, :-1], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(reward[:, -1], batch.rewards[:, -1])  # nothing is observed after the last repair
    shares, gaps = split_groups(batch.crew, trained.policy.n_groups)
    pairs = torch.as_tensor(pair_matrix(trained.policy.n_groups), dtype=torch.float32)
    ahead = (shares @ pairs).abs()
    lead = gaps.argmax(-1)
    same = torch.zeros_like(lead, dtype=torch.bool)
    same[:, :-1] = (lead[:, 1:] == lead[:, :-1]) & (gaps[:, :-1].amax(-1) > 0)
    rate = ahead.gather(-1, lead.unsqueeze(-1)).squeeze(-1)
    assert same.float().mean() > 0.3
    torch.testing.assert_close(cost[same], (rate * (travel + expected))[same], rtol=1e-3, atol=2e-3)


@pytest.mark.slow
def test_without_luck__keeps_means_and_takes_out_variance() -> None:
    n = 2_048 if FULL else 640
    env = make_vec_env("Restoration-v0", 64, seed=3, city=CITY)
    buffer = EpisodeReplayBuffer(7 * n, env.observation_space, env.action_space, device="cpu", n_envs=64)
    policy = make_policy("equity-planner", env, iterations=50)  # any plans that balance the groups a little
    obs, state, start = env.reset(), None, np.ones(64, dtype=bool)
    while buffer.size() < n and not buffer.full:
        action, state = policy.predict(obs, state, start, deterministic=True)
        after, reward, start, infos = env.step(action)
        buffer.add(obs, after, action, reward, start, infos)
        obs = after
    batch = buffer.episodes(np.arange(n))
    scales = scales_of(batch.regions)
    forecast = Forecast()
    with torch.no_grad():  # the line that fits these repairs
        late = forecast.surprise(batch, scales)
        known = late != 0
        point = batch.regions[..., COLUMN["point_h"]].gather(-1, batch.actions)
        x = torch.stack([scales.hours.expand_as(late)[known], point[known]], dim=1)
        forecast.line += torch.linalg.lstsq(x, late[known]).solution
        late = forecast.surprise(batch, scales)
    reward, cost = without_luck(batch, late, scales, 3)
    for plain, calm in ((batch.rewards, reward), (batch.costs, cost)):
        difference = (plain - calm).sum(1)
        assert abs(float(difference.mean())) < 4.0 * float(difference.std()) / n**0.5
        assert float(calm.sum(1).std()) < 0.9 * float(plain.sum(1).std())  # what differs between storms stays


def test_surprise__leaves_out_what_a_groups_other_repairs_share() -> None:
    env = make_vec_env("Restoration-v0", 32, seed=3, city="synthetic:20:2", predictor="none", shock="group")
    buffer = EpisodeReplayBuffer(20 * 32, env.observation_space, env.action_space, device="cpu", n_envs=32)
    policy = make_policy("nearest", env)
    obs = env.reset()
    durations = np.array([core.process.duration_h for core in env.get_attr("core")[:1]])[0].copy()  # [32, 20]
    buffer.begin_round()
    for _ in range(20):
        action, _ = policy.predict(obs)
        nxt, reward, done, infos = env.step(action)
        buffer.add(obs, nxt, action, reward, done, infos)
        obs = nxt
    batch = buffer.episodes(buffer.round)
    scales = scales_of(batch.regions)
    with torch.no_grad():
        plain = Forecast().surprise(batch, scales)
        shared = Forecast().surprise(batch, scales, 3)
    regions = batch.regions.numpy()
    group, point = regions[..., COLUMN["group"]], regions[..., COLUMN["point_h"]]
    for row, step in product(range(5), range(19)):
        order = batch.actions[row].numpy()
        others = [r for r in order[:19] if group[row, r] == group[row, order[step]] and r != order[step]]
        factor = durations[row, others].sum() / point[row, others].sum() if others else 1.0
        wanted = durations[row, order[step]] - factor * point[row, order[step]]
        assert shared[row, step].item() == pytest.approx(wanted, abs=2e-3)
    assert shared[:, 19].abs().max() == 0
    poor = torch.from_numpy(group == 0).gather(1, batch.actions)
    mean = [float(((late * poor).sum(1) / poor.sum(1)).std()) for late in (plain, shared)]
    assert mean[1] < 0.5 * mean[0]


def test_forecast__learns_what_repairs_take(make: Any, trained: STASAC) -> None:
    model = make(gradient_steps=8, learning_rate=5e-3)
    model.learn(1_400)
    batch = model.replay_buffer.episodes(np.arange(model.replay_buffer.size()))
    late = model.policy.forecast.surprise(batch, scales_of(batch.regions)).detach()
    plain = Forecast().surprise(batch, scales_of(batch.regions)).detach()
    assert late.square().mean() < 1.02 * plain.square().mean()
    assert not torch.equal(model.policy.forecast.line, Forecast().line)
