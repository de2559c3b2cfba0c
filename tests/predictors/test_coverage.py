"""The coverage report, and the benchmark built on it."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from stormgym.predictors import coverage_report, quantile_models
from stormgym.predictors.coverage import binomial_interval, interval_score

ROOT = Path(__file__).resolve().parents[2]

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


# The benchmark


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("coverage_benchmark", ROOT / "benchmarks" / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_benchmark__splits_are_disjoint_and_even_within_groups(benchmark):
    groups = np.repeat([0, 1], [40, 100])
    part = benchmark.deal(groups, 0.25, 0.25, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(part[groups == 0]), [20, 10, 10])
    np.testing.assert_array_equal(np.bincount(part[groups == 1]), [50, 25, 25])


def test_benchmark__band_of_a_mean_is_students_t(benchmark):
    values = np.array([0.1, -0.2, 0.3, 0.05])
    expected = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(benchmark.mean_interval(values, 0.95), expected)


def test_benchmark__writes_the_tables_between_the_markers_and_the_numbers_as_json(benchmark, tmp_path, monkeypatch):
    forest = quantile_models.default_forest
    monkeypatch.setattr(quantile_models, "default_forest", lambda random_state=None: forest(random_state, 5))
    page, numbers = tmp_path / "page.md", tmp_path / "numbers.json"
    page.write_text("above\n<!-- coverage:begin -->\nold\n<!-- coverage:end -->\nbelow\n")
    settings = benchmark.Settings(city="synthetic:20:1", splits=2, trees=5, docs=page, json=numbers, quiet=True)
    results = benchmark.main(settings)
    text = page.read_text()
    assert text.startswith(
        "above\n<!-- coverage:begin -->\nMade by `python benchmarks/coverage.py --city synthetic:20:1"
    )
    assert text.endswith("<!-- coverage:end -->\nbelow\n")
    assert "\nold\n" not in text
    assert [result.method for result in results] == ["CP", "NCP", "CQR", "ECQR"]
    assert [row.group for row in results[0].groups] == ["low", "middle", "high"]
    found = json.loads(numbers.read_text())["methods"]["ECQR"]
    assert found["gap"] == results[3].gap
    assert len(found["pairs"]) == 3


def test_benchmark__page_without_markers_and_bad_shares_are_errors(benchmark, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no markers")
    with pytest.raises(SystemExit, match=r"needs the lines <!-- coverage:begin -->"):
        benchmark.replace_block(page, "coverage", "text")
    with pytest.raises(ValueError, match=r"must leave records to train on; got 1\.2"):
        benchmark.main(benchmark.Settings(calibration_share=0.6, test_share=0.6, quiet=True))
    with pytest.raises(ValueError, match="splits must be at least 2"):
        benchmark.main(benchmark.Settings(splits=1, quiet=True))
