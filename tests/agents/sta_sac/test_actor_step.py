"""The actor's step: the weight of the entropy follows its target, and the average follows the actor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.sta_sac.actor_step import Stage
from stormgym.agents.sta_sac.algorithm import STASAC


@pytest.mark.parametrize(("share", "rises"), [(1.5, True), (0.0, False)])
def test_temperature__rises_where_the_entropy_is_below_its_target(
    make: Any, trained: STASAC, share: float, rises: bool
) -> None:
    model = make(alpha_init=0.01)  # fresh: its optimiser has no momentum yet
    actor, batch = model.storm_update.actor, trained.replay_buffer.episodes(np.arange(4))
    _, _, log_pi = model.policy.episode_log_probs(batch)
    before = float(actor.alpha)
    actor.ascend(batch, log_pi, torch.zeros_like(batch.rewards), None, Stage(False, share, 0.0, 0))
    assert (float(actor.alpha) > before) is rises


def test_average__is_the_mean_of_the_first_actors_and_then_lags_behind(make: Any) -> None:
    model = make(actor_tau=0.1).learn(56)
    actor, policy = model.storm_update.actor, model.policy
    batch = model.replay_buffer.episodes(np.arange(4))
    for n_updates, rate in ((0, 1.0), (3, 0.25), (500, 0.1)):
        before = [p.clone() for p in policy.actor_average.parameters()]
        _, _, log_pi = policy.episode_log_probs(batch)
        stage = replace(model._stage(), n_updates=n_updates)
        actor.ascend(batch, log_pi, log_pi.sum(-1) * 0.0, None, stage)
        for old, new, learning in zip(
            before, policy.actor_average.parameters(), policy.actor.parameters(), strict=True
        ):
            torch.testing.assert_close(new, old + rate * (learning - old), rtol=1e-5, atol=1e-6)


def test_imitation__on_the_side_has_its_weight_in_the_loss(make: Any) -> None:
    model = make(teacher="nearest", teacher_steps=56).learn(112)
    actor, batch = model.storm_update.actor, model.replay_buffer.episodes(np.arange(4))
    taught = model.teacher.demonstrations(model.replay_buffer)
    with torch.no_grad():
        cross_entropy = float(actor._imitation_loss(taught))
    losses = []
    weights = {key: value.clone() for key, value in model.policy.state_dict().items()}
    for weight in (0.0, 0.5):
        model.policy.load_state_dict(weights)
        _, _, log_pi = model.policy.episode_log_probs(batch)
        stage = replace(model._stage(), imitation_weight=weight)
        losses.append(actor.ascend(batch, log_pi, log_pi.sum(-1) * 0.0, taught, stage)["actor_loss"])
    alpha_moved = 1e-4  # of the entropy's part, between the two steps
    assert losses[1] - losses[0] == pytest.approx(0.5 * cross_entropy, abs=alpha_moved)
