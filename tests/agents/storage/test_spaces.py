"""Spaces as JSON: those of every environment come back as they were, and none from a file takes the memory."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import stormgym  # noqa: F401  (registers the ids)
from stormgym.agents.registry import DOMAINS
from stormgym.agents.storage.spaces import from_json, to_json

IDS = sorted(i for i in DOMAINS if i in gym.registry and str(gym.spec(i).entry_point).startswith("stormgym."))
OTHERS = [
    spaces.Box(-1.0, 1.0, (2, 3)),
    spaces.Box(np.array([0.0, -np.inf]), np.array([1.0, np.inf]), dtype=np.float64),
    spaces.Box(0, 255, (4, 4, 3), dtype=np.uint8),
    spaces.Box(0.0, 1.0, ()),
    spaces.Discrete(5, start=-2),
    spaces.MultiDiscrete([3, 4]),
    spaces.MultiBinary(7),
    spaces.MultiBinary([2, 3]),
    spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Dict({"c": spaces.MultiBinary(1)})}),
]


def check(space: spaces.Space[Any]) -> None:
    again = from_json(json.loads(json.dumps(to_json(space))))
    assert again == space
    assert again.dtype == space.dtype
    if isinstance(space, spaces.Dict):
        assert list(again.spaces) == list(space.spaces)  # type: ignore[attr-defined]  # which networks read in order


@pytest.mark.parametrize("env_id", IDS)
def test_space__of_every_environment_comes_back(env_id: str) -> None:
    env = gym.make(env_id, **DOMAINS[env_id].small)
    check(env.observation_space)
    check(env.action_space)


@pytest.mark.parametrize("space", OTHERS, ids=str)
def test_space__of_each_kind_comes_back(space: spaces.Space[Any]) -> None:
    check(space)


def test_space__of_another_kind_is_refused_when_it_is_saved() -> None:
    with pytest.raises(TypeError, match="of the kind Text cannot be saved or read"):
        to_json(spaces.Text(3))


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "Box", "shape": [10**6, 10**6], "dtype": "float32", "low": 0, "high": 1},
        {"kind": "Box", "shape": [-1], "dtype": "float32", "low": 0, "high": 1},
        {"kind": "Box", "shape": [2], "dtype": "object", "low": 0, "high": 1},
        {"kind": "Box", "shape": [2], "dtype": "float32", "low": [0], "high": 1},
        {"kind": "Discrete", "n": 10**12, "start": 0},
        {"kind": "MultiDiscrete", "nvec": [10**6, 10**7]},
        {"kind": "MultiBinary", "shape": [10**12]},
        {"kind": "Graph"},
        {"kind": ["Box"]},
        {},
        [],
        "Box",
        None,
    ],
    ids=str,
)
def test_space__that_no_one_has_is_refused(told: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(told)
