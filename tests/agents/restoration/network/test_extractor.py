"""Features of regions: in any order, in any units, and no policy over regions without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from stormgym.agents.attention.heads import RegionScores, SummaryValue
from stormgym.agents.learners import sb3 as learners
from stormgym.agents.restoration.network.extractor import RegionExtractor
from stormgym.envs.restoration.layout import CREW_SCALARS, crew_columns

ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}


def test_networks__relabelling_regions_permutes_scores_and_keeps_the_value(mid_episode: Callable[..., Any]) -> None:
    venv, obs = mid_episode()
    torch.manual_seed(0)
    extractor = RegionExtractor(venv.observation_space, width=16)
    scores, value = RegionScores(16, baseline=True), SummaryValue(16)
    order = np.random.default_rng(1).permutation(7)
    moved = {key: value if key == "crew" else value[:, order] for key, value in obs.items()}
    with torch.no_grad():
        before, after = (extractor({k: torch.as_tensor(v.copy()) for k, v in o.items()}) for o in (obs, moved))
        torch.testing.assert_close(scores(after), scores(before)[:, order])
        torch.testing.assert_close(value(after), value(before))


@pytest.mark.parametrize("kind", ["hours", "kilometres"])
def test_networks__change_of_units_changes_nothing(kind: str, mid_episode: Callable[..., Any]) -> None:
    venv, obs = mid_episode()
    extractor = RegionExtractor(venv.observation_space, width=16)
    changed = {key: value.astype(np.float64) for key, value in obs.items()}
    crew = changed["crew"]
    names = crew_columns(3)
    if kind == "hours":
        for column in ("lower_h", "upper_h", "point_h", "realised_h"):
            changed[column] *= 60.0
        for i, name in enumerate(names):
            hours = name.endswith("_h") or "_h_" in name
            crew[:, i] *= 60.0 if hours else 1 / 60.0 if name == "speed_kmh" else 1.0
    else:
        for column in ("x_km", "y_km", "distance_km"):
            changed[column] *= 1000.0
        for name in ("x_km", "y_km", "speed_kmh"):
            crew[:, CREW_SCALARS.index(name)] *= 1000.0
    with torch.no_grad():
        before, after = (
            extractor({k: torch.as_tensor(v.copy()).float() for k, v in o.items()}) for o in (obs, changed)
        )
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)


def test_networks__region_policies_need_the_extractor() -> None:
    env = gym.make("Restoration-v0", **ENV_KWARGS)
    with pytest.raises(ValueError, match="RegionExtractor"):
        PPO(learners.ppo.policy_over_choices(), env, device="cpu")
