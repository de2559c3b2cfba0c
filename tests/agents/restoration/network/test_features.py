"""Features of regions, against counting by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from stormgym.agents.attention.networks import SHAPES
from stormgym.agents.restoration.network.features import (
    CREW,
    N_STATIC,
    EpisodeFeatures,
    make_inputs,
    n_crew_features,
    scales_of,
    split_groups,
)
from stormgym.envs.adapters.sb3 import make_vec_env
from stormgym.envs.restoration.layout import COLUMN, crew_columns, regions_of


@pytest.fixture(scope="module")
def batch() -> Any:
    """Two episodes in which regions were restored in some order: regions `[2, 7, 9]`, the rest `[2, 7, ...]`."""
    env = make_vec_env("Restoration-v0", 2, seed=0, city="synthetic:7:1")
    rng = np.random.default_rng(0)
    orders = np.stack([rng.permutation(7) for _ in range(2)])
    obs: Any = env.reset()
    regions, steps = torch.as_tensor(regions_of(obs)), []
    for step in range(7):
        steps.append([obs["distance_km"], obs["open"] > 0, obs["crew"]])
        obs, *_ = env.step(orders[:, step])
    distance_km, is_open, crew = (torch.as_tensor(np.stack(values, axis=1)) for values in zip(*steps, strict=True))
    return SimpleNamespace(regions=regions, distance_km=distance_km, is_open=is_open, crew=crew)


def test_balance_features__agree_with_counting_by_hand(batch: Any) -> None:
    features = EpisodeFeatures(batch.regions, 3).balance(batch.crew).numpy()
    shares, gaps = (x.numpy() for x in split_groups(batch.crew, 3))
    group = batch.regions[..., COLUMN["group"]].long().numpy()
    pairs = [(0, 1), (0, 2), (1, 2)]
    for m, t, r in product(range(2), range(batch.crew.shape[1]), range(7)):
        own, f = group[m, r], shares[m, t]
        after = f.copy()
        after[own] += 1 / (group[m] == own).sum()
        weight = np.exp(4.0 * gaps[m, t] / batch.crew[m, t, CREW["cost_limit_h"]].item())
        weight /= weight.sum()
        widening = lead = 0.0
        for w, (a, b) in zip(weight, pairs, strict=True):
            widening += w * (abs(after[a] - after[b]) - abs(f[a] - f[b]))
            if own in (a, b):
                lead += w * (f[own] - f[b if a == own else a])
        expected = [4 * (f[own] - f.min()), 4 * (f[own] - f.max()), 4 * lead, widening * (group[m] == own).sum()]
        np.testing.assert_allclose(features[m, t, r], expected, atol=1e-5)


def test_balance_features__are_shown_only_when_asked(batch: Any) -> None:
    inputs, _ = make_inputs(batch.regions, batch.distance_km, batch.is_open, batch.crew, 3)
    for feature, columns in (("balance", slice(3, 7)), ("update", slice(7, 9))):
        moving = inputs.moving.clone()
        moving[..., columns] += 1.0
        for shown in (True, False):
            torch.manual_seed(0)
            kwargs: dict[str, Any] = {"balance": False, feature: shown}
            net = SHAPES["episode"](N_STATIC + 3, n_crew_features(3), 1, 16, 1, 2, 8, **kwargs)
            with torch.no_grad():
                assert torch.equal(net(inputs), net(replace(inputs, moving=moving))) is not shown


def test_update_features__are_forecasts_times_the_shrunk_ratio_of_the_group(batch: Any) -> None:
    scales = scales_of(batch.regions)
    features = EpisodeFeatures(batch.regions, 3).update(batch.crew)
    names = {name: i for i, name in enumerate(crew_columns(3))}
    group, point = batch.regions[..., COLUMN["group"]].long(), batch.regions[..., COLUMN["point_h"]]
    assert torch.allclose(features[:, 0, :, 0], point / scales.hours, rtol=1e-5)  # no repair was seen
    m, t = 1, batch.crew.shape[1] - 1
    for r in range(point.shape[1]):
        own = int(group[m, r])
        seen = batch.crew[m, t, names[f"share_restored_{own}"]].item() * (group[m] == own).sum().item()
        ratio = batch.crew[m, t, names[f"log_ratio_{own}"]].item()
        expected = point[m, r].item() / scales.hours[m].item() * np.exp(ratio * seen / (seen + 6.0))
        np.testing.assert_allclose(features[m, t, r], [expected, np.log(expected)], rtol=1e-4, atol=1e-5)
