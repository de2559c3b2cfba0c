"""The set itself: its linear maximum, samples, and errors."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog

from stormgym.predictors import UncertaintySet


def random_set(rng: np.random.Generator, k: int) -> UncertaintySet:
    low = rng.uniform(-1, 2, k)
    high = low + rng.uniform(0, 3, k) * (rng.random(k) < 0.9)
    ends = low.sum() + np.sort(rng.uniform(0, 1, 2)) * (high - low).sum()
    return UncertaintySet(low, high, np.asarray(ends[0]), np.asarray(ends[1]))


def test_maximise__is_the_linear_program() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        k = int(rng.integers(1, 8))
        one, w = random_set(rng, k), rng.normal(size=k)
        rows, right = np.stack([np.ones(k), -np.ones(k)]), [float(one.total_upper), -float(one.total_lower)]
        exact = linprog(-w, A_ub=rows, b_ub=right, bounds=np.stack([one.lower, one.upper], axis=1))
        value, storm = one.maximise(w)
        assert value == pytest.approx(-exact.fun, abs=1e-9)
        assert w @ storm == pytest.approx(value)
        slack = UncertaintySet(one.lower - 1e-9, one.upper + 1e-9, one.total_lower - 1e-9, one.total_upper + 1e-9)
        assert slack.contains(storm)


def test_sample__is_inside_and_even() -> None:
    rng = np.random.default_rng(3)
    for seed in range(6):
        one = random_set(rng, 5)
        drawn = one.sample(200, random_state=seed)
        slack = UncertaintySet(one.lower - 1e-9, one.upper + 1e-9, one.total_lower - 1e-9, one.total_upper + 1e-9)
        assert slack.contains(drawn).all()
    one = UncertaintySet(np.zeros(2), np.array([1.0, 2.0]), np.asarray(0.5), np.asarray(1.5))
    drawn = one.sample(4000, random_state=0)
    even = np.random.default_rng(0).uniform(size=(40000, 2)) * [1.0, 2.0]
    even = even[one.contains(even)][:4000]
    for column in range(2):  # false alarms: 1e-4 each
        assert stats.ks_2samp(drawn[:, column], even[:, column]).pvalue > 1e-4
    assert stats.ks_2samp(drawn.sum(axis=1), even.sum(axis=1)).pvalue > 1e-4


def test_sample__a_point_and_a_fixed_total() -> None:
    point = UncertaintySet(np.ones(3), np.ones(3), np.asarray(3.0), np.asarray(3.0))
    assert (point.sample(4, random_state=0) == 1.0).all()
    flat = UncertaintySet(np.zeros(3), np.ones(3), np.asarray(1.0), np.asarray(1.0))
    drawn = flat.sample(50, random_state=0)
    assert drawn.sum(axis=1) == pytest.approx(1.0)
    assert drawn.std(axis=0).min() > 0.1  # pairs move where single regions cannot
    np.testing.assert_array_equal(drawn, flat.sample(50, random_state=0))


def test_errors__of_sets() -> None:
    one, two = np.ones(2), np.full(2, 2.0)
    with pytest.raises(ValueError, match=r"no storm fits: .*sum of lower 2 <= total_upper 1"):
        UncertaintySet(one, two, np.asarray(0.0), np.asarray(1.0))
    with pytest.raises(ValueError, match=r"no storm fits in set \(1,\)"):
        UncertaintySet(np.stack([one, two]), np.stack([two, one]), np.zeros(2), np.full(2, 9.0))
    with pytest.raises(ValueError, match=r"lower and upper must be \[..., K\]"):
        UncertaintySet(one, np.ones(3), np.asarray(0.0), np.asarray(1.0))
    wide = UncertaintySet(one, np.full(2, np.inf), np.asarray(0.0), np.asarray(np.inf))
    with pytest.raises(ValueError, match=r"unbounded: region \[0\] and the total have no upper end"):
        wide.maximise(one)
    sets = UncertaintySet(np.stack([one, one]), np.stack([two, two]), np.zeros(2), np.full(2, 9.0))
    assert len(sets) == 2
    with pytest.raises(ValueError, match="sample takes one set; choose one of these 2"):
        sets.sample(3)
    with pytest.raises(ValueError, match="n_samples must be at least 1"):
        sets[0].sample(0)
