"""Rows that share a storm: how they are divided, and what their episodes are worth beside each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stormgym.agents.restoration.network.scenarios import Rows, advantages


@pytest.mark.parametrize(
    ("n_envs", "n_rollouts", "share", "expected"),
    [
        (64, 8, 0.25, (6, 8, 16)),
        (64, 8, 0.0, (8, 8, 0)),
        (8, 3, 0.25, (2, 3, 2)),
        (2, 8, 0.25, (1, 2, 0)),
        (4, 8, 0.9, (1, 2, 2)),
    ],
)
def test_rows__all_environments_explore_in_scenarios_or_act_greedily(
    n_envs: int, n_rollouts: int, share: float, expected: tuple[int, int, int]
) -> None:
    rows = Rows.of(n_envs, n_rollouts, share)
    assert (rows.n_scenarios, rows.n_rollouts, rows.n_greedy) == expected
    assert rows.greedy.sum() == rows.n_greedy
    assert rows.greedy.size == n_envs == len(rows.seeds())
    assert len(set(rows.seeds())) == rows.n_scenarios + rows.n_greedy


def test_rows__one_environment_has_no_baseline() -> None:
    with pytest.raises(ValueError, match="at least 2 environments on the same scenario; got 1"):
        Rows.of(1, 8, 0.0)


def test_advantages__compare_rollouts_of_one_scenario_at_the_same_step() -> None:
    gain = torch.tensor([[1.0, 2.0], [3.0, 6.0], [0.0, 5.0], [0.0, 5.0]])  # two scenarios of two rollouts
    torch.testing.assert_close(advantages(gain, 2), torch.tensor([[-3.0, -2.0], [3.0, 2.0], [0.0, 0.0], [0.0, 0.0]]))
    shifted = advantages(gain + torch.tensor([[10.0], [10.0], [-4.0], [-4.0]]), 2)
    torch.testing.assert_close(shifted, advantages(gain, 2))  # luck that rollouts share does not count
    guess = torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(advantages(gain, 2, guess)[:2], torch.tensor([[-3.0, -1.0], [3.0, 1.0]]))


def test_rows__only_rows_of_one_city_share_a_storm() -> None:
    rows = Rows.of([6, 4], 2, 0.25)
    np.testing.assert_array_equal(rows.scenario, [0, 0, 1, 1, -1, -1, 2, 2, -1, -1])
    np.testing.assert_array_equal(rows.exploring, [0, 1, 2, 3, 6, 7])
    seeds = rows.seeds()
    assert [seeds[i] == seeds[i + 1] for i in (0, 2, 6)] == [True] * 3
    assert len(set(seeds)) == 3 + 4


def test_rows__all_storms_have_as_many_rollouts_as_the_smallest_city_allows() -> None:
    rows = Rows.of([8, 3], 8, 0.0)
    assert rows.n_rollouts == 3
    np.testing.assert_array_equal(rows.scenario, [0, 0, 0, 1, 1, 1, -1, -1, 2, 2, 2])


def test_rows__a_city_with_one_row_has_no_baseline() -> None:
    with pytest.raises(ValueError, match="got 1"):
        Rows.of([8, 1], 8, 0.0)
