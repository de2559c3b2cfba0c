"""What STA-SAC learns from: rewards in units of return, costs in limits, and the price of one limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.restoration.network.features import CREW, scales_of
from stormgym.agents.sta_sac.control_variate import without_luck
from stormgym.agents.sta_sac.rewards import CHANCE_WIDTH
from stormgym.envs.risk_measure import RiskMeasure


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


# ------------------------------------------------------------------------------------------------ limits on the tail


def totals(model: Any, batch: Any) -> torch.Tensor:
    """Costs of whole episodes in what lambda aims at, `[M]`."""
    return (batch.costs * batch.valid).sum(1) / (8.0 * model.chosen.limit_margin)


@pytest.mark.parametrize("kind", ["cvar", "chance"])
@pytest.mark.parametrize("control_variate", [True, False])
def test_tail__steps_of_an_episode_add_up_to_its_g_luck_included(make: Any, kind: str, control_variate: bool) -> None:
    model = make(measure=RiskMeasure(kind, 0.8), control_variate=control_variate, limit_margin=0.9).learn(56)
    model.multiplier.update_each(*(torch.tensor(x, dtype=torch.float64) for x in ([3.0, 5.0], [8.0, 8.0], [1.0, 1.0])))
    rewards, batch, scales = of_model(model)
    _, cost = rewards.of(batch, scales)
    share = totals(model, batch)
    assert cost.shape == batch.costs.shape
    t = model.multiplier.threshold
    if kind == "cvar":
        assert t == pytest.approx(5.0 / 7.2)
        wanted = t + (share - t).clamp_min(0.0) / 0.2
    else:
        wanted = ((share - 1.0) / (2 * CHANCE_WIDTH) + 0.5).clamp(0.0, 1.0) / 0.2
    torch.testing.assert_close(cost.sum(1), 0.9 * wanted)  # in limits: the price is lambda over the margin
    assert (cost[~batch.valid] == 0).all()


def test_tail__a_price_times_the_costs_is_lambda_times_g(make: Any) -> None:
    model = make(measure=RiskMeasure("cvar", 0.8), limit_margin=0.8, multiplier_init=0.4).learn(28)
    rewards, batch, scales = of_model(model)
    paid = (rewards.price(batch, scales) * rewards.of(batch, scales)[1]).sum(1)
    limits = torch.full((len(paid),), 8.0)
    wanted = model.multiplier.value * model.multiplier.burden(totals(model, batch), limits, limits)
    torch.testing.assert_close(paid, wanted)


def test_tail__each_step_costs_what_it_adds_to_g_of_the_cost_so_far(make: Any) -> None:
    model = make(measure=RiskMeasure("cvar", 0.5), limit_margin=1.0).learn(28)
    rewards, batch, scales = of_model(model)
    batch = batch._replace(costs=batch.costs * 0.0)
    batch.costs[:, :4] = torch.tensor([2.0, 7.0, -3.0, 4.0])
    batch = batch._replace(valid=torch.ones_like(batch.valid))
    model.multiplier.update_each(*(torch.tensor([x], dtype=torch.float64) for x in (4.0, 8.0, 1.0)))  # t = 0.5
    growth = rewards.growth_of_burden(batch, scales)
    wanted = torch.tensor([0.5, 2 * (9 - 4) / 8, -2 * 3 / 8, 2 * 4 / 8])  # 2, 9, 6, 10 h so far
    torch.testing.assert_close(growth[:, :4], wanted.expand(len(growth), -1))
    torch.testing.assert_close(growth[:, 4:], torch.zeros_like(growth[:, 4:]))
