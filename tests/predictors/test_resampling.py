"""Laws of past outcomes: residuals stay together, ratios are kept in bounds, forest weights are the forest's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError

from stormgym.predictors.gaussian import DiagonalGaussian
from stormgym.predictors.heavy_tails import HeavyTailed
from stormgym.predictors.point import PointNet
from stormgym.predictors.resampling import MOST_RATIO, ForestWeights, ResidualBootstrap


def events(n: int, seed: int) -> tuple[Any, Any]:
    """Outcomes that share their noise, so that resampled rows must too."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    shared = rng.normal(size=(n, 1))
    return x, np.stack([3.0 + x[:, 0], 5.0 - x[:, 1]], axis=1) + shared


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_residuals__stay_together_and_center_on_the_forecast() -> None:
    law = ResidualBootstrap(point=PointNet(learning_rate=1e-2, max_epochs=60)).fit(*events(400, 0), *events(100, 1))
    x, _ = events(5, 2)
    drawn = law.sample(x, 4_000, generator()).numpy()
    with torch.no_grad():
        left = drawn - law.point.predict(x).numpy()
    assert np.corrcoef(left[:, 0].T)[0, 1] > 0.95  # the noise is shared
    assert np.abs(left.mean(0)).max() < 0.15
    assert left.std() == pytest.approx(1.0, abs=0.15)


def test_ratios__are_kept_in_bounds_where_a_forecast_is_near_zero() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (300, 1))
    y = np.abs(x) ** 3 * rng.uniform(0.5, 1.5, (300, 1))
    law = ResidualBootstrap(relative=True, point=PointNet(max_epochs=20)).fit(x, y, x[:50], y[:50])
    drawn = law.sample(np.array([[0.0]]), 500, generator()).numpy()
    with torch.no_grad():
        forecast = max(float(law.point.predict([[0.0]])), float(law.least_[0]))
    assert drawn.min() >= 0.0
    assert drawn.max() <= MOST_RATIO * forecast + 1e-12


def test_forest__samples_have_the_weights_with_which_the_forest_averages() -> None:
    x, y = events(200, 0)
    more, later = events(50, 1)
    law = ForestWeights(n_trees=40, min_leaf=5).fit(x, y, more, later)
    every, came = np.concatenate([x, more]), np.concatenate([y, later])
    forest = RandomForestRegressor(40, min_samples_leaf=5, max_features=1.0, random_state=0).fit(every, came)
    new, _ = events(6, 2)
    leaves, of_past = forest.apply(new), forest.apply(every)  # [E, trees]
    assert np.array_equal(law._leaves(new), leaves.T)
    same = leaves[:, None, :] == of_past[None]  # [E, N, trees]
    weights = (same / same.sum(axis=1, keepdims=True)).mean(axis=2)
    drawn = law.sample(new, 20_000, generator()).numpy()
    expected, spread = weights @ came, np.sqrt(weights @ came**2 - (weights @ came) ** 2)
    assert (np.abs(drawn.mean(0) - expected) < 5 * spread / np.sqrt(20_000)).all()
    atoms = {tuple(row) for row in came}
    assert all(tuple(row) in atoms for row in drawn[:50].reshape(-1, 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ResidualBootstrap(point=PointNet(max_epochs=3)),
        lambda: ResidualBootstrap(relative=True, point=PointNet(max_epochs=3)),
        lambda: ForestWeights(n_trees=5),
        lambda: PointNet(max_epochs=3),
        lambda: DiagonalGaussian(max_epochs=3),
        lambda: HeavyTailed(DiagonalGaussian(max_epochs=3)),
    ],
)
def test_state__comes_back_to_the_bit_without_objects(make: Any) -> None:
    law, twin = make(), make()
    law.fit(*events(60, 0), *events(30, 1))
    state = {name: np.asarray(values) for name, values in law.state().items()}
    assert all(values.dtype != object for values in state.values())
    twin.restore(state)
    x, _ = events(7, 2)
    assert torch.equal(law.sample(x, 9, generator()), twin.sample(x, 9, generator()))


def test_gaussian__density_is_that_of_its_forecast() -> None:
    law = DiagonalGaussian(max_epochs=30, learning_rate=1e-2).fit(*events(300, 0), *events(100, 1))
    x, y = events(20, 2)
    mean, sd = law.forecast(x)
    expected = torch.distributions.Normal(mean, sd).log_prob(torch.as_tensor(y)).sum(-1)
    torch.testing.assert_close(law.log_prob(y, x), expected)
    drawn = law.sample(x, 20_000, generator())
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.05, rtol=0.0)
    torch.testing.assert_close(drawn.std(0), sd, atol=0.05, rtol=0.0)
    assert float(sd.mean().detach()) == pytest.approx(1.0, abs=0.2)


def test_point__forecast_is_the_only_atom() -> None:
    law = PointNet(max_epochs=5).fit(*events(60, 0), *events(30, 1))
    x, _ = events(4, 2)
    drawn = law.sample(x, 3, generator())
    assert drawn.shape == (3, 4, 2)
    assert torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[0], law.predict(x))


def test_errors__say_what_is_wrong() -> None:
    with pytest.raises(NotFittedError, match="ResidualBootstrap is not fitted"):
        ResidualBootstrap().sample(np.zeros((1, 2)), 1, generator())
    with pytest.raises(NotFittedError, match="ForestWeights is not fitted"):
        ForestWeights().sample(np.zeros((1, 2)), 1, generator())
    with pytest.raises(ValueError, match=r"n_trees and min_leaf must be at least 1; got 0 and 5"):
        ForestWeights(n_trees=0)
    x, y = events(10, 0)
    with pytest.raises(ValueError, match=r"X and y must have one row an event"):
        ForestWeights().fit(x, y[:9], x, y)


# ------------------------------------------------------------------------------------------------------- heavy tails


def spiky(n: int, seed: int) -> tuple[Any, Any]:
    """Prices: a level that follows x, now and then a spike of twenty spreads."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    spike = np.where(rng.random((n, 2)) < 0.03, rng.exponential(40.0, (n, 2)), 0.0)
    return x, 50.0 + 2.0 * x + rng.normal(size=(n, 2)) + spike


def test_heavy_tails__density_is_the_change_of_variables_and_better_than_without() -> None:
    settings: dict[str, Any] = {"max_epochs": 60, "learning_rate": 3e-3}
    law = HeavyTailed(DiagonalGaussian(**settings)).fit(*spiky(800, 0), *spiky(200, 1))
    plain = DiagonalGaussian(**settings).fit(*spiky(800, 0), *spiky(200, 1))
    x, y = spiky(500, 2)
    with torch.no_grad():
        assert float(law.log_prob(y, x).mean()) > float(plain.log_prob(y, x).mean()) + 0.3
        # of one number the density adds up to 1
        grid = np.linspace(-100.0, 300.0, 40_001)
        at = np.stack([grid, np.full_like(grid, law.median_[1])], axis=1)
        both = law.log_prob(at, np.repeat(x[:1], len(grid), axis=0)).exp().numpy()
        mean, sd = law.law.forecast(x[:1])
        other = torch.distributions.Normal(mean[0, 1], sd[0, 1]).log_prob(torch.tensor(0.0).double()).exp()
        assert np.trapezoid(both, grid) == pytest.approx(float(other) / law.spread_[1], rel=1e-3)
    drawn = law.sample(x[:50], 400, generator()).detach().numpy()
    assert np.median(drawn - 2.0 * x[:50]) == pytest.approx(50.0, abs=0.5)
    with pytest.raises(NotFittedError, match="HeavyTailed is not fitted"):
        HeavyTailed(DiagonalGaussian()).sample(x, 1, generator())
