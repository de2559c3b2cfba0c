"""The four conformal predictors: life cycle, hand-computed values, messages, coverage."""

import pickle
import warnings

import numpy as np
import pytest
from quantile_forest import RandomForestQuantileRegressor
from scipy import stats
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, QuantileRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stormgym.predictors import CQR, ECQR, NormalizedConformal, SplitConformal, default_forest
from stormgym.predictors.conformal import conformal_quantile, conformal_rank, records_needed

METHODS = (SplitConformal, NormalizedConformal, CQR, ECQR)


class Constant(LinearRegression):
    """A stand-in quantile model: lower quantiles are `low`, upper ones `high`, whatever it is fitted on."""

    def __init__(self, low=0.0, high=0.0):
        self.low = low
        self.high = high

    def fit(self, X, y):
        return self

    def predict(self, X, quantiles="mean"):
        if quantiles == "mean":
            return np.full(len(X), (self.low + self.high) / 2)
        return np.tile([self.low if q < 0.5 else self.high for q in quantiles], (len(X), 1))


def small_forest(random_state=None):
    return default_forest(random_state, n_estimators=10)


@pytest.fixture(scope="module")
def data():
    """600 records of two features, three groups, and a spread that grows with the group."""
    rng = np.random.default_rng(5)
    X = rng.uniform(size=(600, 2))
    groups = rng.integers(3, size=600)
    y = 2.0 + X[:, 0] + (0.3 + 0.5 * groups) * rng.exponential(size=600)
    return X, y, groups


def conformalized(method, data, **kwargs):
    X, y, groups = data
    model = method(small_forest(), random_state=0, **kwargs).fit(X[:250], y[:250], groups[:250])
    return model.conformalize(X[250:500], y[250:500], groups[250:500])


# Hand-computed


@pytest.mark.parametrize(
    ("n", "level", "k"),
    [(9, 0.9, 9), (8, 0.9, 9), (99, 0.9, 90), (100, 0.9, 91), (19, 0.95, 19), (3, 0.5, 2)],
)
def test_rank__is_the_ceiling_of_n_plus_one_times_c_without_rounding_up(n, level, k):
    assert conformal_rank(n, level) == k


def test_rank__exact_products_are_never_rounded_up_for_any_percentage():
    for percent in range(1, 100):
        for n in range(1, 400):
            exact = -(-(n + 1) * percent // 100)  # integer ceiling
            assert conformal_rank(n, percent / 100) == exact


@pytest.mark.parametrize(("level", "n"), [(0.9, 9), (0.95, 19), (0.99, 99), (0.8, 4), (0.5, 1), (0.1, 1)])
def test_records_needed__is_the_first_number_with_a_finite_interval(level, n):
    assert records_needed(level) == n
    assert np.isfinite(conformal_quantile(np.arange(n), level))
    assert np.isinf(conformal_quantile(np.arange(n - 1.0), level))


def test_quantile__is_the_kth_smallest_score():
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 31.0))
    assert conformal_quantile(scores, 0.9) == 28.0  # ceil(31 * 0.9) = 28


def test_quantile__of_many_scores_in_any_order_is_the_kth_smallest():
    scores = np.random.default_rng(2).normal(size=2_001)
    for level in (0.1, 0.37, 0.5, 0.9, 0.999):
        assert conformal_quantile(scores, level) == np.sort(scores)[conformal_rank(2_001, level) - 1]


def test_split_conformal__hand_computed():
    X = np.zeros((9, 1))
    y = np.array([1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0, 9.0])
    model = SplitConformal(Constant(), confidence_level=0.75).fit(X, y).conformalize(X, y)
    assert model.quantile_ == 8.0  # k = ceil(10 * 0.75) = 8
    np.testing.assert_array_equal(model.predict_interval(X[:1]), [[-8.0, 8.0]])


def test_cqr__hand_computed_score_and_negative_correction():
    X = np.zeros((9, 1))
    y = np.linspace(0.1, 0.9, 9)
    model = CQR(Constant(0.0, 1.0), confidence_level=0.5).fit(X, y).conformalize(X, y)
    # eq. 8: max(0 - y, y - 1) = -min(y, 1 - y): -0.5, -0.4 (twice), -0.3 (twice), ... ; k = 5, so Q = -0.3
    np.testing.assert_allclose(model.quantile_, -0.3)
    np.testing.assert_allclose(model.predict_interval(X[:1]), [[0.3, 0.7]])


def test_cqr__interval_turned_inside_out_becomes_its_midpoint():
    X = np.zeros((9, 1))
    model = CQR(Constant(0.0, 10.0), confidence_level=0.5).fit(X, np.zeros(9)).conformalize(X, np.full(9, 5.0))
    assert model.quantile_ == -5.0
    model.quantile_model_._template.high = 4.0  # a narrower interval than 2 |Q|
    np.testing.assert_array_equal(model.predict_interval(X[:1]), [[2.0, 2.0]])


def test_cqr__crossing_quantiles_are_sorted():
    X = np.zeros((9, 1))
    model = CQR(Constant(1.0, -1.0), confidence_level=0.5).fit(X, np.zeros(9)).conformalize(X, np.zeros(9))
    assert model.quantile_ == -1.0  # of the sorted interval [-1, 1]; unsorted it would be +1


class Levels(Constant):
    """A stand-in quantile model whose quantiles are the levels themselves."""

    def predict(self, X, quantiles="mean"):
        return np.full(len(X), 0.5) if quantiles == "mean" else np.tile(quantiles, (len(X), 1))


@pytest.mark.parametrize("method", [CQR, ECQR])
def test_cqr__asks_for_the_levels_on_both_sides_of_the_confidence(method):
    X, y = np.zeros((9, 1)), np.full(9, 1.0)
    groups = [["a"] * 9] if method is ECQR else []
    model = method(Levels(), confidence_level=0.8).fit(X, y).conformalize(X, y, *groups)
    np.testing.assert_allclose(model.scores_, 0.1)  # y is 0.1 above the upper quantile, 0.9
    assert model.n_calibration_ == 9
    np.testing.assert_allclose(model.predict_interval(X[:1], *(g[:1] for g in groups)), [[0.0, 1.0]], atol=1e-12)


def test_ecqr__one_correction_a_group_by_hand():
    X = np.zeros((12, 1))
    groups = np.array(["a", "b"] * 6)
    y = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2) * np.where(groups == "a", 1.0, -10.0)
    model = ECQR(Constant(), confidence_level=0.8).fit(X, y).conformalize(X, y, groups)
    assert model.quantiles_ == {"a": 6.0, "b": 60.0}  # k = ceil(7 * 0.8) = 6
    assert model.group_n_calibration_ == {"a": 6, "b": 6}
    assert model.quantile_ == 50.0  # k = ceil(13 * 0.8) = 11 of the twelve together
    np.testing.assert_array_equal(model.predict_interval(X[:2], ["b", "a"]), [[-60.0, 60.0], [-6.0, 6.0]])


def test_normalized__width_follows_the_learnt_scale():
    scale = np.random.default_rng(1).uniform(0.2, 2.0, size=(2000, 1))
    noise = np.random.default_rng(2).normal(size=2000) * scale[:, 0]
    model = NormalizedConformal(LinearRegression(), random_state=0)
    model.fit(scale[:1000], noise[:1000]).conformalize(scale[1000:], noise[1000:])
    width = np.diff(model.predict_interval([[0.4], [1.6]]))[:, 0]
    assert 3.0 < width[1] / width[0] < 5.0


class Kept(LinearRegression):
    """A stand-in point model that keeps what it is fitted on and predicts `value`."""

    def __init__(self, value=1.0):
        self.value = value

    def fit(self, X, y):
        self.seen_ = np.array(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.value)


def test_normalized__scale_model_learns_absolute_residuals_and_has_a_floor_by_hand():
    X, y = np.zeros((6, 1)), np.array([0.0, 1.0, 2.0, 3.0, -1.0, 1.0])
    model = NormalizedConformal(Kept(1.0), scale_estimator=Kept(0.01), scale_floor=0.1, confidence_level=0.5).fit(X, y)
    assert model.estimator_.value == 1.0
    assert model.scale_estimator_.value == 0.01
    np.testing.assert_array_equal(model.scale_estimator_.seen_, [1.0, 0.0, 1.0, 2.0, 2.0, 0.0])
    assert model.scale_floor_ == pytest.approx(0.1)  # 0.1 times the mean residual, 1
    model.conformalize(X[:3], [1.0, 1.2, 0.7])
    np.testing.assert_allclose(model.scores_, [0.0, 2.0, 3.0])  # in units of the floor, which is above 0.01
    assert (model.quantile_, model.n_calibration_) == (pytest.approx(2.0), 3)
    np.testing.assert_allclose(model.predict_interval(X[:1]), [[0.8, 1.2]])


def test_normalized__without_a_scale_model_takes_another_of_its_own():
    X, y = np.zeros((4, 1)), np.array([0.0, 1.0, 2.0, 3.0])
    model = NormalizedConformal(Kept(3.0)).fit(X, y)
    assert (model.n_folds, model.scale_estimator_.value) == (3, 3.0)
    np.testing.assert_array_equal(model.estimator_.seen_, y)
    exact = NormalizedConformal(Kept(2.0)).fit(X, np.full(4, 2.0))
    assert exact.scale_floor_ == 1.0  # all residuals are zero


@pytest.mark.parametrize("n_folds", [2, 4])
def test_normalized__folds_from_two_to_the_number_of_records(n_folds):
    y = np.array([0.0, 1.0, 2.0, 5.0])
    folds = NormalizedConformal(LinearRegression(), scale_estimator=Kept(), n_folds=n_folds, random_state=0)
    residual = folds.fit(np.zeros((4, 1)), y).scale_estimator_.seen_
    if n_folds == 4:  # one left out: its distance from the mean of the others
        np.testing.assert_allclose(residual, np.abs(y - (y.sum() - y) / 3))
    else:
        assert not np.allclose(residual, np.abs(y - (y.sum() - y) / 3))


def test_normalized__scale_model_never_sees_the_calibration_set(data):
    X, y, _ = data
    model = NormalizedConformal(small_forest(), random_state=0).fit(X[:250], y[:250])
    before = model.scale_estimator_.predict(X[500:])
    floor = model.scale_floor_
    model.conformalize(X[250:500], 100.0 + y[250:500])
    np.testing.assert_array_equal(model.scale_estimator_.predict(X[500:]), before)
    assert model.scale_floor_ == floor


# Invariances


@pytest.mark.parametrize("method", METHODS)
def test_interval__scales_with_the_unit_of_the_target(method, data):
    X, y, groups = data
    hours = conformalized(method, data).predict_interval(X[500:], groups[500:])
    quarters = conformalized(method, (X, 4.0 * y, groups)).predict_interval(X[500:], groups[500:])
    np.testing.assert_allclose(quarters, 4.0 * hours, rtol=1e-9)


def test_ecqr__renaming_groups_changes_nothing(data):
    X, y, groups = data
    names = np.array(["low", "middle", "high"])[groups]
    by_number = conformalized(ECQR, data).predict_interval(X[500:], groups[500:])
    by_name = conformalized(ECQR, (X, y, names)).predict_interval(X[500:], names[500:])
    np.testing.assert_array_equal(by_number, by_name)


def test_ecqr__with_one_group_is_cqr(data):
    X, y, _ = data
    one = np.zeros(len(y), dtype=int)
    np.testing.assert_array_equal(
        conformalized(ECQR, (X, y, one)).predict_interval(X[500:], one[500:]),
        conformalized(CQR, data).predict_interval(X[500:]),
    )


# Life cycle


@pytest.mark.parametrize("method", METHODS)
def test_fit__returns_self_and_leaves_the_estimator_untouched(method, data):
    X, y, groups = data
    forest = small_forest()
    model = method(forest, random_state=0)
    assert model.fit(X[:250], y[:250]) is model
    assert model.conformalize(X[250:500], y[250:500], groups[250:500]) is model
    assert not hasattr(forest, "estimators_")
    assert forest.random_state is None
    assert model.predict_interval(X[500:], groups[500:]).shape == (100, 2)
    assert model.predict(X[500:]).shape == (100,)


@pytest.mark.parametrize("method", METHODS)
def test_clone__keeps_parameters_and_drops_what_was_learnt(method, data):
    model = conformalized(method, data, confidence_level=0.8, lower_bound=0.0)
    copy = clone(model)
    assert copy.get_params()["confidence_level"] == 0.8
    assert copy.get_params()["lower_bound"] == 0.0
    assert not [name for name in vars(copy) if name.endswith("_")]
    copy.set_params(confidence_level=0.7, estimator__n_estimators=3)
    assert copy.confidence_level == 0.7
    assert copy.estimator.n_estimators == 3


@pytest.mark.parametrize("method", METHODS)
def test_random_state__same_seed_same_bits_other_seed_other_bits(method, data):
    X, y, groups = data
    first = conformalized(method, data).predict_interval(X[500:], groups[500:])
    again = conformalized(method, data).predict_interval(X[500:], groups[500:])
    np.testing.assert_array_equal(first, again)
    other = method(small_forest(), random_state=1).fit(X[:250], y[:250])
    other.conformalize(X[250:500], y[250:500], groups[250:500])
    assert not np.array_equal(other.predict_interval(X[500:], groups[500:]), first)


def test_random_state__none_keeps_the_estimators_own(data):
    X, y, _ = data
    a, b = (SplitConformal(small_forest(7)).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_random_state__accepts_a_generator_of_numpy(data):
    X, y, _ = data
    a, b = (CQR(small_forest(), random_state=np.random.RandomState(3)).fit(X, y).predict(X[:5]) for _ in range(2))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", METHODS)
def test_pickle__gives_the_same_bits(method, data):
    X, _, groups = data
    model = conformalized(method, data)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        copy.predict_interval(X[500:], groups[500:]), model.predict_interval(X[500:], groups[500:])
    )


def test_fit__again_forgets_the_earlier_conformalize(data):
    X, y, _ = data
    model = conformalized(CQR, data).fit(X[:250], y[:250])
    with pytest.raises(NotFittedError, match="not conformalized"):
        model.predict_interval(X)


def test_default_estimator__is_the_quantile_forest(data):
    X, y, _ = data
    model = ECQR(random_state=0).fit(X[:100], y[:100])
    assert isinstance(model.estimators_[0], RandomForestQuantileRegressor)
    assert model.estimators_[0].n_estimators == 100


@pytest.mark.parametrize(
    "estimator",
    [
        GradientBoostingRegressor(loss="quantile", n_estimators=10),
        HistGradientBoostingRegressor(loss="quantile", max_iter=10),
        QuantileRegressor(alpha=0.0),
        make_pipeline(StandardScaler(), QuantileRegressor(alpha=0.0)),
        make_pipeline(StandardScaler(), small_forest()),
    ],
    ids=[
        "gradient-boosting",
        "hist-gradient-boosting",
        "quantile-regressor",
        "pipeline-of-pair",
        "pipeline-of-forest",
    ],
)
def test_cqr__takes_every_kind_of_quantile_model(estimator, data):
    X, y, _ = data
    model = CQR(estimator, random_state=0).fit(X[:250], y[:250]).conformalize(X[250:500], y[250:500])
    ends = model.predict_interval(X[500:])
    assert 0.8 < ((ends[:, 0] <= y[500:]) & (y[500:] <= ends[:, 1])).mean() <= 1.0
    assert (model.predict(X[500:]) > ends[:, 0]).mean() > 0.95


@pytest.mark.parametrize("estimator", [LinearRegression(), GradientBoostingRegressor()])
def test_cqr__a_model_without_quantiles_is_a_type_error_that_lists_those_with(estimator, data):
    X, y, _ = data
    with pytest.raises(TypeError, match=r"cannot fit quantiles: .*QuantileRegressor"):
        CQR(estimator).fit(X, y)


@pytest.mark.parametrize(
    "labels",
    [[1, "1", 2], [1.0, "a", "a"], np.array([1, "1", 2], dtype=object), ("a", b"a", "b")],
    ids=["int-str", "float-str", "object", "str-bytes"],
)
def test_ecqr__labels_of_two_types_are_an_error_and_never_one_group(labels, data):
    X, y, _ = data
    model = ECQR(small_forest()).fit(X[:300], y[:300])
    mixed = np.resize(np.array(labels, dtype=object), 300).tolist()
    message = r"groups must all be numbers or all be strings; got .* \(row \d+\) and .* Convert them to one type"
    with pytest.raises(ValueError, match=message):
        model.conformalize(X[300:600], y[300:600], mixed)


def test_ecqr__a_missing_label_among_strings_is_missing(data):
    X, y, _ = data
    labels = ["a", "b", float("nan")] * 100
    with pytest.raises(ValueError, match=r"100 of 300 are missing \(first: row 2\)"):
        ECQR(small_forest()).fit(X[:300], y[:300]).conformalize(X[300:600], y[300:600], labels)


def test_lower_bound__raises_ends_below_it(data):
    X, _, _ = data
    free = conformalized(SplitConformal, data).predict_interval(X[500:])
    bound = conformalized(SplitConformal, data, lower_bound=2.0).predict_interval(X[500:])
    assert (free[:, 0] < 2.0).any()
    np.testing.assert_array_equal(bound, np.maximum(free, 2.0))


# Errors and warnings


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("level", "message"),
    [
        (95, r"confidence_level must be in \(0, 1\); got 95. Did you mean 0.95\?"),
        (1.0, r"must be in \(0, 1\); got 1\.$"),
        (0.0, r"must be in \(0, 1\); got 0\.$"),
        (float("nan"), r"must be in \(0, 1\); got nan"),
    ],
)
def test_confidence_level__outside_zero_to_one_is_an_error_with_its_cure(method, level, message, data):
    X, y, _ = data
    with pytest.raises(ValueError, match=message):
        method(confidence_level=level).fit(X, y)


@pytest.mark.parametrize("method", METHODS)
def test_life_cycle__steps_out_of_order_say_which_is_missing(method, data):
    X, y, groups = data
    model = method(small_forest())
    with pytest.raises(NotFittedError, match=r"not fitted; call fit\(X, y\) first"):
        model.conformalize(X, y, groups)
    with pytest.raises(NotFittedError, match=r"not fitted; call fit\(X, y\) first"):
        model.predict(X)
    model.fit(X, y)
    with pytest.raises(NotFittedError, match=r"fitted but not conformalized; call conformalize"):
        model.predict_interval(X, groups)


@pytest.mark.parametrize("method", METHODS)
def test_input__bad_arrays_are_errors_that_name_the_fault(method, data):
    X, y, groups = data
    broken = X.copy()
    broken[7, 1] = np.nan
    with pytest.raises(ValueError, match=r"X must be finite; 1 of 600 rows hold NaN or infinity \(first: row 7\)"):
        method().fit(broken, y)
    with pytest.raises(ValueError, match=r"y must be finite; .* \(first: row 0\)"):
        method().fit(X, np.full(600, np.inf))
    with pytest.raises(ValueError, match=r"same length; got 600 rows of X and 599 of y"):
        method().fit(X, y[1:])
    with pytest.raises(ValueError, match=r"X must have two axes.*got shape \(600,\)"):
        method().fit(X[:, 0], y)
    with pytest.raises(ValueError, match=r"y must have one axis \[M\]; got shape \(600, 1\). Use y.ravel"):
        method().fit(X, y[:, None])
    with pytest.raises(ValueError, match="at least one row"):
        method().fit(X[:0], y[:0])
    model = conformalized(method, data)
    with pytest.raises(ValueError, match="the 2 features seen in fit; got 1"):
        model.predict_interval(X[:, :1], groups)


def test_ecqr__missing_groups_are_an_error(data):
    X, y, groups = data
    model = ECQR(small_forest()).fit(X, y)
    with pytest.raises(ValueError, match=r"needs its labels: conformalize\(\.\.\., groups=\.\.\.\)"):
        model.conformalize(X, y)
    model.conformalize(X, y, groups)
    with pytest.raises(ValueError, match=r"needs its labels: predict_interval"):
        model.predict_interval(X)
    with pytest.raises(ValueError, match="got 599 labels for 600 records"):
        model.predict_interval(X, groups[1:])
    with pytest.raises(ValueError, match=r"1 of 600 are missing \(first: row 3\)"):
        model.predict_interval(X, np.where(np.arange(600) == 3, np.nan, groups))


def test_ecqr__unseen_group_raises_or_takes_the_marginal_correction_with_a_warning(data):
    X, _, _ = data
    model = conformalized(ECQR, data)
    with pytest.raises(ValueError, match=r"groups \[7\] had no calibration records; known groups are \[0, 1, 2\]"):
        model.predict_interval(X[:2], [7, 0])
    assert model.scores_.shape == (250,)
    again = conformalized(ECQR, data, unseen_group="marginal")
    assert again.quantiles_ == model.quantiles_
    model.set_params(unseen_group="marginal")
    with pytest.warns(UserWarning, match=r"groups \[7\] had no calibration records.*Q of all 250 records"):
        ends = model.predict_interval(X[:2], [7, 0])
    marginal = conformalized(CQR, data).predict_interval(X[:2])
    np.testing.assert_array_equal(ends[0], marginal[0])
    np.testing.assert_array_equal(ends[1], model.predict_interval(X[1:2], [0])[0])


def test_ecqr__small_group_is_infinite_with_a_warning_that_names_it(data):
    X, y, groups = data
    few = np.flatnonzero(groups == 2)[:8]
    keep = np.concatenate([np.flatnonzero(groups != 2), few])
    model = ECQR(small_forest(), random_state=0).fit(X, y)
    text = r"group 2 has 8 calibration records, and .* 0.9 needs at least 9: its intervals are infinite"
    with pytest.warns(UserWarning, match=text):
        model.conformalize(X[keep], y[keep], groups[keep])
    ends = model.predict_interval(X[:2], [2, 0])
    np.testing.assert_array_equal(ends[0], [-np.inf, np.inf])
    assert np.isfinite(ends[1]).all()
    model.set_params(small_group="marginal")
    with pytest.warns(UserWarning, match=r"needs at least 9: it takes the Q of all \d+ records instead"):
        model.conformalize(X[keep], y[keep], groups[keep])
    assert model.quantiles_[2] == model.quantile_


@pytest.mark.parametrize("method", [SplitConformal, NormalizedConformal, CQR])
def test_conformalize__too_few_records_warn_and_give_infinite_intervals(method, data):
    X, y, _ = data
    model = method(small_forest(), random_state=0, lower_bound=0.0).fit(X, y)
    with pytest.warns(UserWarning, match=r"the calibration set has 8 calibration records, .* needs at least 9"):
        model.conformalize(X[:8], y[:8])
    np.testing.assert_array_equal(model.predict_interval(X[:1]), [[0.0, np.inf]])


@pytest.mark.parametrize("name", ["unseen_group", "small_group"])
def test_ecqr__unknown_rule_is_an_error(name, data):
    X, y, groups = data
    with pytest.raises(ValueError, match=rf"{name} must be one of .*; got 'ignore'"):
        ECQR(small_forest(), **{name: "ignore"}).fit(X, y).conformalize(X, y, groups)


def test_normalized__bad_settings_are_errors(data):
    X, y, _ = data
    with pytest.raises(ValueError, match="n_folds must be between 2 and the 600 training records; got 1"):
        NormalizedConformal(n_folds=1).fit(X, y)
    with pytest.raises(ValueError, match="scale_floor must be positive"):
        NormalizedConformal(scale_floor=0.0).fit(X, y)


def test_healthy_run__gives_no_warning(data):
    X, _, groups = data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS:
            conformalized(method, data).predict_interval(X[500:], groups[500:])


# Statistical


@pytest.mark.parametrize("method", METHODS)
def test_coverage__number_covered_is_beta_binomial(method):
    """Coverage in finite samples, marginal and (ECQR) per group.

    With the model fixed and continuous scores, the number covered of m fresh records is
    beta-binomial(m, k, n + 1 - k). The mean over 300 calibration sets is tested against its exact expectation
    k / (n + 1) by a two-sided z-test at 4.5 standard errors, twice a method: with fresh seeds one run of all
    four methods in 18,000 would fail by chance.
    """
    rng = np.random.default_rng(11)
    n, m, repeats, level = 40, 50, 300, 0.9
    X = rng.uniform(size=(400, 1))
    model = method(
        LinearRegression() if method in (SplitConformal, NormalizedConformal) else QuantileRegressor(alpha=0.0)
    )
    model.set_params(confidence_level=level).fit(X, rng.exponential(1.0 + X[:, 0]))
    share = np.empty((repeats, 2))
    for i in range(repeats):
        X = rng.uniform(size=(2 * (n + m), 1))
        groups = np.arange(len(X)) % 2  # equally many of each group on both sides
        y = rng.exponential(1.0 + X[:, 0]) * (1.0 + 2.0 * groups)
        if method is not ECQR:
            y = rng.exponential(1.0 + X[:, 0])  # one law for both groups: each is a fresh sample of its own
        model.conformalize(X[: 2 * n], y[: 2 * n], groups[: 2 * n])
        ends = model.predict_interval(X[2 * n :], groups[2 * n :])
        inside = (ends[:, 0] <= y[2 * n :]) & (y[2 * n :] <= ends[:, 1])
        share[i] = inside[::2].mean(), inside[1::2].mean()
    n_own = n if method is ECQR else 2 * n
    k = conformal_rank(n_own, level)
    law = stats.betabinom(m, k, n_own + 1 - k)
    error = (share.mean(axis=0) - law.mean() / m) / (law.std() / m / np.sqrt(repeats))
    assert np.abs(error).max() < 4.5, error
