"""The coverage report."""

import numpy as np
import pytest
from scipy import stats

from stormgym.predictors import coverage_report
from stormgym.predictors.coverage import binomial_interval, interval_score

Y = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
ENDS = np.array([[0.0, 1.0], [2.0, 4.0], [4.0, 5.0], [0.0, 3.0], [0.0, 9.0]])
GROUPS = np.array([1, 0, 1, 0, 1])


def test_report__hand_computed():
    report = coverage_report(Y, ENDS, GROUPS, 0.8, group_names=("low", "high"))
    low, high = report.groups
    assert (low.group, low.n, low.n_covered, low.coverage) == ("low", 2, 1, 0.5)
    assert (high.group, high.n, high.n_covered, high.coverage) == ("high", 3, 2, 2 / 3)
    assert (low.mean_width, high.mean_width) == (2.5, 11 / 3)
    # 2 / (1 - 0.8) = 10 an hour missed: record 3 is missed by 1 h, record 2 by 1 h
    assert low.interval_score == pytest.approx((2 + 3 + 10) / 2)
    assert high.interval_score == pytest.approx((1 + 1 + 10 + 9) / 3)
    assert report.overall.group == "all"
    assert report.overall.coverage == 0.6
    assert report.gap == pytest.approx(2 / 3 - 1 / 2)


def test_report__binomial_interval_is_clopper_pearson():
    row = coverage_report(Y, ENDS, GROUPS).groups[1]
    assert row.coverage_low == pytest.approx(stats.beta.ppf(0.025, 2, 2), abs=1e-9)
    assert row.coverage_high == pytest.approx(stats.beta.ppf(0.975, 3, 1), abs=1e-9)
    assert binomial_interval(0, 5)[0] == 0.0
    assert binomial_interval(5, 5)[1] == 1.0


def test_report__without_groups_is_one_group_and_no_gap():
    report = coverage_report(Y, ENDS)
    assert [row.group for row in report.groups] == ["all"]
    assert report.groups[0] == report.overall
    assert report.gap == 0.0


def test_report__infinite_interval_covers_and_is_infinitely_wide():
    row = coverage_report([1.0], [[0.0, np.inf]]).overall
    assert row.coverage == 1.0
    assert row.mean_width == row.interval_score == np.inf


def test_report__as_frame_and_as_table():
    report = coverage_report(Y, ENDS, GROUPS, group_names={0: "low", 1: "high"})
    frame = report.to_frame()
    assert list(frame.index) == ["low", "high", "all"]
    assert frame.loc["low", "coverage"] == 0.5
    assert report.to_table().row_count == 3


def test_interval_score__is_least_at_the_true_quantiles():
    y = np.random.default_rng(0).normal(size=20_000)
    q = stats.norm.ppf(0.95)
    best, narrow, wide = (interval_score(y, np.tile([-h, h], (len(y), 1)), 0.9).mean() for h in (q, 0.7 * q, 1.3 * q))
    assert best < min(narrow, wide)


@pytest.mark.parametrize(
    ("y", "ends", "groups", "message"),
    [
        (Y, ENDS[:, :1], GROUPS, r"lower and upper ends \[M, 2\]; got shape \(5, 1\)"),
        (Y[1:], ENDS, GROUPS, "same length; got 4 and 5"),
        (Y, ENDS, GROUPS[1:], "4 labels for 5 records"),
        (np.full(5, np.nan), ENDS, GROUPS, "y must be finite"),
        (Y, np.where(ENDS == 9.0, np.nan, ENDS), GROUPS, "must not hold NaN; row 4"),
        (Y, ENDS[:, ::-1], GROUPS, r"row 0 is \[1.0, 0.0\]. Columns are lower, upper"),
        (Y[:0], ENDS[:0], GROUPS[:0], "at least one row"),
    ],
)
def test_report__bad_input_is_an_error(y, ends, groups, message):
    with pytest.raises(ValueError, match=message):
        coverage_report(y, ends, groups)


def test_report__percentage_and_nameless_group_are_errors():
    with pytest.raises(ValueError, match=r"Did you mean 0.9\?"):
        coverage_report(Y, ENDS, GROUPS, 90)
    with pytest.raises(ValueError, match="group_names must name every group; 1 has no name"):
        coverage_report(Y, ENDS, GROUPS, group_names=("low",))
