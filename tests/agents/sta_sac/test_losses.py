"""Targets of the critics and the actor's clipped objective, against plain loops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from stormgym.agents.attention.masking import masked_log_softmax
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.losses import drawn_surrogate, retrace_targets


@pytest.mark.parametrize("retrace", [0.0, 0.7])
def test_targets__equal_a_plain_recursion(trained: STASAC, retrace: float) -> None:
    batch = trained.replay_buffer.episodes(np.arange(3))
    m, t, n = batch.is_open.shape
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(m, t, n, 4, generator=generator)
    logits = torch.randn(m, t, n, generator=generator)
    pi = masked_log_softmax(logits, batch.action_mask).exp()
    reward, cost = torch.randn(m, t, generator=generator), torch.randn(m, t, generator=generator)
    bonus = torch.zeros(m, t)
    got = retrace_targets(batch, q, pi, reward, cost, bonus, retrace=retrace, cost_reduction="mean")
    for values, gain, column in ((q[..., :2].amin(-1), reward, 0), (q[..., 2:].mean(-1), cost, 2)):
        for i in range(m):
            following = 0.0
            for k in range(t - 1, -1, -1):
                expected = gain[i, k].item() + following
                assert got[i, k, column].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
                action = int(batch.actions[i, k])
                value = (pi[i, k] * values[i, k]).sum().item()
                weight = retrace * min(1.0, pi[i, k, action].item() / batch.behaviour[i, k].item())
                following = value + weight * (expected - values[i, k, action].item())


def test_surrogate__clips_as_ppo_and_leaves_out_what_was_not_drawn(trained: STASAC) -> None:
    batch = trained.replay_buffer.episodes(np.arange(2))
    m, t, n = batch.is_open.shape
    generator = torch.Generator().manual_seed(0)
    pi = masked_log_softmax(torch.randn(m, t, n, generator=generator), batch.action_mask).exp()
    behaviour = torch.rand(m, t, generator=generator)
    behaviour[0, 0] = 1.0  # chosen greedily
    advantage = torch.randn(m, t, generator=generator)
    got = drawn_surrogate(batch._replace(behaviour=behaviour), pi, advantage, 0.2)
    for i, k in product(range(m), range(t)):
        ratio = (pi[i, k, batch.actions[i, k]] / behaviour[i, k]).item()
        gain = advantage[i, k].item()
        bound = min(ratio, 1.2) if gain > 0 else max(ratio, 0.8)
        drawn = bool(batch.valid[i, k]) and (i, k) != (0, 0)
        assert got[i, k].item() == pytest.approx(bound * gain * drawn, rel=1e-4, abs=1e-6)
