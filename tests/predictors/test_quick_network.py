"""The quick fit of a small network beside scikit-learn's own."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from stormgym.predictors.quick_network import QuickMLPRegressor

SETTINGS = {"hidden_layer_sizes": (16, 8), "early_stopping": True, "n_iter_no_change": 8, "random_state": 3}


def data(n, f=3):
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, f))
    return X, np.sin(X[:, 0]) + 0.3 * rng.standard_normal(n)


@pytest.mark.parametrize(
    ("n", "changes"),
    [
        (500, {}),
        (430, {"alpha": 0.1, "batch_size": 64}),
        (40, {}),  # one batch
        (300, {"hidden_layer_sizes": (10,), "validation_fraction": 0.3}),
        (200, {"max_iter": 4}),  # ends before it stops
        (200, {"activation": "tanh", "max_iter": 4}),  # not ours: the parent's
        (200, {"early_stopping": False, "max_iter": 4}),
    ],
)
def test_fit__gives_the_parents_weights_to_the_bit(n, changes):
    settings = {**SETTINGS, **changes}
    X, y = data(n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs, ours = MLPRegressor(**settings).fit(X, y), QuickMLPRegressor(**settings).fit(X, y)
    assert [part.tobytes() for part in (*ours.coefs_, *ours.intercepts_)] == [
        part.tobytes() for part in (*theirs.coefs_, *theirs.intercepts_)
    ]
    if settings["early_stopping"]:
        assert ours.validation_scores_ == theirs.validation_scores_
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_fit__ends_at_the_most_epochs_with_a_warning():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        QuickMLPRegressor(**{**SETTINGS, "max_iter": 2}).fit(*data(100))


def test_fit__too_few_rows_to_stop_by():
    with pytest.raises(ValueError, match=r"validation set is too small: 0\.1 of 9 rows"):
        QuickMLPRegressor(**SETTINGS).fit(*data(9))


def test_fit__a_target_that_never_changes_is_learnt():
    X, _ = data(60)
    model = QuickMLPRegressor(**{**SETTINGS, "max_iter": 30})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = MLPRegressor(**{**SETTINGS, "max_iter": 30}).fit(X, np.ones(60))
        model.fit(X, np.ones(60))
    assert model.validation_scores_ == theirs.validation_scores_
