"""Interquartile mean, probability of improvement and bootstrap intervals against SciPy, brute force and coverage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from stormgym.agents.evaluation import bootstrap
from stormgym.agents.evaluation.bootstrap import (
    interquartile_mean,
    iqm_estimate,
    probability_of_improvement,
    relative_difference,
)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 11, 100])
def test_iqm__equals_scipy_trim_mean(n: int) -> None:
    x = np.random.default_rng(n).lognormal(size=(6, n))
    assert_allclose(interquartile_mean(x), stats.trim_mean(x, 0.25, axis=1), rtol=1e-12)


def test_iqm__hand_computed_and_deaf_to_one_outlier() -> None:
    assert interquartile_mean([9.0, 1.0, 2.0, 3.0]) == 2.5
    assert interquartile_mean([1.0, 2.0, 3.0, 4.0, 1e9]) == 3.0


def test_iqm__pools_the_tasks() -> None:
    tasks = [np.arange(5.0), np.arange(7.0) + 2.0]
    assert_allclose(iqm_estimate(tasks).value, stats.trim_mean(np.concatenate(tasks), 0.25))
    assert iqm_estimate(tasks).n == 12


def test_iqm__interval_is_that_of_every_resample_of_two_small_tasks() -> None:
    # all 3^3 * 2^2 resamples, each equally likely: the exact bootstrap distribution
    a, b = np.array([1.0, 2.0, 4.0]), np.array([7.0, 11.0])
    exact = [
        stats.trim_mean([*i, *j], 0.25) for i in itertools.product(a, repeat=3) for j in itertools.product(b, repeat=2)
    ]
    ours = iqm_estimate([a, b], confidence_level=0.8, n_resamples=40_000)
    assert_allclose((ours.low, ours.high), np.quantile(exact, [0.1, 0.9]), atol=0.35)


def test_improvement__equals_mann_whitney_and_brute_force_with_ties() -> None:
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 6, n).astype(float) for n in (5, 9)]
    y = [rng.integers(0, 6, n).astype(float) for n in (4, 7)]
    brute = np.mean(
        [np.mean([(a > b) + 0.5 * (a == b) for a in ours for b in theirs]) for ours, theirs in zip(x, y, strict=True)]
    )
    theirs = np.mean([stats.mannwhitneyu(a, b).statistic / (a.size * b.size) for a, b in zip(x, y, strict=True)])
    ours = probability_of_improvement(x, y)
    assert_allclose((ours.value, ours.value), (brute, theirs))
    assert 0.0 <= ours.low <= ours.value <= ours.high <= 1.0
    mirror = probability_of_improvement(y, x)
    assert_allclose(ours.value + mirror.value, 1.0)


def test_improvement__is_one_half_against_itself_and_one_against_the_worse() -> None:
    assert probability_of_improvement([[1.0, 1.0]], [[1.0, 1.0]]).value == 0.5
    e = probability_of_improvement([[5.0, 6.0]], [[1.0, 2.0, 3.0]])
    assert (e.value, e.low, e.high, e.n) == (1.0, 1.0, 1.0, 5)


def test_strata__seeds_are_resampled_within_their_task() -> None:
    # within each task all scores are equal, so no resample differs; seeds mixed over tasks would
    e = iqm_estimate([[1.0] * 3, [5.0] * 3, [9.0] * 3])
    assert e.low == e.value == e.high == 5.0


def test_iqm__interval_covers_at_its_level() -> None:
    # 600 studies of two tasks with 25 normal seeds each, IQM 3: percentile intervals hold 95 % less a few points
    rng = np.random.default_rng(1)
    hits = 0
    for study in range(600):
        e = iqm_estimate([rng.normal(3.0, 1.0, 25), rng.normal(3.0, 1.0, 25)], n_resamples=400, seed=study)
        hits += not e.excludes(3.0)
    assert 0.90 < hits / 600 < 0.985


def test_improvement__interval_covers_at_its_level() -> None:
    # X ~ N(1, 1), Y ~ N(0, 1): P(X > Y) = Phi(1 / sqrt 2)
    rng, truth, hits = np.random.default_rng(2), stats.norm.cdf(1 / np.sqrt(2)), 0
    for study in range(600):
        e = probability_of_improvement([rng.normal(1, 1, 25)], [rng.normal(0, 1, 25)], n_resamples=400, seed=study)
        hits += not e.excludes(truth)
    assert 0.89 < hits / 600 < 0.985


def test_relative__interval_covers_new_seeds_and_new_storms() -> None:
    # a = 44 + seed + storm + noise, b = 40 + storm: the true share is 44 / 40 - 1
    rng, hits = np.random.default_rng(3), 0
    for study in range(400):
        storm = rng.normal(0.0, 3.0, 60)
        a = 44.0 + rng.normal(0.0, 0.5, (20, 1)) + storm + rng.normal(0.0, 1.0, (20, 60))
        e = relative_difference(a, 40.0 + storm, n_resamples=300, seed=study)
        hits += not e.excludes(0.1)
    assert 0.90 < hits / 400 < 0.99


def test_relative__hand_computed_pairs_cancel_and_halves_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    storm = np.random.default_rng(4).normal(50.0, 5.0, 400)
    twice = relative_difference(1.05 * storm, storm)
    assert_allclose((twice.value, twice.low, twice.high), (0.05, 0.05, 0.05))
    noisy = np.stack([storm + 1.0, storm + 3.0])
    assert_allclose(relative_difference(noisy, storm).value, 2.0 / storm.mean())
    assert relative_difference(noisy, np.stack([storm, storm])).n == 400
    monkeypatch.setattr(bootstrap, "_BLOCK", 400 * 7)  # blocks of seven resamples
    blocks = relative_difference(noisy, storm, n_resamples=500)
    assert blocks.low < blocks.value < blocks.high


def test_estimates__are_the_same_for_the_same_seed_only() -> None:
    x = [np.random.default_rng(5).normal(size=9)]
    same, other = iqm_estimate(x, seed=3), iqm_estimate(x, seed=4)
    assert iqm_estimate(x, seed=3) == same
    assert (other.low, other.high) != (same.low, same.high)


def test_one_score__has_no_interval() -> None:
    for e in (
        iqm_estimate([[2.0], [4.0]]),
        probability_of_improvement([[2.0]], [[1.0]]),
        relative_difference([2.0], [1.0]),
    ):
        assert np.isnan(e.low)
        assert np.isnan(e.high)


def test_errors__say_value_rule_and_cure() -> None:
    with pytest.raises(ValueError, match="strata is empty; give one array of scores a task"):
        iqm_estimate([])
    with pytest.raises(ValueError, match=r"for one task give \[scores\]"):
        iqm_estimate([1.0, 2.0])
    with pytest.raises(ValueError, match=r"strata\[1\] is empty"):
        iqm_estimate([[1.0], []])
    with pytest.raises(ValueError, match=r"Did you mean 0.95\?"):
        iqm_estimate([[1.0, 2.0]], confidence_level=95)
    with pytest.raises(ValueError, match="n_resamples must be at least 1; got 0"):
        iqm_estimate([[1.0, 2.0]], n_resamples=0)
    with pytest.raises(ValueError, match="x and y must have the same tasks; got 1 and 2"):
        probability_of_improvement([[1.0]], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="a and b must have the same scenarios; got 2 and 3"):
        relative_difference([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="b has mean 0"):
        relative_difference([1.0, 2.0], [-1.0, 1.0])
    with pytest.raises(ValueError, match="a must be finite; got nan"):
        relative_difference([1.0, np.nan], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"at least one number along its last axis; got shape \(2, 0\)"):
        interquartile_mean(np.empty((2, 0)))


def test_tail__is_the_mean_of_the_worst_tenth_with_the_last_atom_in_part() -> None:
    costs = np.arange(1.0, 26.0)  # 25 episodes: a tail of 2.5
    ours = bootstrap.tail_estimate(costs, 0.1)
    assert_allclose(ours.value, (25.0 + 24.0 + 0.5 * 23.0) / 2.5, rtol=1e-14)
    assert ours.n == 25
    assert_allclose(bootstrap.tail_estimate(costs, 1.0).value, costs.mean())


def test_tail__interval_is_that_of_every_resample_and_the_same_with_the_same_seed() -> None:
    x = np.array([1.0, 2.0, 4.0, 8.0])
    exact = [np.sort(draw)[-2:].mean() for draw in itertools.product(x, repeat=4)]
    ours = bootstrap.tail_estimate(x, 0.5, confidence_level=0.8, n_resamples=40_000)
    assert_allclose((ours.low, ours.high), np.quantile(exact, [0.1, 0.9]), atol=0.35)
    assert ours == bootstrap.tail_estimate(x, 0.5, confidence_level=0.8, n_resamples=40_000)
    other = bootstrap.tail_estimate(np.random.default_rng(0).normal(size=50), 0.1, seed=1)
    assert other != bootstrap.tail_estimate(np.random.default_rng(0).normal(size=50), 0.1, seed=2)


def test_tail__interval_of_500_covers_the_true_tail_nearly_as_often_as_it_says() -> None:
    rng, n_repeats = np.random.default_rng(3), 300
    true = -np.log(0.1) + 1.0  # CVaR 0.1 of an exponential
    found = [bootstrap.tail_estimate(rng.exponential(size=500), 0.1, n_resamples=500) for _ in range(n_repeats)]
    covered = np.mean([one.low <= true <= one.high for one in found])
    assert 0.88 <= covered <= 0.99  # some 0.93: four standard errors of 300 repeats are 0.06


def test_tail_difference__is_of_two_tails_and_cancels_what_scenarios_share() -> None:
    rng = np.random.default_rng(4)
    storm = rng.gamma(2.0, 10.0, 400)
    a, b = storm + 1.0, storm
    paired = bootstrap.tail_difference(a, b, 0.1)
    assert_allclose((paired.value, paired.low, paired.high), 1.0)
    swapped = np.array([10.0, 0.0]), np.array([0.0, 10.0])  # each has a bad storm of its own
    assert bootstrap.tail_difference(*swapped, 0.5).value == 0.0  # the tail of differences would be 10
    mixed = rng.gamma(2.0, 10.0, 400)
    ours, mirror = bootstrap.tail_difference(mixed, b, 0.1), bootstrap.tail_difference(b, mixed, 0.1)
    assert_allclose((ours.value, ours.low, ours.high), (-mirror.value, -mirror.high, -mirror.low))


def test_tail__one_episode_has_no_interval_and_errors_say_what_is_wrong() -> None:
    one = bootstrap.tail_estimate([3.0], 0.1)
    assert_allclose(one.value, 3.0)
    assert np.isnan([one.low, one.high]).all()
    with pytest.raises(ValueError, match="one length; got 2 and 3"):
        bootstrap.tail_difference([1.0, 2.0], [1.0, 2.0, 3.0], 0.1)
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\].*got 10\. Did you mean 0\.1\?"):
        bootstrap.tail_estimate([1.0, 2.0], 10)
    with pytest.raises(ValueError, match="costs must be finite; got nan at index 1"):
        bootstrap.tail_estimate([1.0, float("nan")], 0.1)
    with pytest.raises(ValueError, match="n_resamples must be at least 1; got 0"):
        bootstrap.tail_estimate([1.0, 2.0], 0.1, n_resamples=0)
