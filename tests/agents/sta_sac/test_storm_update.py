"""The actor's update on storms that rollouts share."""

from __future__ import annotations

from typing import Any

import torch

from stormgym.agents.restoration.network.scenarios import expected_to_go


def test_update_on_storms__gradient_is_that_of_returns_above_the_mean_of_the_storm(make: Any) -> None:
    model = make(n_envs=8, n_rollouts=3, control_variate=False, alpha_init=1e-5, max_grad_norm=1e9)
    model.learn(56)
    rows = model.collector.rows
    assert rows is not None
    batch = model.replay_buffer.episodes(model.replay_buffer.round[rows.exploring])
    _, scales, log_pi = model.policy.episode_log_probs(batch)
    batch = batch._replace(behaviour=log_pi.detach().exp().gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1))
    gain = batch.rewards / scales.total_hours - model.multiplier.value / model.chosen.limit_margin * batch.costs / 8.0
    to_go = gain.flip(1).cumsum(1).flip(1)
    guess = expected_to_go(batch.regions, batch.is_open, scales) / scales.total_hours
    better = (to_go - guess).unflatten(0, (2, 3))
    better = (better - better.mean(1, keepdim=True)).flatten(0, 1)
    taken = log_pi.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
    drawn = batch.behaviour < 0.999  # the last choice of an episode is none
    wanted = torch.autograd.grad(-(taken * better * drawn).mean(), list(model.policy.actor.parameters()))
    model.policy.actor_optimizer = torch.optim.SGD(model.policy.actor.parameters(), lr=1.0)
    before = [p.detach().clone() for p in model.policy.actor.parameters()]
    model.storm_update(batch, None, model._stage())
    for old, new, slope in zip(before, model.policy.actor.parameters(), wanted, strict=True):
        torch.testing.assert_close(old - new.detach(), slope, rtol=1e-2, atol=2e-5)
