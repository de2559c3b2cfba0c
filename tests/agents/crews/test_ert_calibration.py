"""ERT calibrated: lines of errors, Q by group, what is told, and how it is scored."""

import numpy as np
import pytest
from sklearn.linear_model import QuantileRegressor

from stormgym.agents.crews.ert.calibration import (
    Calibration,
    Kind,
    Past,
    as_simulated,
    calibrated,
    check_arrays,
    widened,
)
from stormgym.agents.crews.ert.looks import Told
from stormgym.agents.crews.ert.published import AGES_H, Published
from stormgym.agents.crews.ert.quantile_lines import least_squares, quantile_line
from stormgym.agents.crews.ert.report import Outcomes, episode_metrics, ert_report


def storms(rng, n_storms, n_jobs=20, *, bias=2.0, spread=(1.0, 3.0)):
    """ERTs of storms that are exchangeable: simulations too early and too sure, more so of the second group."""
    n = n_storms * n_jobs
    storm, group = np.repeat(np.arange(n_storms), n_jobs), rng.integers(0, 2, n)
    ahead, now = rng.exponential(8.0, n), 10.0 * rng.random(n)
    late = rng.random(n) < 0.4
    middle = now + ahead
    quantile = middle[:, None] + np.array([-0.5, -0.2, 0.0, 0.2, 0.5])
    noise = np.array(spread)[group] * (rng.standard_normal(n) + 0.3 * rng.standard_normal(n_storms)[storm])
    power = np.maximum(middle + bias * late + 0.1 * ahead + noise * (0.5 + 0.1 * ahead), now + 0.01)
    return Past(Told(quantile, now, group, late), storm, power)


def both(past):
    return {Kind.FIRST: past, Kind.SENT: past}


def covered(calibration, past, kind=Kind.FIRST):
    low, _, high = calibration.tell(np.full(len(past.storm), kind), past.told).T
    return (past.power_h >= low) & (past.power_h <= high)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.95])
def test_quantile_line__is_that_of_linear_programming(level):
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(1500), rng.random(1500), rng.exponential(5.0, 1500)])
    y = x @ [1.0, 2.0, -0.3] + (0.2 + x[:, 1]) * rng.standard_t(3, 1500)

    def loss(weights):
        error = y - x @ weights
        return float(np.maximum(level * error, (level - 1.0) * error).mean())

    ours = quantile_line(x, y, level)
    exact = QuantileRegressor(quantile=level, alpha=0.0, fit_intercept=False, solver="highs").fit(x, y).coef_
    assert loss(exact) <= loss(ours) <= 1.002 * loss(exact)
    assert (y < x @ ours).mean() == pytest.approx(level, abs=0.01)
    minutes = quantile_line(x * [1.0, 1.0, 60.0], y, level) * [1.0, 1.0, 60.0]
    np.testing.assert_allclose(minutes, ours, rtol=1e-4)


def test_lines__that_are_exact_or_have_idle_features_are_found():
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(50), rng.random(50), np.zeros(50)])
    y = x @ [1.0, 2.0, 0.0]
    np.testing.assert_allclose(quantile_line(x, y, 0.9), [1.0, 2.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(least_squares(x, y), [1.0, 2.0, 0.0], atol=1e-9)


def test_calibration__covers_storms_to_come_in_each_group_and_errs_by_nothing_on_average():
    rng = np.random.default_rng(0)
    past, to_come = storms(rng, 200), storms(rng, 1500)
    calibration = calibrated(both(past), 2)
    hit = covered(calibration, to_come)
    ert = calibration.tell(np.zeros(len(hit), dtype=np.int64), to_come.told)[:, 1]
    for g in range(2):
        own = to_come.told.group == g
        assert 0.88 < hit[own].mean() < 0.93  # sd of coverage over 200 past storms: 0.006
        assert abs((to_come.power_h - ert)[own].mean()) < 0.3
    raw = covered(as_simulated(2), to_come)
    one, each = (widened(both(past), 2, by_group=by_group) for by_group in (False, True))
    assert raw.mean() < 0.3
    assert covered(one, to_come).mean() == pytest.approx(0.905, abs=0.02)
    uneven = [abs(covered(c, to_come)[to_come.told.group == 1].mean() - 0.905) for c in (one, each)]
    assert uneven[1] < 0.02 < uneven[0]
    assert one.widen_h[0, 0] == one.widen_h[0, 1]
    assert each.widen_h[0, 0] < each.widen_h[0, 1]


def test_calibration__aims_at_its_level_and_counts_storms_not_jobs():
    rng = np.random.default_rng(3)
    past, to_come = storms(rng, 200), storms(rng, 1000)
    for level in (0.5, 0.8):
        hit = covered(calibrated(both(past), 2, level), to_come).mean()
        assert abs(hit - level) < 0.03  # over 200 past storms its sd is 0.009 at most
    past = storms(rng, 60)
    with pytest.raises(ValueError, match=r"calibrated on 99 storms and 200 jobs at least; got 60 storms and 1200 jobs"):
        calibrated(both(past), 2, 0.99)
    with pytest.raises(ValueError, match=r"40 storms and 200 jobs at least; got 30 storms and 600 jobs"):
        calibrated(both(storms(rng, 30)), 2)


def test_calibration__of_kinds_without_past_is_that_of_the_kind_they_stand_for():
    rng = np.random.default_rng(4)
    first, sent = storms(rng, 60), storms(rng, 60, bias=0.0, spread=(0.2, 0.2))
    c = calibrated({Kind.FIRST: first, Kind.SENT: sent}, 2)
    np.testing.assert_array_equal(c.weights[Kind.REVISED], c.weights[Kind.FIRST])
    np.testing.assert_array_equal(c.widen_h[Kind.REVISED_SENT], c.widen_h[Kind.SENT])
    again = calibrated({Kind.REVISED: storms(rng, 60, bias=5.0)}, 2, before=c)
    np.testing.assert_array_equal(again.weights[Kind.FIRST], c.weights[Kind.FIRST])
    assert not np.array_equal(again.weights[Kind.REVISED], c.weights[Kind.REVISED])
    only = calibrated({Kind.SENT: sent}, 2)
    np.testing.assert_array_equal(only.weights[Kind.FIRST], only.weights[Kind.SENT])


def test_tell__gives_ends_in_order_and_none_in_the_past():
    rng = np.random.default_rng(5)
    c = calibrated(both(storms(rng, 60)), 2)
    narrow = Calibration(c.level, c.kinks_h, c.weights, c.shift_h + 50.0, c.widen_h - 50.0)
    told = storms(rng, 30).told
    kind = rng.integers(0, 4, len(told.now_h))
    for calibration in (c, narrow, as_simulated(2)):
        low, ert, high = calibration.tell(kind, told).T
        assert (low <= ert).all() and (ert <= high).all() and (low >= told.now_h).all()  # noqa: PT018
    raw = as_simulated(2).tell(kind, told)
    np.testing.assert_allclose(raw, np.maximum(told.quantile_h[:, [0, 2, 4]], told.now_h[:, None]))


def test_calibration__comes_back_from_plain_arrays():
    rng = np.random.default_rng(6)
    c = calibrated(both(storms(rng, 60)), 2)
    told = storms(rng, 5).told
    kind = np.zeros(len(told.now_h), dtype=np.int64)
    np.testing.assert_array_equal(Calibration.of_arrays(c.arrays()).tell(kind, told), c.tell(kind, told))


def outcomes(first, power, group, *, sent=None, aged=None, revisions=None, level=0.9):
    """E storms from the numbers that a test writes down."""
    first, power = np.array(first, dtype=float), np.array(power, dtype=float)
    board = Published.none(*power.shape)
    board.first_h[:], board.first_at_h[:] = first, 0.0
    board.sent_h[:] = first if sent is None else sent
    board.sent_at_h[:] = 1.0
    board.now_h[:] = board.sent_h
    if aged is not None:
        board.aged_h[:] = aged
    if revisions is not None:
        board.revisions[:] = revisions
    return Outcomes(board, power, np.zeros_like(power), np.array(group), 2, level)


def test_report__by_hand():
    first = [[[1.0, 2.0, 5.0], [2.0, 4.0, 6.0]], [[0.0, 1.0, 2.0], [3.0, 4.0, 9.0]]]
    o = outcomes(first, [[3.0, 7.0], [2.0, 1.0]], [[0, 1], [0, 1]], revisions=[[1, 2], [0, 1]])
    scores = ert_report(o).first
    assert scores.n_jobs == 4
    assert scores.coverage.value == 0.5
    assert [e.value for e in scores.coverage_by_group] == [1.0, 0.0]
    assert scores.width_h.value == (4 + 4 + 2 + 6) / 4
    assert scores.interval_score_h.value == pytest.approx((4 + 4 + 20 * 1 + 2 + 6 + 20 * 2) / 4)
    assert (scores.late, scores.early) == (0.25, 0.25)
    assert scores.error_h.value == pytest.approx((1 + 3 + 1 - 3) / 4)
    assert scores.absolute_error_h.value == pytest.approx((1 + 3 + 1 + 3) / 4)
    assert scores.low_storms == 1.0
    assert scores.ahead_h == (3 + 7 + 2 + 1) / 4
    assert ert_report(o).revisions.value == 1.0
    m = episode_metrics(o)
    np.testing.assert_allclose(m["ert_coverage"], [0.5, 0.5])
    np.testing.assert_allclose(m["ert_coverage_0"], [1.0, 1.0])
    np.testing.assert_allclose(m["ert_score_h"], [14.0, 24.0])
    np.testing.assert_allclose(m["ert_revisions"], [1.5, 0.5])
    np.testing.assert_allclose(m["ert_low_storm"], [1.0, 1.0])


def test_report__of_a_group_that_a_storm_lacks_and_of_empty_slots():
    first = [[[1.0, 2.0, 5.0], [np.nan] * 3]]
    m = episode_metrics(outcomes(first, [[3.0, np.inf]], [[0, 0]]))
    assert all(np.isfinite(values).all() for values in m.values())
    assert m["ert_coverage"][0] == m["ert_coverage_1"][0] == 1.0
    report = ert_report(outcomes(first, [[3.0, np.inf]], [[0, 0]]))
    assert report.first.coverage_by_group[1].n == 0
    assert np.isnan(report.first.coverage_by_group[1].value)


def test_report__at_ages_takes_jobs_that_are_dark_then():
    first = np.tile([1.0, 2.0, 5.0], (2, 2, 1))
    aged = np.full((2, 2, len(AGES_H), 3), np.nan)
    aged[:, :, 0] = [3.0, 4.0, 5.0]
    o = outcomes(first, [[2.0, 4.0], [4.5, 9.0]], [[0, 1], [0, 1]], aged=aged)
    after = ert_report(o).after[3.0]
    assert after.n_jobs == 3  # one had power before the third hour
    assert after.coverage.value == pytest.approx(2 / 3)
    assert ert_report(o).after[6.0].n_jobs == 1  # in force: the last published, which was never revised
    assert ert_report(o).after[12.0].n_jobs == 0


def test_report__bands_are_of_storms():
    rng = np.random.default_rng(7)
    n = 100
    good = rng.random(n) < 0.9  # whole storms are covered or not
    first = np.tile([0.0, 1.0, 2.0], (n, 10, 1))
    power = np.where(good[:, None], 1.0, 3.0) * np.ones((n, 10))
    band = ert_report(outcomes(first, power, np.zeros((n, 10), dtype=int))).first.coverage
    assert band.value == good.mean()
    assert band.half_width == pytest.approx(1.96 * np.sqrt(0.09 / n), rel=0.35)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda a: {**a, "weights": a["weights"][..., :-1]}, "weights must have shape"),
        (lambda a: {**a, "shift_h": a["shift_h"][:, :1]}, r"shift_h must have shape \[4, 2\]; got \[4, 1\]"),
        (lambda a: {**a, "shift_h": a["shift_h"] * np.nan}, "shift_h must be finite; got nan"),
        (lambda a: {**a, "level": np.ones(2)}, r"level must have shape \[\]; got \[2\]"),
    ],
)
def test_arrays__that_are_no_calibration_are_told(harm, message):
    arrays = as_simulated(2).arrays()
    check_arrays(arrays, 2)
    with pytest.raises(ValueError, match=message):
        check_arrays(harm(arrays), 2)
