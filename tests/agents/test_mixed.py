"""Policies that act in many cities at once, city by city."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stormgym.agents.lineup import make_policy
from stormgym.agents.mixed import MixedPolicy, policy_for
from stormgym.envs.adapters.sb3 import StormVecEnv, make_vec_env
from stormgym.envs.adapters.sb3_mixed import MixedVecEnv

CITIES = ("synthetic:5:1", "synthetic:9:2", "synthetic:7:3")
SHARES = (3, 2, 2)
ROWS = np.split(np.arange(7), [3, 5])
ENV: dict[str, Any] = {"predictor": "none"}  # needs no forest


def alone(seed: int = 3, **kwargs: Any) -> list[StormVecEnv]:
    """The same environments, one `StormVecEnv` a city."""
    return [
        make_vec_env("Restoration-v0", share, seed=seed + int(rows[0]), city=city, **{**ENV, **kwargs})
        for city, share, rows in zip(CITIES, SHARES, ROWS, strict=True)
    ]


@pytest.mark.parametrize("name", ["nearest", "repairman", "equity-planner", "clairvoyant-fair"])
def test_policy__of_each_city_acts_on_its_own_rows(name: str, mixed: Callable[..., MixedVecEnv]) -> None:
    ours, theirs = mixed(cost_limit=(4.0, 20.0)), alone(cost_limit=(4.0, 20.0))
    quick = {} if name == "nearest" else {"iterations": 20}  # of a search
    policy, policies = policy_for(name, ours, **quick), [make_policy(name, venv, **quick) for venv in theirs]
    assert isinstance(policy, MixedPolicy)
    assert policy.privileged == (name == "clairvoyant-fair")
    obs, parts = ours.reset(), [venv.reset() for venv in theirs]
    state, states = None, [None] * 3
    start = np.ones(7, dtype=bool)
    for _ in range(12):  # beyond the end of each city's first episode
        actions, state = policy.predict(obs, state, start, deterministic=True)
        for i, rows in enumerate(ROWS):
            own, states[i] = policies[i].predict(parts[i], states[i], start[rows], deterministic=True)
            np.testing.assert_array_equal(actions[rows], own)
            parts[i] = theirs[i].step(own)[0]
        obs, _, start, _ = ours.step(actions)


def test_policy__leaves_a_city_alone_until_one_of_its_rows_begins(mixed: Callable[..., MixedVecEnv]) -> None:
    venv = mixed()
    policy = MixedPolicy.for_env(venv, "nearest")
    obs = venv.reset()
    first = obs["action_mask"].argmax(axis=1)
    nearest = np.where(obs["action_mask"] == 1, obs["distance_km"], np.inf).argmin(axis=1)
    state = None
    for begins, asked in (
        (np.zeros(7, dtype=bool), []),
        (np.arange(7) == 4, ROWS[1]),
        (np.zeros(7, dtype=bool), ROWS[1]),
    ):
        actions, state = policy.predict(obs, state, begins)
        expected = first.copy()
        expected[asked] = nearest[asked]
        np.testing.assert_array_equal(actions, expected)
    np.testing.assert_array_equal(policy.predict(obs)[0], nearest)


def test_policy__needs_the_observation_of_all_rows(mixed: Callable[..., MixedVecEnv]) -> None:
    venv = mixed()
    policy = MixedPolicy.for_env(venv, "nearest")
    obs = venv.reset()
    with pytest.raises(ValueError, match=r"bound to 7 environments; got action_mask of shape \(2, 9\)"):
        policy.predict({key: value[:2] for key, value in obs.items()})
    with pytest.raises(ValueError, match="one policy for each of 3 cities; got 1"):
        MixedPolicy(policy.policies[:1], venv)


def test_policy__of_one_city_is_the_plain_one() -> None:
    venv = make_vec_env("Restoration-v0", 2, seed=0, city=CITIES[0], **ENV)
    policy = policy_for("nearest", venv)
    assert type(policy) is type(make_policy("nearest", venv))
    actions, _ = policy.predict(venv.reset())
    assert actions.shape == (2,)


def test_policy__of_many_cities_takes_arguments_for_each(mixed: Callable[..., MixedVecEnv]) -> None:
    policy = policy_for("random", mixed(), seed=5)
    assert isinstance(policy, MixedPolicy)
    assert len(policy.policies) == len(CITIES)
    assert not policy.privileged
