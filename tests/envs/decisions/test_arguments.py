"""Arguments of decision problems: sizes that no machine holds are refused before anything is made."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

import stormgym  # noqa: F401
from stormgym.envs.decisions.arguments import MOST_CELLS, check_cells, check_whole


def test_check_whole__takes_both_ends_and_any_seed() -> None:
    assert check_whole("n", 2, 2, most=5) == 2
    assert check_whole("n", 5, 2, most=5) == 5
    assert check_whole("instance", 2**63, 0, most=float("inf")) == 2**63


def test_check_cells__names_what_multiplies() -> None:
    check_cells(MOST_CELLS, "n times m")
    with pytest.raises(ValueError, match=r"n times m must come to at most 200,000,000 numbers; got 200,000,001\."):
        check_cells(MOST_CELLS + 1, "n times m")


@pytest.mark.parametrize(
    ("env_id", "given", "said"),
    [
        ("FractionalKnapsack-v0", {"n_items": 10**9}, "n_items must be at most 1,000,000; got 1000000000"),
        ("FractionalKnapsack-v0", {"n_features": 10**9}, "n_features must be at most 1,000,000"),
        (
            "FractionalKnapsack-v0",
            {"n_items": 10**5, "n_features": 10**4},
            "what is decided, times n_features, must come",
        ),
        ("Portfolio-v0", {"n_test": 2**63}, "n_test must be at most 1,000,000; got 9223372036854775808"),
        ("Portfolio-v0", {"n_train": 10**6, "n_assets": 1000}, "what is decided and n_features, times all cases, must"),
        ("Portfolio-v0", {"degree": 10**9}, "degree must be at most 100; got 1000000000"),
        ("ShortestPath-v0", {"grid": 10**6}, "grid must be at most 100; got 1000000"),
        ("NetworkSecurity-v0", {"n_nodes": 10**6}, "n_nodes, squared, must come to at most 200,000,000"),
        ("EnergyScheduling-v0", {"n_days": 10**9}, "n_days must be at most 100,000; got 1000000000"),
        ("PowerScheduling-v0", {"n_days": 10**9}, "n_days must be at most 100,000; got 1000000000"),
    ],
)
def test_problems__refuse_sizes_that_no_machine_holds(env_id: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        gym.make(env_id, **given)
