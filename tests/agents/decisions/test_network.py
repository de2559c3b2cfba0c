"""Whitened contexts: standard deviations of the training cases, kept in a saved model, and nothing learnt."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from stormgym.agents.decisions.network import LARGEST, CaseFeatures
from stormgym.agents.training.play import make_training_env


@pytest.fixture
def made(newsvendor: ModuleType) -> tuple[CaseFeatures, Any]:
    """The features, and the problem whose cases they are in units of."""
    venv = make_training_env(newsvendor.ENV_ID, 2, {"split": "train"})
    assert isinstance(venv.observation_space, spaces.Dict)
    features = CaseFeatures(venv.observation_space, **CaseFeatures.arguments_for(venv))
    return features, venv.get_attr("announced")[0].problem


def as_tensors(context: Any) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(values, dtype=torch.float32) for name, values in context.items()}


def test_features__of_training_cases_have_mean_zero_and_spread_one(made: tuple[CaseFeatures, Any]) -> None:
    features, problem = made
    context = problem.cases("train").context
    mask = {"action_mask": torch.ones(len(context["weather"]), 3)}
    x = features({**as_tensors(context), **mask}).numpy()
    assert x.shape == (600, features.features_dim) == (600, 6)
    np.testing.assert_allclose(x.mean(axis=0), 0.0, atol=1e-3)  # of pressures around 1013 in float32
    changing = x.std(axis=0) > 0
    assert changing.sum() == 4
    np.testing.assert_allclose(x.std(axis=0)[changing], 1.0, atol=1e-4)
    assert list(features.parameters()) == []


def test_features__far_from_all_that_was_seen_are_clipped(made: tuple[CaseFeatures, Any]) -> None:
    features, problem = made
    context = as_tensors(problem.cases("train").rows(slice(0, 1)).context)
    context["weather"] += torch.tensor([1e9, -1e9])
    x = features(context)
    assert sorted(x.abs().max(dim=0).values.tolist())[-2:] == [LARGEST, LARGEST]


def test_features__are_made_from_what_planners_may_know(made: tuple[CaseFeatures, Any]) -> None:
    _, problem = made
    with pytest.raises(ValueError, match="not for planners"):
        problem.cases("test")


def test_features__without_numbers_are_the_observation(made: tuple[CaseFeatures, Any], newsvendor: ModuleType) -> None:
    space = make_training_env(newsvendor.ENV_ID, 1, {}).observation_space
    assert isinstance(space, spaces.Dict)
    plain = CaseFeatures(space)
    context = {"weather": torch.tensor([[3.0, -2.0]]), "calendar": torch.tensor([[[1.0, 2.0], [4.0, 5.0]]])}
    assert sorted(plain(context)[0].tolist()) == [-2.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    with pytest.raises(
        ValueError, match=r"mean must have \{'calendar': 4, 'weather': 2\} numbers.*got \{'weather': 1\}"
    ):
        CaseFeatures(space, mean={"weather": [0.0]})
