"""What STA-SAC learns from: rewards in units of return, costs in limits, and the price of one limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.restoration.network.features import CREW, scales_of
from stormgym.agents.sta_sac.control_variate import without_luck


def of_model(model: Any) -> tuple[Any, Any, Any]:
    batch = model.replay_buffer.episodes(np.arange(4))
    return model.storm_update.rewards, batch, scales_of(batch.regions)


def test_rewards__are_in_units_of_return_and_costs_in_limits(make: Any) -> None:
    model = make(control_variate=False).learn(56)
    rewards, batch, scales = of_model(model)
    reward, cost = rewards.of(batch, scales)
    torch.testing.assert_close(reward * scales.total_hours, batch.rewards)
    torch.testing.assert_close(cost * 8.0, batch.costs)
    assert (batch.crew[..., CREW["cost_limit_h"]] == 8.0).all()


def test_rewards__lose_the_luck_of_repairs_and_fit_their_line_on_the_way(make: Any) -> None:
    model = make(n_envs=1).learn(56)
    rewards, batch, scales = of_model(model)
    line = model.policy.forecast.line.detach().clone()
    with torch.no_grad():
        late = model.policy.forecast.surprise(batch, scales)
    expected = without_luck(batch, late, scales, 3)
    reward, cost = rewards.of(batch, scales)
    torch.testing.assert_close(reward * scales.total_hours, expected[0])
    torch.testing.assert_close(cost * 8.0, expected[1])
    assert not torch.equal(model.policy.forecast.line, line)


@pytest.mark.parametrize("constrained", [True, False])
def test_price__is_lambda_per_limit_and_nothing_without_a_constraint(make: Any, constrained: bool) -> None:
    model = make(constrained=constrained, limit_margin=0.8, multiplier_init=0.4).learn(28)
    rewards, batch, scales = of_model(model)
    price = rewards.price(batch, scales)
    assert price.shape == batch.actions.shape
    wanted = model.multiplier.value / 0.8 if constrained else 0.0
    torch.testing.assert_close(price, torch.full_like(price, wanted))
