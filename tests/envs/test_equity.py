"""Inequity figures against SciPy and against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import wasserstein_distance

from stormgym.envs.equity import (
    MAX_GROUPS,
    check_groups,
    gap,
    gini,
    group_means,
    group_pairs,
    pair_matrix,
    pairwise_w1,
    running_gap,
)

TIMES = hnp.arrays(np.float64, 9, elements=st.floats(0.0, 500.0, width=32))
UNEQUAL = np.array([0, 1, 2, 2, 1, 2, 2, 0, 2])  # groups of 2, 2 and 5


def scipy_pairs(times: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Every pair's distance by SciPy, in the order of `group_pairs`."""
    n_groups = group.max() + 1
    return np.array([wasserstein_distance(times[group == a], times[group == b]) for a, b in group_pairs(n_groups)])


@given(TIMES)
def test_pairwise_w1__equals_scipy_for_unequal_group_sizes(times):
    np.testing.assert_allclose(pairwise_w1(times, UNEQUAL), scipy_pairs(times, UNEQUAL), rtol=0, atol=1e-12 * 500)


@given(hnp.arrays(np.float64, 9, elements=st.sampled_from([0.0, 1.0, 2.5])))
def test_pairwise_w1__equals_scipy_with_ties(times):
    np.testing.assert_allclose(pairwise_w1(times, UNEQUAL), scipy_pairs(times, UNEQUAL), rtol=0, atol=1e-12)


def test_pairwise_w1__works_on_batches_of_any_rank():
    times = np.random.default_rng(0).gamma(2.0, 20.0, (3, 4, 9))
    result = pairwise_w1(times, UNEQUAL)
    assert result.shape == (3, 4, 3)
    for i in np.ndindex(3, 4):
        np.testing.assert_allclose(result[i], scipy_pairs(times[i], UNEQUAL), rtol=1e-12)


@given(TIMES, st.floats(0.1, 10.0), st.floats(0.0, 100.0))
def test_pairwise_w1__scales_with_the_unit_and_ignores_a_shift(times, factor, shift):
    expected = factor * pairwise_w1(times, UNEQUAL)
    np.testing.assert_allclose(pairwise_w1(factor * times + shift, UNEQUAL), expected, rtol=1e-9, atol=1e-9)


def test_pairwise_w1__hand_computed_case():
    # group 0 waits 1 and 3 h, group 1 waits 2 h: half the mass moves 1 h from each side
    np.testing.assert_allclose(pairwise_w1([1.0, 3.0, 2.0], [0, 0, 1]), [1.0])


def test_pairwise_w1__one_group_has_no_pairs_and_a_gap_of_zero():
    assert pairwise_w1([1.0, 2.0], [0, 0]).shape == (0,)
    assert gap([1.0, 2.0], [0, 0]) == 0.0
    np.testing.assert_array_equal(gap(np.ones((4, 2)), [0, 0]), np.zeros(4))


def test_gap__is_the_largest_pair():
    times = np.random.default_rng(1).gamma(2.0, 20.0, (50, 9))
    np.testing.assert_array_equal(gap(times, UNEQUAL), pairwise_w1(times, UNEQUAL).max(axis=-1))


@given(TIMES, st.permutations(range(9)))
def test_gap__ignores_the_order_of_regions(times, order):
    order = np.array(order)
    np.testing.assert_allclose(gap(times[order], UNEQUAL[order]), gap(times, UNEQUAL), atol=1e-10)


@given(TIMES)
def test_gap__ignores_the_names_of_groups(times):
    renamed = np.array([2, 0, 1])[UNEQUAL]
    np.testing.assert_allclose(gap(times, renamed), gap(times, UNEQUAL), atol=1e-10)


def test_pairwise_w1__wrong_length_and_nan_are_errors():
    with pytest.raises(ValueError, match="times must end in N = 3 regions; got shape"):
        pairwise_w1([1.0, 2.0], [0, 1, 1])
    with pytest.raises(ValueError, match="must not hold NaN; give every region a time"):
        pairwise_w1([1.0, np.nan], [0, 1])


@pytest.mark.parametrize(
    ("group", "n_groups", "message"),
    [
        ([0, 2], None, r"each group needs a member; got ids \[0, 2\]. Number the groups without holes"),
        ([0, 1], 3, r"group ids must be 0..2 and each group needs a member"),
        ([0, 3], 2, r"group ids must be 0..1"),
        ([-1, 0], None, "group ids must be 0..0"),
        ([0.5, 1.0], None, "must be a non-empty vector of integers"),
        ([], None, "must be a non-empty vector of integers"),
        ([[0, 1]], None, "must be a non-empty vector of integers"),
    ],
)
def test_check_groups__bad_ids_are_errors_that_say_the_rule(group, n_groups, message):
    with pytest.raises(ValueError, match=message):
        check_groups(group, n_groups)


def test_check_groups__takes_the_number_of_groups_from_the_ids():
    ids, n_groups = check_groups([1, 0, 2])
    assert ids.dtype == np.int64
    assert n_groups == 3


def test_pair_matrix__turns_shares_into_differences():
    shares = np.array([0.5, 0.2, 0.9])
    expected = [shares[a] - shares[b] for a, b in group_pairs(3)]
    np.testing.assert_allclose(shares @ pair_matrix(3), expected)


def test_group_means__are_the_means_of_each_group():
    times = np.random.default_rng(2).random((4, 9))
    expected = np.stack([times[:, UNEQUAL == g].mean(axis=1) for g in range(3)], axis=1)
    np.testing.assert_allclose(group_means(times, UNEQUAL), expected, rtol=1e-14)


@given(hnp.arrays(np.float64, st.integers(1, 12), elements=st.just(0.0) | st.floats(1e-6, 1e4)))
def test_gini__equals_the_mean_absolute_difference_over_twice_the_mean(values):
    total = values.sum()
    expected = np.abs(values[:, None] - values).mean() / (2 * values.mean()) if total > 0 else 0.0
    assert gini(values) == pytest.approx(expected, abs=1e-9)


def test_gini__is_zero_when_all_are_equal_and_largest_when_one_has_all():
    assert gini([3.0, 3.0, 3.0]) == 0.0
    assert gini([0.0, 0.0, 0.0, 7.0]) == pytest.approx(3 / 4)
    np.testing.assert_allclose(gini(np.array([[1.0, 0.0], [1.0, 1.0]]), axis=0), [0.0, 0.5])


@pytest.mark.parametrize("bad", [[-1.0, 2.0], [np.nan, 1.0]])
def test_gini__negative_or_nan_is_an_error(bad):
    with pytest.raises(ValueError, match="gini needs values >= 0 without NaN"):
        gini(bad)


@pytest.mark.parametrize(
    "group", [[0, 10**12], [0.0, 1e12], [0, 2**62], np.array([0, 2**63], dtype=np.uint64), [0.0, np.inf]]
)
def test_check_groups__a_huge_id_is_refused_before_arrays_are_made(group):
    for figure in (check_groups, lambda ids: gap([1.0, 2.0], ids), lambda ids: group_means([1.0, 2.0], ids)):
        with pytest.raises(ValueError, match=r"each group needs a member|non-empty vector of integers"):
            figure(group)


@pytest.mark.parametrize("n_groups", [MAX_GROUPS + 1, 10**12])
def test_groups__more_than_can_be_compared_are_refused(n_groups):
    for figure in (
        lambda: group_pairs(n_groups),
        lambda: pair_matrix(n_groups),
        lambda: running_gap(np.ones((1, 2)), np.ones((1, 2), bool), np.array([[0, 1]]), n_groups),
    ):
        with pytest.raises(ValueError, match=f"n_groups must be at most 300; got {n_groups:,}"):
            figure()
    with pytest.raises(ValueError, match="each group needs a member"):
        gap([1.0, 2.0], [0, 1], n_groups)


def test_groups__as_many_as_are_meant_to_work():
    times, group = np.arange(2.0 * MAX_GROUPS), np.arange(2 * MAX_GROUPS) % MAX_GROUPS
    assert gap(times, group) == MAX_GROUPS - 1
    assert running_gap(times[None], np.ones((1, times.size), bool), group[None], MAX_GROUPS) == MAX_GROUPS - 1


def test_groups__of_one_region_are_compared_with_nobody():
    assert check_groups([0]) == (np.array([0]), 1)
    assert gap(np.ones((2, 3, 4)), np.zeros(4, dtype=int)).tolist() == np.zeros((2, 3)).tolist()
    assert gap([5.0], [0]) == 0.0


def test_group_means__a_group_without_members_is_an_error():
    with pytest.raises(ValueError, match=r"group ids must be 0\.\.2"):
        group_means([1.0, 2.0], [0, 1], 3)


def test_measures__of_whole_numbers_are_those_of_floats():
    times, group = np.array([3, 1, 4, 1, 5]), np.array([0, 1, 0, 1, 1])
    assert gap(times, group) == gap(times.astype(float), group)
    np.testing.assert_allclose(group_means(times, group), [3.5, 7 / 3])
    assert gini(times) == gini(times.astype(float))
    assert gini(np.array([200, 100], dtype=np.uint8)) == pytest.approx(1 / 6)  # no overflow of small integers
    assert gap(np.array([200, 100], dtype=np.uint8), [0, 1]) == gap(np.array([100, 200], dtype=np.uint8), [0, 1]) == 100
