"""The benchmark of coverage: splits, bands, and what it writes."""

import json

import numpy as np
import pytest
from scipy import stats

from benchmarks.predictors import coverage as door
from stormgym.predictors import quantile_models


def test_benchmark__splits_are_disjoint_and_even_within_groups():
    groups = np.repeat([0, 1], [40, 100])
    part = door.deal(groups, 0.25, 0.25, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(part[groups == 0]), [20, 10, 10])
    np.testing.assert_array_equal(np.bincount(part[groups == 1]), [50, 25, 25])


def test_benchmark__band_of_a_mean_is_students_t():
    values = np.array([0.1, -0.2, 0.3, 0.05])
    expected = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(door.mean_interval(values, 0.95), expected)


def test_benchmark__writes_the_tables_between_the_markers_and_the_numbers_as_json(tmp_path, monkeypatch):
    forest = quantile_models.default_forest
    monkeypatch.setattr(quantile_models, "default_forest", lambda random_state=None: forest(random_state, 5))
    page, numbers = tmp_path / "predictors.md", tmp_path / "numbers.json"
    page.write_text("above\n<!-- coverage:begin -->\nold\n<!-- coverage:end -->\nbelow\n")
    settings = door.Settings(city="synthetic:20:1", splits=2, trees=5, docs=tmp_path, json=numbers, quiet=True)
    results = door.main(settings)
    text = page.read_text()
    assert text.startswith(
        "above\n<!-- coverage:begin -->\nMade by `python -m benchmarks.predictors.coverage --city synthetic:20:1"
    )
    assert text.endswith("<!-- coverage:end -->\nbelow\n")
    assert "\nold\n" not in text
    assert [result.method for result in results] == ["CP", "NCP", "CQR", "ECQR"]
    assert [row.group for row in results[0].groups] == ["low", "middle", "high"]
    found = json.loads(numbers.read_text())["methods"]["ECQR"]
    assert found["gap"] == results[3].gap
    assert len(found["pairs"]) == 3


def test_benchmark__page_without_markers_and_bad_shares_are_errors(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no markers")
    with pytest.raises(SystemExit, match=r"needs the lines <!-- coverage:begin -->"):
        door.replace_block(page, "coverage", "text")
    with pytest.raises(ValueError, match=r"must leave records to train on; got 1\.2"):
        door.main(door.Settings(calibration_share=0.6, test_share=0.6, quiet=True))
    with pytest.raises(ValueError, match="splits must be at least 2"):
        door.main(door.Settings(splits=1, quiet=True))
