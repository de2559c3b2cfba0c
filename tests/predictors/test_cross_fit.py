"""Cross-fitted forecasts: no record is in its own forecast, and what comes out is consistent."""

import ast
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stormgym.predictors import cross_fit, default_forest, quantile_models
from stormgym.predictors.cross_fit import PREDICTORS, SOURCES, source_digest

FOLDER = Path(quantile_models.__file__).parent
INTERVALS = ("ecqr", "cqr", "cp", "ncp")


@pytest.fixture
def small_forest(monkeypatch):
    """Five trees instead of a hundred."""
    monkeypatch.setattr(
        quantile_models,
        "default_forest",
        lambda random_state=None: default_forest(random_state, n_estimators=5),
    )


@pytest.fixture(scope="module")
def log():
    """400 records of three features and three unlike groups, hours."""
    rng = np.random.default_rng(3)
    X = rng.uniform(size=(400, 3))
    groups = rng.choice(3, size=400, p=[0.2, 0.3, 0.5])
    y = (1.0 + X[:, 0]) * rng.lognormal(0.0, 0.7 - 0.2 * groups)
    return X, y, groups


@pytest.fixture(scope="module")
def forecasts(log):
    """Forecasts of those records with five trees, by predictor: made once for all tests that only look at them."""

    @cache
    def made(predictor):
        with pytest.MonkeyPatch.context() as patch:
            few = lambda random_state=None: default_forest(random_state, n_estimators=5)  # noqa: E731
            patch.setattr(quantile_models, "default_forest", few)
            return cross_fit(*log, predictor=predictor)

    return made


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_cross_fit__masks_leave_out_the_whole_fold(predictor, forecasts):
    found = forecasts(predictor)
    assert found.fit_mask.shape == found.calibration_mask.shape == (10, 400)
    for k in range(10):
        own = found.fold == k
        assert 39 <= own.sum() <= 41
        np.testing.assert_array_equal(found.fit_mask[k], ~own)
        assert not (found.calibration_mask[k] & own).any()
        assert not (found.interval_fit_mask[k] & own).any()
        assert not (found.interval_fit_mask[k] & found.calibration_mask[k]).any()
        if predictor in INTERVALS:
            np.testing.assert_array_equal(found.interval_fit_mask[k] | found.calibration_mask[k], ~own)
            assert found.calibration_mask[k].sum() == pytest.approx(0.4 * (~own).sum(), abs=3)


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_cross_fit__own_duration_never_reaches_the_forecasts_of_its_fold(predictor, log, forecasts, small_forest):
    X, y, groups = log
    before = forecasts(predictor)
    changed = y.copy()
    changed[17] = 1e6
    after = cross_fit(X, changed, groups, predictor=predictor)
    fold = before.fold == before.fold[17]
    for name in ("lower_h", "upper_h", "point_h", "quantile_h"):
        np.testing.assert_array_equal(getattr(after, name)[fold], getattr(before, name)[fold])
    assert not np.array_equal(after.point_h, before.point_h)  # the other folds do see it


def test_cross_fit__folds_and_splits_are_even_within_groups(log, forecasts):
    _, _, groups = log
    found = forecasts("ecqr")
    for g in range(3):
        per_fold = np.bincount(found.fold[groups == g], minlength=10)
        assert per_fold.max() - per_fold.min() <= 1
        calibrating = found.calibration_mask[:, groups == g].sum(axis=1)
        np.testing.assert_allclose(calibrating, 0.4 * found.fit_mask[:, groups == g].sum(axis=1), atol=3)


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_cross_fit__forecasts_are_finite_ordered_and_average_to_the_point(predictor, forecasts):
    found = forecasts(predictor)
    for values in (found.lower_h, found.upper_h, found.point_h, found.quantile_h):
        assert np.isfinite(values).all()
    assert (found.lower_h >= 0).all()
    assert (found.lower_h <= found.upper_h).all()
    assert found.quantile_h.shape == (400, len(found.quantile_levels))
    assert (np.diff(found.quantile_h, axis=1) >= 0).all()
    np.testing.assert_allclose(found.quantile_h.mean(axis=1), found.point_h, rtol=1e-12)
    np.testing.assert_array_equal(found.interval_h, np.column_stack([found.lower_h, found.upper_h]))


def test_cross_fit__point_has_no_interval_and_one_forecast(forecasts):
    found = forecasts("point")
    np.testing.assert_array_equal(found.lower_h, found.point_h)
    np.testing.assert_array_equal(found.upper_h, found.point_h)
    np.testing.assert_array_equal(found.quantile_h, np.repeat(found.point_h[:, None], 20, axis=1))
    np.testing.assert_array_equal(found.point_h, forecasts("ecqr").point_h)


def test_cross_fit__none_is_the_mean_of_the_records_outside_the_fold(log):
    X, y, groups = log
    found = cross_fit(X, y, groups, predictor="none")
    expected = [y[found.fold != k].mean() for k in found.fold]
    np.testing.assert_array_equal(found.point_h, expected)
    np.testing.assert_array_equal(found.upper_h, expected)


def test_cross_fit__same_seed_same_bits_other_seed_other_folds(log, forecasts, small_forest):
    first, again, other = forecasts("ecqr"), *(cross_fit(*log, random_state=s) for s in (0, 5))
    for name in ("lower_h", "upper_h", "point_h", "quantile_h", "fold", "calibration_mask"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.fold, other.fold)


def test_cross_fit__higher_level_gives_wider_intervals_and_the_same_point(log, small_forest):
    narrow, wide = (cross_fit(*log, confidence_level=c) for c in (0.6, 0.95))
    assert (wide.upper_h - wide.lower_h).mean() > 1.5 * (narrow.upper_h - narrow.lower_h).mean()
    np.testing.assert_array_equal(wide.point_h, narrow.point_h)


def test_cross_fit__ecqr_widens_the_group_of_high_spread(log, forecasts):
    _, _, groups = log
    ecqr, cqr = forecasts("ecqr"), forecasts("cqr")
    widths = [(f.upper_h - f.lower_h)[groups == 0].mean() for f in (ecqr, cqr)]
    assert widths[0] > widths[1]


def test_cross_fit__group_too_small_takes_the_marginal_correction_with_one_warning(log, small_forest):
    X, y, groups = log
    rare = np.where(np.arange(400) < 12, 9, groups)
    with pytest.warns(UserWarning, match=r"10 folds: group 9 has \d calibration records") as notes:
        found = cross_fit(X, y, rare)
    assert len(notes) == 1
    assert np.isfinite(found.upper_h).all()


def test_cross_fit__too_few_records_for_a_finite_interval_is_an_error(small_forest):
    X = np.arange(15.0)[:, None]
    with pytest.raises(ValueError, match=r'15 records are too few .*level 0.9.*predictor="point"'):
        cross_fit(X, np.ones(15), np.zeros(15), n_folds=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predictor": "lstm"}, "predictor must be one of ecqr, cqr, cp, ncp, point, none; got 'lstm'"),
        ({"confidence_level": 90}, r"Did you mean 0\.9\?"),
        ({"n_folds": 1}, "n_folds must be between 2 and the 400 records; got 1"),
        ({"n_folds": 401}, "n_folds must be between 2 and the 400 records; got 401"),
        ({"y": -np.ones(400)}, r"durations >= 0 h; row 0 is -1"),
        ({"groups": np.zeros(3)}, "3 labels for 400 records"),
    ],
)
def test_cross_fit__bad_arguments_are_errors(change, message, log):
    X, y, groups = log
    with pytest.raises(ValueError, match=message):
        cross_fit(**({"X": X, "y": y, "groups": groups} | change))


def test_cross_fit__progress_bar_names_the_work(log, capsys):
    cross_fit(*log, predictor="none", progress=True)
    assert "cross-fitting forecasts" in capsys.readouterr().err


def test_cross_fit__calibrated_city_forecasts_are_accurate_unbiased_and_cover(shared_data):
    """Reference city: R2 above 0.33, group means off by at most 0.2 h, coverage within 4 points of 90 %."""
    from stormgym.envs.data import City

    city = City.load(shared_data / "calibrated_city")
    y, groups = city.log.repair_h, city.group[city.log.region]
    found = cross_fit(city.log.features, y, groups, n_folds=5)
    assert 1 - ((y - found.point_h) ** 2).mean() / y.var() > 0.33
    covered = (found.lower_h <= y) & (y <= found.upper_h)
    for g in range(3):
        assert abs((y - found.point_h)[groups == g].mean()) < 0.2
        assert abs(covered[groups == g].mean() - 0.9) < 0.04
    assert ((found.lower_h <= found.point_h) & (found.point_h <= found.upper_h)).all()


# ------------------------------------------------------------------------------------------------ what caches key on


def imported_by(name: str, found: frozenset[str] = frozenset()) -> frozenset[str]:
    """Modules of the package that a module of it imports, at its top or within functions, directly or not."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    direct: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stormgym"):
            inside = node.module.removeprefix("stormgym.predictors").removeprefix(".")
            direct |= {inside} if inside else {alias.name for alias in node.names}
    for other in direct - found:
        found = imported_by(other, found | {other})
    return found


def test_sources__are_the_module_and_all_that_it_imports():
    assert set(SOURCES) == {"cross_fit", *imported_by("cross_fit")}
    assert sorted(SOURCES) == list(SOURCES)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_source_digest__changes_with_the_modules_behind_it_and_with_no_other(tmp_path, name):
    for path in FOLDER.glob("*.py"):
        shutil.copy(path, tmp_path)
    before = source_digest(tmp_path)
    assert before == source_digest()
    with (tmp_path / f"{name}.py").open("a") as file:
        file.write("# changed\n")
    assert (source_digest(tmp_path) != before) == (name in SOURCES)
