"""Running gaps between groups against SciPy, with ties, empty groups, and more members than fit into one number."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from stormgym.envs.equity import group_pairs, running_gap, running_pair_gaps


@pytest.mark.parametrize(("n", "n_groups"), [(1, 1), (12, 2), (55, 3), (80, 10), (300, 12)])
def test_gaps__are_scipys_distances_of_what_is_there(n, n_groups):
    rng = np.random.default_rng(n)
    age = rng.exponential(10.0, (20, n)).round(1)  # rounded: ties
    there, group = rng.random((20, n)) < 0.6, rng.integers(0, n_groups, (20, n))
    found = running_pair_gaps(age, there, group, n_groups)
    assert found.shape == (20, len(group_pairs(n_groups)))
    for row in range(20):
        for p, (a, b) in enumerate(group_pairs(n_groups)):
            one, other = (age[row][there[row] & (group[row] == g)] for g in (a, b))
            expected = wasserstein_distance(one, other) if one.size and other.size else 0.0
            assert found[row, p] == pytest.approx(expected, abs=1e-9)
    np.testing.assert_array_equal(running_gap(age, there, group, n_groups), found.max(axis=1, initial=0.0))


def test_gaps__of_one_large_group_among_many_do_not_run_into_the_next():
    """Seven groups share 63 bits: counts of up to 511 fit into the nine of each, and here one group has 594."""
    n_groups, n = 7, 600
    group = np.minimum(np.arange(n)[None], n_groups - 1)[:, ::-1]
    age = np.arange(n, dtype=np.float64)[None]
    found = running_pair_gaps(age, np.ones((1, n), dtype=bool), group, n_groups)
    for p, (a, b) in enumerate(group_pairs(n_groups)):
        expected = wasserstein_distance(age[group == a], age[group == b])
        assert found[0, p] == pytest.approx(expected, abs=1e-9)


def test_gaps__of_nothing_are_zero():
    assert running_gap(np.ones((2, 4)), np.zeros((2, 4), dtype=bool), np.zeros((2, 4), dtype=int), 3).tolist() == [0, 0]
