"""Conformal quantile regression by blocks: who scores whom, what is pooled, and coverage of a block to come."""

import doctest

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, QuantileRegressor

from stormgym.predictors import block_conformal
from stormgym.predictors.block_conformal import BlockCQR, pooled_quantile
from stormgym.predictors.conformal import CQR


def test_doctests__run() -> None:
    assert doctest.testmod(block_conformal).failed == 0


def test_pooled__each_block_counts_the_same() -> None:
    many, few = np.zeros(1000), np.array([1.0, 2.0])
    assert pooled_quantile([many, few], 0.5) == 0.0
    assert pooled_quantile([many, few], 0.75) == 1.0
    assert pooled_quantile([many, few], 0.76) == 2.0


def test_scores__are_those_of_models_that_had_not_seen_the_block() -> None:
    rng = np.random.default_rng(0)
    X, block = rng.uniform(size=(60, 2)), np.repeat([3, 5, 9], 20)
    y = X[:, 0] + rng.normal(size=60) + block
    model = BlockCQR(QuantileRegressor(alpha=0.0), confidence_level=0.8).fit(X, y, block)
    held = block == 5
    low, high = (QuantileRegressor(quantile=q, alpha=0.0).fit(X[~held], y[~held]).predict(X[held]) for q in (0.1, 0.9))
    np.testing.assert_allclose(model.scores_[5], np.maximum(low - y[held], y[held] - high), atol=1e-9)
    assert model.quantile_ == pooled_quantile(list(model.scores_.values()), 0.8)
    assert list(model.scores_) == [3, 5, 9]


def test_coverage__of_a_new_block_is_nearer_than_with_calibration_inside_blocks() -> None:
    """Blocks differ by a shift; 80 times five blocks are learnt from, and a new one is forecast."""
    rng = np.random.default_rng(1)
    size, n_blocks = 30, 5
    block = np.repeat(np.arange(n_blocks), size)
    X, halves = np.zeros((block.size, 1)), np.arange(block.size) % 2 == 0
    held = []
    for _ in range(80):
        shift = rng.normal(size=n_blocks + 1)
        y = shift[block] + rng.normal(scale=0.1, size=block.size)
        ours = BlockCQR(quantiles()).fit(X, y, block)
        theirs = CQR(quantiles()).fit(X[halves], y[halves]).conformalize(X[~halves], y[~halves])
        new = shift[-1] + rng.normal(scale=0.1, size=size)
        ends = [model.predict_interval(X[:size]) for model in (ours, theirs)]
        held.append([((new >= e[:, 0]) & (new <= e[:, 1])).mean() for e in ends])
    ours_held, theirs_held = np.mean(held, axis=0)  # standard errors of 0.035
    assert 0.72 < ours_held < 0.98  # 0.86 over 900 times, where theirs are 0.70
    assert theirs_held < ours_held - 0.05


def quantiles() -> DummyRegressor:
    return DummyRegressor(strategy="quantile", quantile=0.5)


def test_errors__name_what_is_wrong() -> None:
    X, y = np.zeros((4, 1)), np.zeros(4)
    with pytest.raises(ValueError, match=r"at least two different labels; got \[0\]"):
        BlockCQR().fit(X, y, np.zeros(4, dtype=int))
    with pytest.raises(ValueError, match="one label a record, 4; got shape"):
        BlockCQR().fit(X, y, np.zeros(3))
    with pytest.raises(ValueError, match="confidence_level"):
        BlockCQR(confidence_level=90).fit(X, y, np.arange(4))
    with pytest.raises(TypeError, match="cannot fit quantiles"):
        BlockCQR(LinearRegression()).fit(X, y, np.arange(4))
    with pytest.raises(NotFittedError, match=r"call fit\(X, y, blocks\) first"):
        BlockCQR().predict(X)
