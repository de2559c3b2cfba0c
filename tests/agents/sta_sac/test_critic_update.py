"""The update of critics and actor from replayed episodes, against eq. 17 and 18 written as loops."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.restoration.network.episodes import EpisodeBatch


def model_and_batch(make: Any, **changes: Any) -> tuple[Any, EpisodeBatch]:
    model = make(n_rollouts=1, control_variate=False, **changes).learn(112)
    return model, model.replay_buffer.episodes(np.arange(3))


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


def test_fit__is_the_squared_error_to_one_step_targets(make: Any) -> None:
    model, batch = model_and_batch(make, retrace=0.0, entropy_in_critic=True)
    policy, update = model.policy, model.critic_update
    inputs, scales, log_pi = policy.episode_log_probs(batch)
    with torch.no_grad():
        q = policy.critic(inputs, batch.regions, batch.crew, scales)
        slow = policy.critic_target(inputs, batch.regions, batch.crew, scales)
    reward, cost = update.rewards.of(batch, scales)
    alpha, pi = model.log_alpha.exp().item(), log_pi.exp().detach()
    entropy = -(pi * log_pi.detach()).sum(-1)
    total = 0.0
    m, t = batch.actions.shape
    for i, k in product(range(m), range(t)):
        following = torch.zeros(2)
        if k + 1 < t:
            value = torch.stack([slow[i, k + 1, :, :2].amin(-1), slow[i, k + 1, :, 2:].mean(-1)])  # [2, N]
            following = (value * pi[i, k + 1]).sum(-1)
            following[0] += alpha * entropy[i, k + 1]
        target = torch.stack([reward[i, k], cost[i, k]]) + following
        total += float((q[i, k, batch.actions[i, k]] - target[[0, 0, 1, 1]]).square().sum())
    judged = update.fit(batch)
    assert judged.loss == pytest.approx(total / (m * t), rel=1e-4)
    torch.testing.assert_close(judged.online, q)
    torch.testing.assert_close(judged.slow, slow)


@pytest.mark.parametrize("follows", ["target", "online"])
def test_objective__is_what_critics_expect_of_the_actors_choices(make: Any, follows: str) -> None:
    model, batch = model_and_batch(make, actor_gradient="critics", actor_follows=follows)
    judged = model.critic_update.fit(batch)
    with torch.no_grad():
        objective = model.critic_update.objective(batch, judged)
    q = judged.slow if follows == "target" else judged.online
    price = model.multiplier.value / model.chosen.limit_margin
    for i, k in product(*map(range, batch.actions.shape)):
        worth = q[i, k, :, :2].amin(-1) - price * q[i, k, :, 2:].mean(-1)
        assert float(objective[i, k]) == pytest.approx((judged.log_pi[i, k].exp() * worth).sum().item(), abs=1e-5)


def test_update__while_the_teacher_plays_moves_critics_and_imitates_and_leaves_the_temperature(make: Any) -> None:
    model = make(n_rollouts=1, teacher="nearest", teacher_steps=56).learn(112)
    batch = model.replay_buffer.episodes(np.arange(3))
    demonstrations = model.teacher.demonstrations(model.replay_buffer)
    stage = model._stage()
    assert not stage.teaching
    logs = model.critic_update(batch, None, stage)
    assert {"critic_loss", "actor_loss", "entropy", "alpha"} == logs.keys()
    before = weights(model.policy.actor), weights(model.policy.critic), model.log_alpha.item()
    model.teacher.plays = True
    logs = model.critic_update(batch, demonstrations, model._stage())
    assert {"critic_loss", "actor_loss"} == logs.keys()
    assert not torch.equal(weights(model.policy.actor), before[0])
    assert not torch.equal(weights(model.policy.critic), before[1])
    assert model.log_alpha.item() == before[2]
