"""Our intervals against those of MAPIE and crepes."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor

from stormgym.predictors import CQR, ECQR, NormalizedConformal, SplitConformal

LEVELS = (0.5, 0.8, 0.9, 0.95)


@pytest.fixture(scope="module")
def data():
    """500 records, three features, three groups of unlike spread."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(500, 3))
    groups = rng.choice(3, size=500, p=[0.2, 0.3, 0.5])
    y = X[:, 0] + (1.0 + groups) * rng.standard_t(4, size=500)
    return X, y, groups


class MeanAtEveryLevel(LinearRegression):
    """All quantiles are the mean, so that CQR's score is the absolute residual."""

    def predict(self, X, quantiles=None):
        mean = super().predict(X)
        return mean if quantiles in (None, "mean") else np.tile(mean[:, None], (1, len(quantiles)))


LINEAR = QuantileRegressor(alpha=0.0)
BOOSTED = GradientBoostingRegressor(loss="quantile", n_estimators=20, random_state=0)
"""Which models are calibrated makes no difference to how: two levels and numbers of records do for the slow one."""


@pytest.mark.parametrize(
    ("estimator", "level", "n"),
    [
        *(pytest.param(LINEAR, level, n, id=f"linear-{level}-{n}") for level in LEVELS for n in (120, 199, 250)),
        *(pytest.param(BOOSTED, level, n, id=f"boosted-{level}-{n}") for level, n in ((0.5, 120), (0.9, 250))),
    ],
)
def test_cqr__equals_mapie_with_symmetric_correction(data, level, estimator, n):
    mapie = pytest.importorskip("mapie.regression")
    X, y, _ = data
    peer = mapie.ConformalizedQuantileRegressor(estimator, confidence_level=level)
    peer.fit(X[:200], y[:200]).conformalize(X[200 : 200 + n], y[200 : 200 + n])
    points, theirs = peer.predict_interval(X[450:], symmetric_correction=True)
    ours = CQR(estimator, confidence_level=level).fit(X[:200], y[:200]).conformalize(X[200 : 200 + n], y[200 : 200 + n])
    np.testing.assert_allclose(ours.predict_interval(X[450:]), theirs[:, :, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.predict(X[450:]), points, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_split_conformal__equals_mapie(data, level):
    mapie = pytest.importorskip("mapie.regression")
    X, y, _ = data
    peer = mapie.SplitConformalRegressor(LinearRegression(), confidence_level=level, prefit=False)
    peer.fit(X[:200], y[:200]).conformalize(X[200:450], y[200:450])
    _, theirs = peer.predict_interval(X[450:])
    ours = SplitConformal(LinearRegression(), confidence_level=level).fit(X[:200], y[:200])
    ends = ours.conformalize(X[200:450], y[200:450]).predict_interval(X[450:])
    np.testing.assert_allclose(ends, theirs[:, :, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_ecqr__equals_crepes_mondrian_regressor(data, level):
    crepes = pytest.importorskip("crepes")
    X, y, groups = data
    ours = ECQR(MeanAtEveryLevel(), confidence_level=level).fit(X[:200], y[:200])
    ours.conformalize(X[200:450], y[200:450], groups[200:450])
    peer = crepes.ConformalRegressor()
    peer.fit(residuals=y[200:450] - ours.predict(X[200:450]), bins=groups[200:450])
    theirs = peer.predict_int(ours.predict(X[450:]), bins=groups[450:], confidence=level)
    np.testing.assert_allclose(ours.predict_interval(X[450:], groups[450:]), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_ecqr__equals_cqr_per_group_by_crepes_scores(data, level):
    """CQR scores moved up to be positive, as crepes takes absolute values: its half-widths are our Q."""
    crepes = pytest.importorskip("crepes")
    X, y, groups = data
    ours = ECQR(QuantileRegressor(alpha=0.0), confidence_level=level).fit(X[:200], y[:200])
    ours.conformalize(X[200:450], y[200:450], groups[200:450])
    shift = 1.0 - ours.scores_.min()
    peer = crepes.ConformalRegressor()
    peer.fit(residuals=ours.scores_ + shift, bins=groups[200:450])
    theirs = peer.predict_int(np.zeros(3), bins=np.arange(3), confidence=level)[:, 1] - shift
    np.testing.assert_allclose([ours.quantiles_[g] for g in range(3)], theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_normalized__equals_crepes_normalized_regressor(data, level):
    crepes = pytest.importorskip("crepes")
    X, y, _ = data
    ours = NormalizedConformal(LinearRegression(), confidence_level=level, random_state=0).fit(X[:200], y[:200])
    ours.conformalize(X[200:450], y[200:450])
    sigma = np.maximum(ours.scale_estimator_.predict(X), ours.scale_floor_)
    peer = crepes.ConformalRegressor()
    peer.fit(residuals=y[200:450] - ours.predict(X[200:450]), sigmas=sigma[200:450])
    theirs = peer.predict_int(ours.predict(X[450:]), sigmas=sigma[450:], confidence=level)
    np.testing.assert_allclose(ours.predict_interval(X[450:]), theirs, rtol=0, atol=1e-12)
