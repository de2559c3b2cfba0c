"""Statistics against scipy and against formulas worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from stormgym.agents.statistics import (
    gini,
    mean_estimate,
    paired_difference,
    wilson_interval,
)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 5, 500])
def test_mean__interval_equals_scipy_t_interval(level: float, n: int) -> None:
    x = np.random.default_rng(n).lognormal(size=n)
    ours = mean_estimate(x, level)
    low, high = stats.t.interval(level, n - 1, loc=x.mean(), scale=stats.sem(x))
    assert_allclose((ours.value, ours.low, ours.high), (x.mean(), low, high), rtol=1e-12)


def test_mean__hand_computed() -> None:
    # 1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.302653, half = 4.302653 / sqrt(3)
    e = mean_estimate([1.0, 2.0, 3.0])
    assert_allclose((e.value, e.half_width), (2.0, 4.302652729911275 / np.sqrt(3.0)))


def test_mean__one_number_has_no_interval() -> None:
    e = mean_estimate([4.0])
    assert e.value == 4.0
    assert np.isnan(e.low)
    assert np.isnan(e.high)
    assert not e.excludes(0.0)


def test_mean__interval_covers_at_its_level() -> None:
    # 4,000 samples of 8 normal numbers: coverage within 0.95 +- 4.5 sd (false alarm below 1e-5)
    rng = np.random.default_rng(0)
    hits = sum(not mean_estimate(rng.normal(3.0, 2.0, 8)).excludes(3.0) for _ in range(4000))
    assert abs(hits / 4000 - 0.95) < 4.5 * np.sqrt(0.95 * 0.05 / 4000)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (1, 1), (137, 500)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson__equals_scipy(k: int, n: int, level: float) -> None:
    ours = wilson_interval(k, n, level)
    theirs = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    assert_allclose((ours.low, ours.high), (theirs.low, theirs.high), atol=1e-12)
    assert ours.value == k / n


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson__holds_its_share_and_mirrors(pair: tuple[int, int]) -> None:
    k, n = pair
    e, mirror = wilson_interval(k, n), wilson_interval(n - k, n)
    assert 0.0 <= e.low <= e.value <= e.high <= 1.0
    assert_allclose((e.low, e.high), (1 - mirror.high, 1 - mirror.low), atol=1e-12)


def test_paired__equals_scipy_paired_test_interval() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(size=60)
    a, b = shared + rng.normal(0.2, 0.1, 60), shared + rng.normal(0.0, 0.1, 60)
    ours = paired_difference(a, b)
    theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert_allclose((ours.low, ours.high), (theirs.low, theirs.high), rtol=1e-10)
    assert ours.excludes(0.0)


def test_paired__is_narrower_than_unpaired_on_common_scenarios() -> None:
    rng = np.random.default_rng(2)
    shared = rng.normal(50.0, 5.0, 100)
    a, b = shared + rng.normal(size=100), shared + rng.normal(size=100)
    assert paired_difference(a, b).half_width < 0.5 * mean_estimate(a).half_width


def test_paired__same_sample_differs_by_nothing() -> None:
    e = paired_difference([1.0, 5.0], [1.0, 5.0])
    assert (e.value, e.low, e.high) == (0.0, 0.0, 0.0)


def test_gini__hand_computed_and_by_mean_difference() -> None:
    assert_allclose(gini(np.array([1.0, 1.0, 1.0])), 0.0, atol=1e-12)
    assert_allclose(gini(np.array([0.0, 0.0, 1.0])), 2.0 / 3.0)
    x = np.random.default_rng(3).gamma(2.0, size=40)
    mean_difference = np.abs(x[:, None] - x[None, :]).mean()
    assert_allclose(gini(x), mean_difference / (2 * x.mean()))


def test_errors__say_value_rule_and_cure() -> None:
    with pytest.raises(ValueError, match=r"confidence_level must be in \(0, 1\); got 95. Did you mean 0.95\?"):
        mean_estimate([1.0, 2.0], 95)
    with pytest.raises(ValueError, match="x is empty; at least one episode is needed"):
        mean_estimate([])
    with pytest.raises(ValueError, match="x must be finite; got nan at index 1"):
        mean_estimate([1.0, np.nan])
    with pytest.raises(ValueError, match=r"one-dimensional, one number an episode; got shape \(1, 2\)"):
        mean_estimate([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"successes must be in 0\.\.n with n >= 1; got 3 of 2"):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match="paired samples must have one length; got 1 and 2"):
        paired_difference([1.0], [1.0, 2.0])
