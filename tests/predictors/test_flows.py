"""The conditional flow: a density by change of variables, moved everywhere, the same backwards, learnt and stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor

from stormgym.predictors.flows import ConditionalFlow

D, F = 4, 3


def events(n: int, seed: int) -> tuple[Any, Any]:
    """Two moons' worth of dependence: outcomes bend with the first feature, and their spread grows with the second."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, F))
    first = rng.normal(size=n)
    noise = rng.normal(size=(n, D))
    y = np.stack([first, first**2 + 0.3 * noise[:, 1], x[:, 0] + np.exp(0.5 * x[:, 1]) * noise[:, 2], noise[:, 3]], 1)
    return x, 10.0 + 5.0 * y


def random_flow(seed: int = 0, **settings: Any) -> ConditionalFlow:
    """A flow with weights that are far from the identity."""
    flow = ConditionalFlow(hidden=(16, 16), **settings).initialise(*events(50, 1))
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in flow.parameters():
            weights += 0.3 * torch.randn(weights.shape, generator=noise, dtype=weights.dtype)
    return flow


def test_log_prob__is_that_of_a_numerical_jacobian() -> None:
    flow = random_flow()
    x, y = events(5, 2)
    for row in range(len(x)):
        features = flow.standard_features(x[row : row + 1])

        def to_noise(outcome: Tensor, features: Tensor = features) -> Tensor:
            standard = (outcome - torch.as_tensor(flow.y_mean_)) / torch.as_tensor(flow.y_scale_)
            return flow.to_noise(standard[None], features)[0][0]

        at = torch.as_tensor(y[row])
        step = 1e-5
        columns = [(to_noise(at + step * e) - to_noise(at - step * e)) / (2 * step) for e in torch.eye(D).double()]
        volume = torch.linalg.slogdet(torch.stack(columns, dim=1)).logabsdet
        z = to_noise(at)
        expected = -0.5 * (z.square().sum() + D * np.log(2 * np.pi)) + volume
        found = flow.log_prob(y[row : row + 1], x[row : row + 1])[0]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_sample__goes_back_to_the_noise_it_came_from() -> None:
    flow = random_flow()
    x, _ = events(20, 3)
    features = flow.standard_features(x)
    z = torch.randn((7, 20, D), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    back, _ = flow.to_noise(flow.from_noise(z, features), features.expand(7, 20, F))
    torch.testing.assert_close(back, z, atol=1e-8, rtol=0.0)


@pytest.mark.parametrize("n_layers", [2, 3, 4])
def test_masks__every_coordinate_is_moved(n_layers: int) -> None:
    flow = random_flow(n_layers=n_layers)
    x, y = events(6, 4)
    standard = flow.standard_outcomes(y).requires_grad_()
    z, _ = flow.to_noise(standard, flow.standard_features(x))
    for j in range(D):
        (slope,) = torch.autograd.grad(z[:, j].sum(), standard, retain_graph=True)
        assert (slope[:, j] - 1.0).abs().min() > 1e-6


def test_initialise__is_the_identity() -> None:
    flow = ConditionalFlow().initialise(*events(50, 1))
    standard = flow.standard_outcomes(events(5, 2)[1])
    z, log_volume = flow.to_noise(standard, flow.standard_features(events(5, 2)[0]))
    assert torch.equal(z, standard)
    assert not log_volume.any()


@pytest.fixture(scope="module")
def fitted() -> ConditionalFlow:
    return ConditionalFlow(hidden=(32, 32), learning_rate=3e-3, max_epochs=60).fit(*events(1_500, 0), *events(400, 1))


@pytest.mark.slow
def test_fit__learns_a_law_that_no_independent_normals_have(fitted: ConditionalFlow) -> None:
    x, y = events(2_000, 5)
    standard = (y - fitted.y_mean_) / fitted.y_scale_
    independent = -0.5 * (standard**2 + np.log(2 * np.pi)).sum(1) - np.log(fitted.y_scale_).sum()
    with torch.no_grad():
        assert float(fitted.log_prob(y, x).mean()) > independent.mean() + 1.0
        drawn = fitted.sample(x, 5, torch.Generator().manual_seed(0)).numpy()
    bent = (drawn[..., 0] - 10.0) / 5.0, (drawn[..., 1] - 10.0) / 5.0
    assert np.corrcoef((bent[0] ** 2).ravel(), bent[1].ravel())[0, 1] > 0.8  # the parabola
    assert abs(drawn[..., 2].mean() - y[:, 2].mean()) < 0.5


def test_fit__stops_by_validation_and_keeps_the_best(fitted: ConditionalFlow) -> None:
    few = ConditionalFlow(learning_rate=3e-3, max_epochs=300, patience=10).fit(*events(60, 0), *events(200, 1))
    assert len(few.validation_losses_) == few.n_epochs_ + 11 < 301  # epoch 0 counts
    assert few.validation_losses_[few.n_epochs_] == min(few.validation_losses_)
    x, y = events(200, 1)
    with torch.no_grad():
        loss = -float(few.log_prob(y, x).mean() + np.log(few.y_scale_).sum()) / D
    assert loss == pytest.approx(few.validation_losses_[few.n_epochs_])


def test_fit_and_sample__are_seeded() -> None:
    draws = [
        ConditionalFlow(max_epochs=2, random_state=seed).fit(*events(60, 0), *events(30, 1))
        .sample(events(3, 2)[0], 4, torch.Generator().manual_seed(0))
        for seed in (0, 0, 1)
    ]  # fmt: skip
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_state__comes_back_to_the_bit(fitted: ConditionalFlow) -> None:
    twin = ConditionalFlow(hidden=(32, 32))
    state = fitted.state()
    assert all(isinstance(values, np.ndarray) and values.dtype != object for values in state.values())
    twin.restore(state)
    x, y = events(10, 6)
    assert torch.equal(twin.log_prob(y, x), fitted.log_prob(y, x))


def test_one_outcome__is_allowed() -> None:
    x, y = events(40, 0)
    flow = ConditionalFlow(max_epochs=2).fit(x, y[:, :1], x, y[:, :1])
    assert flow.sample(x, 3, torch.Generator()).shape == (3, 40, 1)


def test_errors__say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"n_layers must be a whole number of at least 2, to move all; got 1"):
        ConditionalFlow(n_layers=1)
    with pytest.raises(ValueError, match=r"patience must be above 0; got 0"):
        ConditionalFlow(patience=0)
    with pytest.raises(ValueError, match=r"hidden must name at least one width"):
        ConditionalFlow(hidden=())
    with pytest.raises(ValueError, match=r"weight_decay must be at least 0; got -1"):
        ConditionalFlow(weight_decay=-1)
    with pytest.raises(NotFittedError, match=r"ConditionalFlow is not fitted: call fit"):
        ConditionalFlow().sample(np.zeros((1, F)), 1, torch.Generator())
    x, y = events(10, 0)
    with pytest.raises(ValueError, match=r"X must have the 3 features of the fit; got 2"):
        random_flow().sample(x[:, :2], 1, torch.Generator())
    with pytest.raises(ValueError, match=r"y must have the 4 outcomes of the fit; got 2"):
        random_flow().log_prob(y[:, :2], x)
    with pytest.raises(ValueError, match=r"one row an event; got 10 and 9"):
        random_flow().log_prob(y[:9], x)
    with pytest.raises(ValueError, match=r"y must be finite; got nan"):
        ConditionalFlow().fit(x, np.full_like(y, np.nan), x, y)
