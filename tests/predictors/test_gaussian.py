"""Normal forecasts: what the network learns, what it keeps of its state, what it leaves alone, one thread."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.exceptions import NotFittedError
from torch.distributions import Normal

from stormgym.predictors.gaussian import LEAST_SD, GaussianNet, MeanAndSd, seeded
from stormgym.predictors.threads import one_thread

SMALL: dict[str, Any] = {"hidden": (16,), "dropout": 0.0, "max_steps": 30}


def law(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and spread `[E, 2]` of two outcomes in units of their own; the second is less certain where x_1 is high."""
    mean = np.stack([5.0 + 2.0 * x[:, 0], 1_000.0 * np.sin(2.0 * x[:, 1])], axis=1)
    sd = np.stack([np.full(len(x), 0.3), 100.0 * np.exp(0.8 * x[:, 1])], axis=1)
    return mean, sd


def events(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.5, 1.5, (n, 3))  # the third says nothing
    mean, sd = law(x)
    return x, mean + sd * rng.normal(size=mean.shape)


@pytest.fixture(scope="module")
def net() -> GaussianNet:
    settings: dict[str, Any] = {"hidden": (32,), "dropout": 0.0, "learning_rate": 1e-2, "max_steps": 300}
    return GaussianNet(**settings).fit(*events(2_000, 0), *events(1_000, 1))


@pytest.fixture(scope="module")
def small() -> GaussianNet:
    return GaussianNet(**SMALL).fit(*events(80, 0), *events(40, 1))


def forecast(net: GaussianNet, x: Any) -> MeanAndSd:
    with torch.no_grad():
        return net.forecast(x)


# ---------------------------------------------------------------------------------------------------- what it learns


def test_fit__recovers_mean_and_spread(net: GaussianNet) -> None:
    x, _ = events(3_000, 2)
    mean, sd = law(x)
    found = forecast(net, x)
    for d in range(2):
        error = np.abs(found.mean[:, d].numpy() - mean[:, d])
        assert np.sqrt((error**2).mean()) < 0.35 * sd[:, d].mean()  # 2,000 events teach no more
        ratio = found.sd[:, d].numpy() / sd[:, d]
        assert 0.9 < np.median(ratio) < 1.1
        assert np.mean(np.abs(np.log(ratio)) < 0.25) > 0.95
    assert np.corrcoef(found.sd[:, 1], sd[:, 1])[0, 1] > 0.97


def test_fit__intervals_hold_what_they_say(net: GaussianNet) -> None:
    x, y = events(4_000, 3)
    found = forecast(net, x)
    u = norm.cdf((y - found.mean.numpy()) / found.sd.numpy())
    for level in (0.5, 0.8, 0.95):
        coverage = (np.abs(2.0 * u - 1.0) < level).mean()
        assert coverage == pytest.approx(level, abs=0.03)  # 8,000 numbers: standard error .006 at most
    assert u.mean() == pytest.approx(0.5, abs=0.02)


def test_fit__the_unit_of_features_and_outcomes_does_not_matter() -> None:
    (x, y), (x_held, y_held) = events(80, 0), events(40, 1)
    usual = forecast(GaussianNet(**SMALL).fit(x, y, x_held, y_held), x_held)
    unit = np.array([1e3, 1e-3])
    shifted = 50.0 * x_held + 7.0
    other = forecast(GaussianNet(**SMALL).fit(50.0 * x + 7.0, y * unit, shifted, y_held * unit), shifted)
    np.testing.assert_allclose(other.mean.numpy() / unit, usual.mean, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(other.sd.numpy() / unit, usual.sd, rtol=1e-3)


def test_fit__a_column_that_never_changes_does_no_harm() -> None:
    (x, y), (x_held, y_held) = events(80, 0), events(40, 1)
    x, x_held = np.column_stack([x, np.full(80, 4.0)]), np.column_stack([x_held, np.full(40, 4.0)])
    y, y_held = np.column_stack([y, np.zeros(80)]), np.column_stack([y_held, np.zeros(40)])
    found = forecast(GaussianNet(**SMALL).fit(x, y, x_held, y_held), x_held)
    assert bool(found.mean.isfinite().all())
    assert float(found.sd.min()) >= LEAST_SD


def test_fit__raw_outputs_start_from_a_spread_of_ln_2() -> None:
    x, y = events(80, 0)
    raw = GaussianNet(**{**SMALL, "max_steps": 1, "learning_rate": 1e-9}, standardise_outcomes=False)
    found = forecast(raw.fit(x, y, x, y), x)
    assert float(found.sd.mean()) == pytest.approx(np.log(2.0), abs=0.2)
    assert np.abs(found.mean.numpy()).max() < 2.0  # outcomes are up to 1,000
    assert not raw.y_mean_.any()


# ------------------------------------------------------------------------------------------------------ when it stops


def log_score(net: GaussianNet, x: Any, y: Any) -> float:
    with torch.no_grad():
        return -float(net.log_prob(y, x).mean())


def test_fit__keeps_the_best_step_and_stops_when_none_is_better() -> None:
    (x, y), (x_held, y_held) = events(20, 0), events(60, 1)  # 20 events are learnt by heart

    def fitted(max_steps: int) -> GaussianNet:
        changes = {"hidden": (64,), "max_steps": max_steps, "patience": 15, "learning_rate": 1e-2}
        return GaussianNet(**{**SMALL, **changes}).fit(x, y, x_held, y_held)

    stopped = fitted(500)
    assert 1 < stopped.n_steps_ < 400
    least = log_score(stopped, x_held, y_held)
    scores = [log_score(fitted(n), x_held, y_held) for n in range(1, stopped.n_steps_ + 1, 7)]
    assert least <= min(scores) + 1e-9
    assert (np.diff(scores) <= 1e-9).all()  # more steps never leave a worse state
    exactly = fitted(stopped.n_steps_)
    np.testing.assert_array_equal(forecast(exactly, x).mean, forecast(stopped, x).mean)


# ----------------------------------------------------------------------------------- what can be asked of a forecast


def test_forecast__is_differentiable_in_every_weight(small: GaussianNet) -> None:
    x, y = events(10, 4)
    gradients = torch.autograd.grad(small.log_prob(y, x).sum(), small.parameters())
    assert all(bool(g.isfinite().all()) for g in gradients)
    assert bool(gradients[-1].all())
    assert len(gradients) == len(list(small.network_.parameters()))


def test_forecast__does_not_depend_on_the_other_events_nor_on_the_one_before(small: GaussianNet) -> None:
    x, _ = events(10, 4)
    together = forecast(small, x)
    alone = forecast(small, x[3:4])
    np.testing.assert_allclose(alone.mean, together.mean[3:4], rtol=1e-5)
    np.testing.assert_allclose(alone.sd, together.sd[3:4], rtol=1e-5)
    np.testing.assert_array_equal(forecast(small, x).mean, together.mean)  # no dropout, no batch statistics


def test_log_prob__is_that_of_independent_normals(small: GaussianNet) -> None:
    x, y = events(10, 4)
    mean, sd = forecast(small, x)
    expected = Normal(mean, sd).log_prob(torch.as_tensor(y)).sum(-1)
    np.testing.assert_allclose(small.log_prob(y, x).detach(), expected, rtol=1e-12)


def test_sample__has_mean_and_spread_of_the_forecast(small: GaussianNet) -> None:
    x, _ = events(4, 4)
    mean, sd = forecast(small, x)
    with torch.no_grad():
        samples = small.sample(x, 20_000, torch.Generator().manual_seed(0))
    assert samples.shape == (20_000, 4, 2)
    z = (samples - mean) / sd
    np.testing.assert_allclose(z.mean(0), 0.0, atol=0.03)  # four standard errors
    np.testing.assert_allclose(z.std(0), 1.0, atol=0.02)
    with torch.no_grad():
        again = small.sample(x, 20_000, torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(samples, again)
    assert small.sample(x, 3, torch.Generator()).requires_grad


def test_scale__widens_forecasts_samples_and_densities(small: GaussianNet) -> None:
    twin = copy.deepcopy(small)
    twin.scale_ = 2.0
    x, y = events(4, 4)
    one, two = forecast(small, x), forecast(twin, x)
    np.testing.assert_array_equal(two.mean, one.mean)
    np.testing.assert_array_equal(two.sd, 2.0 * one.sd)
    expected = Normal(two.mean, two.sd).log_prob(torch.as_tensor(y)).sum(-1)
    np.testing.assert_allclose(twin.log_prob(y, x).detach(), expected, rtol=1e-12)
    refitted = twin.fit(*events(80, 0), *events(40, 1))
    assert refitted.scale_ == 1.0


# -------------------------------------------------------------------------------------------------- state and seeds


def test_state__restores_to_the_bit_through_a_file(small: GaussianNet, tmp_path: Path) -> None:
    small = copy.deepcopy(small)
    small.scale_ = 0.7
    np.savez(tmp_path / "net.npz", **small.state())  # type: ignore[arg-type]
    with np.load(tmp_path / "net.npz", allow_pickle=False) as data:
        state = dict(data)
    twin = GaussianNet(**SMALL, random_state=9)
    before = torch.random.get_rng_state()
    twin.restore(state)
    assert torch.equal(before, torch.random.get_rng_state())
    x, _ = events(10, 4)
    assert twin.scale_ == 0.7
    for name in ("mean", "sd"):
        np.testing.assert_array_equal(getattr(forecast(twin, x), name), getattr(forecast(small, x), name))
    assert twin.state().keys() == state.keys()
    for name, value in twin.state().items():
        np.testing.assert_array_equal(value, state[name])


def test_state__is_a_copy(small: GaussianNet) -> None:
    state = small.state()
    before = copy.deepcopy(state)
    twin = GaussianNet(**SMALL)
    twin.restore(state)
    with torch.no_grad():
        for weight in twin.parameters():
            weight += 1.0
    for name, value in before.items():
        np.testing.assert_array_equal(state[name], value)
        np.testing.assert_array_equal(small.state()[name], value)


def test_restore__of_another_network_is_an_error(small: GaussianNet) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        GaussianNet(hidden=(8,)).restore(small.state())
    with pytest.raises(KeyError, match="x_mean_"):
        GaussianNet(**SMALL).restore({})


def test_fit__is_the_same_for_the_same_seed_alone() -> None:
    data = (*events(80, 0), *events(40, 1))
    changes = {**SMALL, "dropout": 0.2}
    first, again, other = (GaussianNet(**changes, random_state=s).fit(*data) for s in (0, 0, 1))
    x, _ = events(10, 4)
    np.testing.assert_array_equal(forecast(first, x).mean, forecast(again, x).mean)
    assert (forecast(first, x).mean != forecast(other, x).mean).any()


def test_fit__leaves_torchs_generator_and_threads_alone() -> None:
    torch.manual_seed(5)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    GaussianNet(**SMALL).fit(*events(80, 0), *events(40, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_seeded__puts_the_generator_back_also_after_an_error() -> None:
    before = torch.random.get_rng_state()
    with seeded(3):
        first = torch.rand(1)
    with seeded(3):
        assert torch.equal(torch.rand(1), first)
    with pytest.raises(RuntimeError, match="Trying to create"), seeded(3):
        torch.rand(-1)
    assert torch.equal(before, torch.random.get_rng_state())


def test_one_thread__is_one_within_and_what_it_was_afterwards_also_after_an_error() -> None:
    own = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with one_thread():
            assert torch.get_num_threads() == 1
            with one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError, match="enough"), one_thread():
            raise RuntimeError("enough")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(own)


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "dropout must be in [0, 1); got 1.0"),
        ({"dropout": -0.1}, "dropout must be in [0, 1); got -0.1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0; got 0.0"),
        ({"max_steps": 0}, "max_steps must be above 0; got 0"),
        ({"patience": -1}, "patience must be above 0; got -1"),
        ({"hidden": ()}, "hidden must name at least one width of at least 1; got ()"),
        ({"hidden": (8, 0)}, "hidden must name at least one width of at least 1; got (8, 0)"),
    ],
)
def test_settings__errors_say_what_is_wrong(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        GaussianNet(**settings)


X, Y = np.ones((4, 3)), np.ones((4, 2))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X[0], Y, X, Y), "X must be a matrix [E, *] with at least one event; got shape (3,)"),
        ((X, Y, X[:0], Y[:0]), "X_validation must be a matrix [E, *] with at least one event; got shape (0, 3)"),
        ((X, Y * np.nan, X, Y), "y must be finite; got nan"),
        ((X, Y, X, Y * np.inf), "y_validation must be finite; got inf"),
        ((X[:3], Y, X, Y), "X and y must have one row an event, and X_validation the features of X; got shapes (3, 3)"),
        ((X, Y, X[:, :2], Y), "(4, 3), (4, 2), (4, 2), (4, 2)"),
        ((X, Y, X, Y[:, :1]), "y_validation must have the 2 outcomes of y; got 1"),
        ((X[:1], Y[:1], X, Y), "at least 2 events are needed to fit; got 1"),
    ],
)
def test_fit__errors_say_what_is_wrong(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        GaussianNet(**SMALL).fit(*data)


def test_forecast__errors_say_what_is_wrong(small: GaussianNet) -> None:
    with pytest.raises(NotFittedError, match=re.escape("GaussianNet is not fitted: call fit(X, y, X_validation, y_va")):
        GaussianNet().forecast(X)
    with pytest.raises(NotFittedError, match="not fitted"):
        GaussianNet().state()
    with pytest.raises(ValueError, match="X must have the 3 features of the fit; got 2"):
        small.forecast(X[:, :2])
    with pytest.raises(ValueError, match=re.escape("y must be [4, 2], as the forecast is; got shape (4, 1)")):
        small.log_prob(Y[:, :1], X)
