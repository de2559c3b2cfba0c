"""Evaluations on the way: their scenarios, and how their scores are ranked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import stormgym  # noqa: F401
from stormgym.agents.registry import domain_of
from stormgym.agents.training import command
from stormgym.agents.training.play import EVALUATION_SEED, Score, make_training_env, play

ENV_KWARGS: dict[str, Any] = {"city": "synthetic:7:1", "predictor": "none"}


def test_best_model__is_feasible_first_then_by_return(score: Callable[..., Score]) -> None:
    order = [score(-9, 20), score(-30, 9), score(-40, 8), score(-20, 2), score(-19, 7.9)]
    assert [s.rank for s in order] == sorted(s.rank for s in order)
    lucky = Score(np.zeros(4), np.array([7.0, 8.0, 7.5, 9.4]), 8.0, {})  # mean 7.975, but it may well be above 8
    assert lucky.mean_cost < 8.0 < 8.0 * lucky.cost_bounds[0]
    assert lucky.rank < score(-50, 7.9).rank
    near = replace(score(-30, 7.7), spared=0.05)  # 5 % of 8 h must stay free
    assert near.excess == pytest.approx(0.1)
    assert near.rank < replace(score(-50, 7.5), spared=0.05).rank
    unlimited = Score(np.array([1.0]), None, None, {})
    assert unlimited.rank > Score(np.array([0.5]), None, None, {}).rank
    assert set(unlimited.logged(domain_of("Restoration-v0").headline)) == {"return"}


def test_play__meets_the_same_scenarios_whatever_the_policy_does() -> None:
    class Greedy:
        def __init__(self, column: str) -> None:
            self.column = column

        def predict(self, observation: Any, **_: Any) -> tuple[Any, None]:
            value = observation[self.column]
            return np.where(observation["action_mask"] > 0, value, np.inf).argmin(axis=-1), None

    venv = make_training_env("Restoration-v0", 4, {**ENV_KWARGS})
    first, other, again = (play(venv, Greedy(c), 10) for c in ("distance_km", "x_km", "distance_km"))
    assert len(first.returns) == 12  # the same number in each environment
    np.testing.assert_array_equal(first.returns, again.returns)
    assert not np.array_equal(first.returns, other.returns)
    assert first.metrics["mean_outage_h"] == pytest.approx(-first.mean_return, rel=1e-5)
    assert first.metrics["gap_h"] == pytest.approx(first.mean_cost)
    assert EVALUATION_SEED != command.HELD_OUT_SEED
