"""Networks: relabelled and padded regions, the critics' known part, defaults."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.attention.networks import SHAPES
from stormgym.agents.restoration.network.features import (
    make_inputs,
)
from stormgym.agents.sta_sac.algorithm import STASAC
from stormgym.agents.sta_sac.policy import Critics, STASACPolicy
from stormgym.agents.sta_sac.settings import STASACSettings
from stormgym.envs.restoration.layout import COLUMN


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("shared", [True, False])
def test_critics__relabelling_regions_permutes_their_values(trained: STASAC, shape: str, shared: bool) -> None:
    torch.manual_seed(0)
    critics = Critics(3, shape, shared, width=16, n_layers=1, n_heads=2, step_width=8)
    batch = trained.replay_buffer.episodes(np.arange(2))
    order = torch.randperm(7)

    def values(regions: torch.Tensor, distance: torch.Tensor, is_open: torch.Tensor) -> torch.Tensor:
        inputs, scales = make_inputs(regions, distance, is_open, batch.crew, 3)
        return critics(inputs, regions, batch.crew, scales)

    with torch.no_grad():
        plain = values(batch.regions, batch.distance_km, batch.is_open)
        moved = values(batch.regions[:, order], batch.distance_km[..., order], batch.is_open[..., order])
    torch.testing.assert_close(moved, plain[:, :, order], rtol=1e-4, atol=1e-5)


def test_critics__known_part_is_exact_for_the_last_region(trained: STASAC) -> None:
    critics = Critics(3, "episode", True, width=16, n_layers=1, n_heads=2, step_width=8)
    torch.nn.init.zeros_(critics.nets[0].out.weight)
    torch.nn.init.zeros_(critics.nets[0].out.bias)
    batch = trained.replay_buffer.episodes(np.arange(8))
    inputs, scales = make_inputs(batch.regions, batch.distance_km, batch.is_open, batch.crew, 3)
    with torch.no_grad():
        q = critics(inputs, batch.regions, batch.crew, scales)
    rows = torch.arange(8)
    last = batch.actions[:, -1]
    value = q[rows, -1, last]  # [8, 4]
    point = batch.regions[rows, last, COLUMN["point_h"]]
    travel = batch.distance_km[rows, -1, last] / batch.crew[:, -1, 3]
    realised = -batch.rewards[:, -1] * 7 - travel  # the last reward is -(travel + repair) / N
    expected = -(travel + point) / 7
    torch.testing.assert_close(value[:, 0] * scales.total_hours[:, 0], expected, rtol=1e-4, atol=1e-4)
    assert (realised > 0).all()


def test_defaults__of_the_policy_are_those_of_the_settings() -> None:
    own = {name: parameter.default for name, parameter in inspect.signature(STASACPolicy.__init__).parameters.items()}
    for name, value in STASACSettings().network.items():
        assert own[name] == value, name
    assert inspect.signature(STASAC.__init__).parameters["settings"].default == STASACSettings()


def test_padding__changes_no_score(trained: STASAC) -> None:
    batch = trained.replay_buffer.episodes(np.arange(3))
    policy = trained.policy

    def q(regions: Any, distance: Any, is_open: Any) -> Any:
        inputs, scales = make_inputs(regions, distance, is_open, batch.crew, policy.n_groups)
        return policy.actor(inputs).squeeze(-1), policy.critic(inputs, regions, batch.crew, scales)

    plain = q(batch.regions, batch.distance_km, batch.is_open)
    pad = torch.nn.functional.pad
    regions = pad(batch.regions, (0, 0, 0, 4))
    regions[:, 7:, COLUMN["group"]] = -1
    padded = q(regions, pad(batch.distance_km, (0, 4)), pad(batch.is_open, (0, 4)))
    for small, large in zip(plain, padded, strict=True):
        torch.testing.assert_close(large[:, :, :7], small, rtol=1e-4, atol=1e-5)
