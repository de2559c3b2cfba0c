"""Regret: what planning on a forecast costs more than planning on what came."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_array_equal

from stormgym.agents.dfl.problem import regret


class Cheapest:
    """Take the one of three things that is forecast cheapest on the mean of the samples; a plan is its number."""

    def decide(self, outcomes: Any) -> Any:
        return outcomes.mean(axis=0).argmin(axis=-1)

    def cost(self, plans: Any, outcomes: Any) -> Any:
        return np.take_along_axis(outcomes, plans[:, None], axis=1)[:, 0]


PROBLEM: Any = Cheapest()
CAME = np.array([[3.0, 1.0, 2.0], [5.0, 9.0, 4.0]])


def test_regret__of_what_came_is_zero() -> None:
    assert_array_equal(regret(PROBLEM, CAME[None], CAME), [0.0, 0.0])
    assert_array_equal(regret(PROBLEM, CAME[None] + 7.0, CAME), [0.0, 0.0])  # the same choice


def test_regret__is_by_hand_what_the_wrong_choice_costs() -> None:
    forecast = np.array([[[0.0, 1.0, 2.0], [9.0, 0.0, 9.0]]])  # takes the first, and the second
    assert_array_equal(regret(PROBLEM, forecast, CAME), [3.0 - 1.0, 9.0 - 4.0])


def test_regret__plans_on_all_samples_together() -> None:
    late = np.array([[0.0, 9.0, 0.0], [0.0, 0.0, 0.0]])  # the mean of the first row favours the third
    samples = np.stack([CAME, CAME + late])
    assert_array_equal(regret(PROBLEM, samples, CAME), [2.0 - 1.0, 0.0])
