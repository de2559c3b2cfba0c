"""Rules that know no environment: the least key among what is open, and a random choice."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from stormgym.agents.rules import RandomPolicy, RulePolicy


def test_random__is_uniform_over_open_regions() -> None:
    mask = np.tile(np.array([1, 0, 1, 1, 0], np.int8), (3000, 1))
    action, _ = RandomPolicy(seed=1).predict({"action_mask": mask})
    count = np.bincount(action, minlength=5)
    assert count[[1, 4]].sum() == 0
    assert chisquare(count[[0, 2, 3]]).pvalue > 1e-4  # a correct policy fails once in ten thousand seeds


def test_random__same_seed_same_calls_same_actions() -> None:
    mask = {"action_mask": np.ones((8, 9), np.int8)}
    a, b, c = RandomPolicy(seed=1), RandomPolicy(seed=1), RandomPolicy(seed=2)
    first = [p.predict(mask, deterministic=True)[0] for p in (a, b, c)]
    assert (first[0] == first[1]).all()
    assert (first[0] != first[2]).any()


class Least(RulePolicy):
    """Takes the choice of least x."""

    def key(self, observation: Any) -> Any:
        return observation["x"]


def test_rule__takes_the_least_key_that_is_open_and_the_lower_number_of_equals() -> None:
    mask = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 1]], np.int8)
    x = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0], [2.0, 2.0, 2.0]])
    action, state = Least().predict({"action_mask": mask, "x": x}, "kept")
    assert action.tolist() == [1, 2, 0]
    assert state == "kept"


def test_rule__without_a_key_says_what_to_write() -> None:
    with pytest.raises(NotImplementedError, match=r"RulePolicy must write key\(\)"):
        RulePolicy().predict({"action_mask": np.ones(3, np.int8)})


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (
            (2, 3),
            r"Own\.key\(\) must .*, \[B, A\] as the action mask, here \(2, 4\); got shape \(2, 3\)\. One choice has",
        ),
        ((3,), r"got shape \(3,\)\. One choice has none: where the last is to wait, add a column with its key"),
        ((2, 1), r"got shape \(2, 1\)\. Compute it from parts of the observation along all axes"),
        ((), r"got shape \(\)\. Compute it"),
        ((1, 4), r"got shape \(1, 4\)\. Compute it"),
    ],
)
def test_rule__a_key_of_another_shape_says_which_is_wanted(shape: tuple[int, ...], said: str) -> None:
    class Own(RulePolicy):
        def key(self, observation: Any) -> Any:
            return np.zeros(shape)

    with pytest.raises(ValueError, match=said):
        Own().predict({"action_mask": np.ones((2, 4), np.int8)})


def test_rule__keys_may_be_the_same_in_every_row_and_infinite_ones_are_open_still() -> None:
    class Own(RulePolicy):
        def key(self, observation: Any) -> Any:
            return np.array([0.0, 2.0, np.inf, np.inf])

    mask = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]], np.int8)
    assert Own().predict({"action_mask": mask})[0].tolist() == [0, 1, 3]
