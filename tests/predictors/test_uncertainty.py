"""Conformal sets of storms: life cycle, hand-computed bounds, coverage, who takes them, and errors."""

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from stormgym.agents.undergrounding.trilevel.solve import solve_trilevel
from stormgym.predictors import ConformalPolytope, UncertaintySet, default_network
from stormgym.predictors.conformal import conformal_quantile, conformal_rank

K = 4
SIZE = np.array([1.0, 2.0, 4.0, 8.0])


def storms(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Covariates `[E, K, 3]` and outages `[E, K]` with a common shock; they vary more with the second."""
    x = np.concatenate([rng.uniform(size=(n, K, 2)), np.broadcast_to(SIZE[:, None], (n, K, 1))], axis=-1)
    noise = 0.5 * rng.standard_normal((n, 1)) + rng.standard_normal((n, K))
    return x, SIZE * (5.0 + 2.0 * x[..., 0] + (0.1 + x[..., 1]) * noise)


class Known(LinearRegression):
    """A constant forecast without a fit: conformal intervals need no good model."""

    def fit(self, X: Any, y: Any) -> Any:
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.full(len(X), 20.0)


def made(n_calibration: int = 120, **kwargs: Any) -> ConformalPolytope:
    rng = np.random.default_rng(0)
    model = ConformalPolytope(LinearRegression(), random_state=0, **kwargs).fit(*storms(60, rng))
    return model.conformalize(*storms(n_calibration, rng))


def test_maximise__many_sets_at_once_and_infinite_ends() -> None:
    sets = made().predict_set(storms(5, np.random.default_rng(2))[0])
    values, found = sets.maximise(SIZE)
    assert values.shape == (5,)
    assert found.shape == (5, K)
    for e in range(5):
        assert sets[e].maximise(SIZE)[0] == pytest.approx(values[e])
    one = UncertaintySet(np.array([1.0, 2.0]), np.array([np.inf, 5.0]), np.asarray(0.0), np.asarray(10.0))
    assert one.maximise([3.0, 1.0])[1].tolist() == [8.0, 2.0]


@pytest.mark.parametrize("method", ["ncp", "cp", "empirical"])
@pytest.mark.parametrize("calibration", ["marginal", "joint"])
def test_life_cycle__every_form(method: Any, calibration: Any) -> None:
    model = made(method=method, calibration=calibration)
    x, _ = storms(30, np.random.default_rng(4))
    sets = model.predict_set(x)
    assert sets.lower.shape == sets.upper.shape == (30, K)
    assert sets.total_lower.shape == (30,)
    assert sets.contains(model.predict(x)).all()
    assert (sets.lower >= 0).all()
    again = clone(model)
    assert again.get_params()["method"] == method
    with pytest.raises(NotFittedError):
        again.predict_set(x)
    kept = pickle.loads(pickle.dumps(model)).predict_set(x)
    np.testing.assert_array_equal(kept.upper, sets.upper)


def test_hand_computed__cp_is_the_ranked_residual() -> None:
    rng = np.random.default_rng(5)
    x, y = storms(19, rng)
    model = ConformalPolytope(Known(), method="cp", confidence_level=0.9, total_confidence_level=0.5)
    model.fit(x, y).conformalize(x, y)
    assert conformal_rank(19, 0.9) == 18
    assert model.widths_ == pytest.approx(np.sort(np.abs(y - 20.0), axis=0)[17])
    assert model.total_width_ == pytest.approx(conformal_quantile(np.abs(y.sum(axis=1) - 80.0), 0.5))
    one = model.predict_set(x)[0]
    assert one.upper == pytest.approx(20.0 + model.widths_)
    assert one.lower == pytest.approx(np.maximum(20.0 - model.widths_, 0.0))
    assert one.total_upper == pytest.approx(80.0 + model.total_width_)


def test_hand_computed__empirical_is_mean_and_deviation() -> None:
    x, y = storms(50, np.random.default_rng(6))
    model = ConformalPolytope(method="empirical", confidence_level=0.9, total_confidence_level=0.5).fit(x, y)
    one = model.conformalize(x, y).predict_set(x)[0]
    assert one.upper == pytest.approx(y.mean(axis=0) + stats.norm.ppf(0.95) * y.std(axis=0, ddof=1))
    total = y.sum(axis=1)
    assert one.total_lower == pytest.approx(total.mean() - stats.norm.ppf(0.75) * total.std(ddof=1))


def test_ncp__is_wider_where_the_noise_is() -> None:
    rng = np.random.default_rng(7)
    model = ConformalPolytope(LinearRegression(), random_state=0, confidence_level=0.9).fit(*storms(200, rng))
    model.conformalize(*storms(100, rng))
    x, _ = storms(1, rng)
    calm, wild = x.copy(), x.copy()
    calm[..., 1], wild[..., 1] = 0.0, 1.0
    widths = [float((s.upper - s.lower).mean()) for s in (model.predict_set(calm), model.predict_set(wild))]
    assert widths[1] > 1.3 * widths[0]


def test_default_network__has_the_papers_layers() -> None:
    rng = np.random.default_rng(8)
    model = ConformalPolytope(random_state=0, confidence_level=0.8).fit(*storms(60, rng))
    layers = model.estimator_.regressor_[-1].coefs_
    assert [w.shape[1] for w in layers] == [64, 32, 1]
    assert model.scale_estimator_ is not model.estimator_
    again = ConformalPolytope(random_state=0, confidence_level=0.8).fit(*storms(60, np.random.default_rng(8)))
    x, y = storms(40, rng)
    np.testing.assert_array_equal(model.predict(x), again.predict(x))
    assert model.conformalize(x, y).coverage(*storms(100, rng)).marginal > 0.6
    assert default_network(3).regressor[-1].random_state == 3


def repeated(n_calibration: int, rounds: int, **kwargs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Whether a fresh storm is in each region's bounds `[R, K]` and in the sum's `[R]`, R independent times."""
    rng = np.random.default_rng(9)
    model = ConformalPolytope(LinearRegression(), random_state=0, lower_bound=-1e9, **kwargs).fit(*storms(40, rng))
    box, total = np.zeros((rounds, K), dtype=bool), np.zeros(rounds, dtype=bool)
    for r in range(rounds):
        model.conformalize(*storms(n_calibration, rng))
        x, y = storms(1, rng)
        one = model.predict_set(x)
        box[r], total[r] = one.in_box(y)[0], one.in_total(y)[0]
    return box, total


def within(hits: int, n: int, p: float, false_alarm: float = 1e-5) -> bool:
    return bool(stats.binom.ppf(false_alarm / 2, n, p) <= hits <= stats.binom.isf(false_alarm / 2, n, p))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ncp", "cp"])
def test_coverage__marginal_levels_hold_one_at_a_time(method: Any) -> None:
    n, rounds = 39, 800
    box, total = repeated(n, rounds, method=method, confidence_level=0.9, total_confidence_level=0.5)
    # Scores are continuous, so that coverage is exactly k / (n + 1): false alarms 5e-5 in all.
    for region in range(K):
        assert within(int(box[:, region].sum()), rounds, conformal_rank(n, 0.9) / (n + 1))
    assert within(int(total.sum()), rounds, conformal_rank(n, 0.5) / (n + 1))
    assert box.all(axis=1).mean() < 0.85  # the whole box holds less often than 0.9
    assert (box.all(axis=1) & total).mean() < 0.55


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ncp", "cp"])
def test_coverage__joint_holds_the_whole_set(method: Any) -> None:
    n, rounds = 39, 800
    box, total = repeated(n, rounds, method=method, calibration="joint", confidence_level=0.9)
    assert within(int((box.all(axis=1) & total).sum()), rounds, conformal_rank(n, 0.9) / (n + 1))


def test_joint__the_sum_is_narrower_than_the_box() -> None:
    rng = np.random.default_rng(10)
    for method in ("ncp", "cp"):
        sets = made(method=method, calibration="joint", confidence_level=0.9).predict_set(storms(20, rng)[0])
        assert (sets.total_upper < sets.upper.sum(axis=1)).all()


def test_coverage__report_counts() -> None:
    model = made(confidence_level=0.9)
    x, y = storms(50, np.random.default_rng(11))
    sets, report = model.predict_set(x), model.coverage(x, y)
    inside = (y >= sets.lower) & (y <= sets.upper)
    held = (y.sum(axis=1) >= sets.total_lower) & (y.sum(axis=1) <= sets.total_upper)
    assert report.n_storms == 50
    np.testing.assert_array_equal(report.region, inside.mean(axis=0))
    assert report.box == inside.all(axis=1).mean()
    assert report.total == held.mean()
    assert report.joint == (inside.all(axis=1) & held).mean()
    assert report.joint_interval[0] <= report.joint <= report.joint_interval[1]
    assert report.mean_width == pytest.approx((sets.upper - sets.lower).mean())


def test_planner__takes_a_set_as_it_is() -> None:
    one = made().predict_set(storms(1, np.random.default_rng(12))[0])[0]
    plan = solve_trilevel(SIZE, 1.0, 1.0, *one.bounds, budget=1.0, crew_budget=1.0)
    assert plan.status == "optimal"
    assert plan.protect.sum() == 1
    with pytest.warns(UserWarning, match="infinite"):
        wide = made(98).predict_set(storms(1, np.random.default_rng(12))[0])[0]
    assert np.isinf(wide.upper).all()
    assert np.isfinite(solve_trilevel(SIZE, 1.0, 1.0, *wide.bounds, budget=1.0, crew_budget=1.0).value)


def test_too_few_storms__says_how_many_it_needs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(99)
    with pytest.warns(
        UserWarning, match=r"regions' bounds are infinite: 98 calibration storms.*0.99 needs at least 99"
    ):
        made(98)
    with pytest.warns(UserWarning, match=r"sum's bounds are infinite: 30 .*0.99 needs at least 99"):
        made(30, confidence_level=0.5, total_confidence_level=0.99)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "bootstrap"}, r"method must be one of \('ncp', 'cp', 'empirical'\); got 'bootstrap'"),
        ({"calibration": "both"}, r"calibration must be one of"),
        ({"confidence_level": 99}, r"must be in \(0, 1\); got 99. Did you mean 0.99\?"),
        ({"n_folds": 1}, r"n_folds must be between 2 and the 60 storms; got 1"),
        ({"scale_floor": 0.0}, r"scale_floor must be positive"),
        ({"lower_bound": -np.inf}, r"lower_bound must be finite; got -inf"),
    ],
)
def test_errors__of_settings(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConformalPolytope(LinearRegression(), **change).fit(*storms(60, np.random.default_rng(0)))


def test_errors__of_arrays() -> None:
    x, y = storms(20, np.random.default_rng(0))
    model = ConformalPolytope(LinearRegression())
    with pytest.raises(ValueError, match=r"X must be \[E storms, K regions, F features\].*got shape \(20, 4\)"):
        model.fit(x[..., 0], y)
    with pytest.raises(ValueError, match=r"y must be \[E, K\] = \(20, 4\); got shape \(20, 3\)"):
        model.fit(x, y[:, :3])
    y[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"y must be finite; storm 3, region 2 is nan"):
        model.fit(x, y)
    with pytest.raises(NotFittedError, match="call fit"):
        model.predict(x)
    model.fit(x, np.nan_to_num(y))
    with pytest.raises(NotFittedError, match="not conformalized; call conformalize"):
        model.predict_set(x)
    with pytest.raises(ValueError, match=r"X must have the 4 regions and 3 features of fit; got \(3, 3\)"):
        model.predict(x[:, :3])
